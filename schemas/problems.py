"""Errors as ``application/problem+json`` (RFC 9457): the bytes, with no echo of the input."""

import json
from typing import Any

from schemas.errors import MAX_PROBLEM_BYTES, SluiceError

MEDIA_TYPE = "application/problem+json"


def encode_problem(error: SluiceError) -> bytes:
    """The document for an error: at most `MAX_PROBLEM_BYTES`, fewer faults named where they would not fit."""
    document = error.problem()
    content = encode(document)
    while len(content) > MAX_PROBLEM_BYTES and document.get("errors"):
        document["errors"].pop()
        content = encode(document)
    return content


def encode(document: dict[str, Any]) -> bytes:
    """JSON without spaces, in ASCII."""
    return json.dumps(document, separators=(",", ":")).encode()
