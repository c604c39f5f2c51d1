"""The OpenAPI document: what FastAPI finds out by itself, and what it cannot see: bodies, errors, examples, prose."""

import json
from functools import cache
from importlib import resources
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from ingest.foreign.described import TAG
from ingest.foreign.table import dialect_of
from schemas.readings import body_schema
from server.auth import COOKIE
from server.openapi_errors import PROBLEM, components, responses_of

TAGS = {
    "readings": "Writing. The answer comes after COMMIT: what it counts is durable, and sending a batch again is safe.",
    "reading back": "Devices, their readings as pages or streams of any length, and aggregates by spans of time.",
    "rules": "What raises alerts. A preview runs a rule over stored readings before it wakes anybody.",
    "alerts": "What rules have raised, and the log of all that happened to it, numbered 1, 2, 3 … without gaps.",
    "silences": "Webhooks held for a while. What is computed, stored and seen on `/ws` does not change.",
    "webhooks": "What was sent to others, and what was not: Alertmanager's form, signed, tried again until it arrives.",
    "keys": "Who may do what. A key is shown once; revoked, it stops working within ten seconds everywhere.",
    "sessions": (
        "For browsers, which shall not hold a key: a cookie that no script can read. With it, whatever is not GET or "
        "HEAD needs the header `X-CSRF-Token` with the `csrf` of the session. And tokens for `/ws`, of minutes."
    ),
    "operation": "Whether it works, what it did, and who changed what.",
    TAG: (
        "Doors for clients that exist already, which write unchanged, with a key for their token or password. Each "
        "answers as its own clients want to be answered; `POST /v1/dry-run` shows how a payload is read."
    ),
}
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: slk_…"},
    "basic": {"type": "http", "scheme": "basic", "description": "For other protocols: the password is the key."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same, for simple clients."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "A session, of `POST /v1/session`; for all but GET and HEAD with the header `X-CSRF-Token`.",
    },
}
_OPEN = {"/healthz", "/readyz", "/ping", "/health"}
_KEYS_ONLY = {("post", "/v1/readings"), ("post", "/v1/dry-run"), ("post", "/v1/session")}
_SESSION_ONLY = {("get", "/v1/session"), ("delete", "/v1/session")}


def install(app: FastAPI) -> None:
    """Complete the app's document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(_with_nulls(generate(), app))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _with_nulls(document: dict[str, Any], app: FastAPI) -> dict[str, Any]:
    """The document with the routes' own examples of answers as they are: FastAPI leaves out what is null."""
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.original_route, APIRoute) or not context.original_route.include_in_schema:
            continue
        for status, response in context.original_route.responses.items():
            for method in context.methods or ():
                operation = document["paths"][str(context.path).replace(":path}", "}")][method.lower()]
                shown = operation["responses"][str(status)].get("content", {})
                for kind, media in response.get("content", {}).items():
                    shown[kind] |= {name: media[name] for name in ("example", "examples") if name in media}
    return document


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    body = body_schema()
    parts = document.setdefault("components", {})
    parts["securitySchemes"] = _SECURITY
    parts["responses"] = components()
    schemas = parts.setdefault("schemas", {})
    schemas |= body.pop("$defs")
    schemas |= {"Body": body, "Problem": PROBLEM}
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    document["info"]["description"] = _text("openapi.md")
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            operation["responses"] |= responses_of(method, path, operation, is_open=path in _OPEN)
            if path not in _OPEN:
                operation["security"] = [{name: []} for name in _schemes(method, path)]
            _exemplify(f"{method} {path}", operation)
    return document


def _schemes(method: str, path: str) -> list[str]:
    if (method, path) in _SESSION_ONLY:
        return ["cookie"]
    if dialect_of(path) is not None:
        return ["bearer", "basic", "header"]
    keys = ["bearer", "header"]
    return keys if (method, path) in _KEYS_ONLY else [*keys, "cookie"]


def _exemplify(name: str, operation: dict[str, Any]) -> None:
    """Put examples where a route has none of its own."""
    known = _examples()
    for parameter in operation.get("parameters", []):
        schema = parameter["schema"]
        if parameter["required"] and "examples" not in schema and "example" not in parameter:
            parameter["example"] = known["parameters"].get(parameter["name"])
    example = known["operations"].get(name, {})
    if "request" in example:
        next(iter(operation["requestBody"]["content"].values())).setdefault("example", example["request"])
    for status, response in operation["responses"].items():
        if status.startswith("2") and "response" in example:
            kind, media = next(iter(response["content"].items()))
            if "example" not in media:
                response["content"][kind] = media | {"example": example["response"]}


@cache
def _examples() -> dict[str, Any]:
    """Requests and answers as a server has them (`examples.json`); a test asks one."""
    examples: dict[str, Any] = json.loads(_text("examples.json"))
    return examples


def _text(name: str) -> str:
    return resources.files("server").joinpath(name).read_text("utf-8")
