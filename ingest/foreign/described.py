"""What the API's documentation says of a foreign route. Its errors need no words here: the dialect tells them."""

from collections.abc import Mapping
from typing import Any

from fastapi import Response

TAG = "other protocols"
Told = Mapping[str, tuple[str, str]]
"""Parameters: what each is for, and an example."""


def described(
    summary: str,
    body: Mapping[str, Any] | None = None,
    *,
    status: int = 204,
    query: Told | None = None,
    path: Told | None = None,
    answers: bool = True,
) -> dict[str, Any]:
    """Keywords for the route's decorator.

    `body`: an example by kind of content: a text, a document of JSON, or None where it is binary. `status`: of success.
    `query`: parameters of which none is required. `path`: those that the function does not take. `answers`: whether a
    success says anything.
    """
    extra: dict[str, Any] = {
        "parameters": [
            *(_parameter(name, "path", *told) for name, told in (path or {}).items()),
            *(_parameter(name, "query", *told) for name, told in (query or {}).items()),
        ]
    }
    if body:
        extra["requestBody"] = {"required": True, "content": {kind: media(example) for kind, example in body.items()}}
    route = {"tags": [TAG], "summary": summary, "status_code": status, "openapi_extra": extra}
    return route if answers else route | {"response_class": Response}


def _parameter(name: str, place: str, text: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "examples": [example]}
    return {"name": name, "in": place, "description": text, "required": place == "path", "schema": schema}


def media(example: Any) -> dict[str, Any]:
    """What a kind of content is, by an example of it: None where it is binary."""
    if example is None:
        return {"schema": {"type": "string", "format": "binary"}}
    return {"schema": {"type": "string"} if isinstance(example, str) else {}, "example": example}
