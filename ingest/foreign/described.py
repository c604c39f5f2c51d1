"""What the API's documentation says of a foreign route. Its errors need no words here: the dialect tells them."""

from collections.abc import Mapping
from typing import Any

TAG = "other protocols"


def described(
    summary: str,
    body: Mapping[str, str | None] | None = None,
    *,
    status: int = 204,
    parameters: Mapping[str, tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """Keywords for the route's decorator.

    `body`: an example by kind of content, None where that is binary. `status`: of success. `parameters`: of the query,
    what each is for, and an example; none of them is required.
    """
    extra: dict[str, Any] = {
        "parameters": [
            {"name": name, "in": "query", "description": text, "required": False, "schema": _text(example)}
            for name, (text, example) in (parameters or {}).items()
        ]
    }
    if body:
        extra["requestBody"] = {"required": True, "content": {kind: _media(example) for kind, example in body.items()}}
    return {"tags": [TAG], "summary": summary, "status_code": status, "openapi_extra": extra}


def _media(example: str | None) -> dict[str, Any]:
    if example is None:
        return {"schema": {"type": "string", "format": "binary"}}
    return {"schema": {"type": "string"}, "example": example}


def _text(example: str) -> dict[str, Any]:
    return {"type": "string", "examples": [example]}
