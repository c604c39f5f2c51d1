"""Opaque cursors: where the next page begins."""

import base64
import json

from schemas.errors import Fault, Invalid
from schemas.names import is_storable

MAX_BIGINT = 2**63 - 1
MAX_LIMIT = 1_000
"""Items of one page."""


def encode_cursor(place: str | int) -> str:
    """The place of the last item of a page, as a cursor."""
    return base64.urlsafe_b64encode(json.dumps(place, ensure_ascii=False).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kind: type[str] | type[int]) -> str | int:
    """The place in a cursor. Raises Invalid for one that we did not make."""
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        place = None
    if not isinstance(place, kind) or isinstance(place, bool) or not _is_storable(place):
        raise Invalid([Fault(("query", "cursor"), "cursor_invalid", "use 'next' of the page before")])
    return place


def _is_storable(place: str | int) -> bool:
    """Whether PostgreSQL takes it as text, or as bigint."""
    if isinstance(place, int):
        return -MAX_BIGINT <= place <= MAX_BIGINT
    return is_storable(place)
