"""The OpenAPI document: what FastAPI finds out by itself, the body it cannot see, and the one shape of errors."""

from typing import Any

from fastapi import FastAPI

from schemas.readings import body_schema

PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `errors` names at most 20 faults; `error_count` counts them all.",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "error_count": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "retryable": {"type": "boolean"},
                },
            },
        },
    },
}
_ERROR = {
    "description": "Any error",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: slk_…"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_OPEN = {"/healthz", "/readyz"}


def install(app: FastAPI) -> None:
    """Complete the app's document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    body = body_schema()
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SECURITY
    schemas = components.setdefault("schemas", {})
    schemas |= body.pop("$defs")
    schemas |= {"Body": body, "Problem": PROBLEM}
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _ERROR
            if path not in _OPEN:
                operation["security"] = [{name: []} for name in _SECURITY]
    return document
