"""The errors as the API's documentation shows them: what each status means, and which of them a route may answer."""

import json
from typing import Any

from ingest.foreign.dialect import Dialect
from ingest.foreign.table import dialect_of
from schemas.errors import (
    BodyTooSlow,
    Conflict,
    DatabaseAway,
    Defect,
    Fault,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    QuotaExceeded,
    SluiceError,
    TooLarge,
    Unauthorized,
    Unknown,
    UnsupportedMediaType,
)
from schemas.problems import MEDIA_TYPE

PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `errors` names at most 20 faults; `error_count` counts them all.",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "One sentence for people; it says what to do."},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "For programs: one word, the same for the same reason."},
        "detail": {"type": "string"},
        "limit": {"type": "string", "description": "413, 414, 431: which limit."},
        "value": {"type": "integer", "description": "413, 414, 431: how much it is."},
        "error_count": {"type": "integer"},
        "errors": {
            "type": "array",
            "maxItems": 20,
            "items": {
                "type": "object",
                "required": ["loc", "code", "message", "retryable"],
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "retryable": {"type": "boolean", "description": "Whether the same reading may be sent later."},
                },
            },
        },
    },
}
_MANY = "Nothing was stored. Wait `Retry-After` seconds, send the same again."
MEANINGS: dict[int, tuple[SluiceError, str]] = {
    400: (Malformed("the body is not valid JSON"), "Nothing was stored. Never send it again as it is."),
    401: (Unauthorized(), "Nothing was stored. Stop, and tell somebody: wrong, unknown, expired and revoked are one."),
    403: (
        Forbidden("this key lacks the scope 'admin'"),
        "Nothing was stored. The key's scopes or devices do not allow it; with a session also `csrf`: the header "
        "`X-CSRF-Token` is missing or wrong.",
    ),
    404: (NotFound("no such rule"), "There is nothing of that name, or none that the key may see."),
    408: (BodyTooSlow(), "Nothing was stored: the body took too long. Send the same again."),
    409: (Conflict(), "Nothing was changed: the thing is in a state in which that cannot be."),
    413: (TooLarge("body_bytes", 8 << 20), "Nothing was stored. Split it; the answer names the limit and its value."),
    415: (
        UnsupportedMediaType("send application/json, as it is or with gzip or zstd"),
        "Nothing was stored. This is a mistake in the program.",
    ),
    422: (
        Invalid([Fault(("readings", 3, "value"), "finite_number", "Input should be a finite number")]),
        "Nothing of the request was stored (with `partial`, nothing of what is invalid). Correct what `errors` names.",
    ),
    429: (QuotaExceeded("readings", 10_000, 2), f"{_MANY} A quota of this key, or too many wrong keys of one address."),
    500: (Defect(), "A defect of ours; whether it was stored is unknown. Send the same again, and tell us."),
    503: (DatabaseAway(), f"{_MANY} Overload, a restart, or the database is away."),
    504: (Unknown(), "COMMIT was sent and not answered: unknown. Send the same again; what is stored is a duplicate."),
}
_WRITING = (400, 401, 403, 408, 413, 415, 422, 429, 500, 503, 504)
_CONFLICTS = {"/v1/webhooks/deliveries/{delivery_id}/retry", "/v1/alerts/{alert_id}/ack"}
_KNOWN_BY_NAME = {"/v1/series", "/v1/session", "/v1/webhooks/key"}
ANY = {"description": "Any other error.", "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def told_by(dialect: Dialect) -> dict[str, Any]:
    """The errors of a foreign protocol's route, in its own words; where several have one status, its own."""
    told: dict[str, Any] = {}
    for status in _WRITING:
        error, meaning = MEANINGS[status]
        answer = dialect.answer(error)
        headers = {name: value for name, value in answer.headers.items() if name in error.headers()}
        kind = answer.headers["Content-Type"].partition(";")[0]
        example = json.loads(answer.body) if kind.endswith("json") else answer.body.decode("utf-8", "replace")
        response = {
            "description": meaning,
            "content": {kind: {"schema": {}, "example": example}},
            "headers": {name: {"schema": {"type": "string"}, "example": value} for name, value in headers.items()},
        }
        if answer.status == status or str(answer.status) not in told:
            told[str(answer.status)] = response
    return dict(sorted(told.items()))


def components() -> dict[str, Any]:
    """One response for each status, to be referred to as `#/components/responses/<status>`."""
    return {str(status): _response(error, meaning) for status, (error, meaning) in MEANINGS.items()}


def _response(error: SluiceError, meaning: str) -> dict[str, Any]:
    headers = {name: {"schema": {"type": "string"}, "example": value} for name, value in error.headers().items()}
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {MEDIA_TYPE: {"schema": schema, "example": error.problem()}}
    return {"description": f"{error.title} {meaning}", "content": content} | ({"headers": headers} if headers else {})


def responses_of(method: str, path: str, operation: dict[str, Any], *, is_open: bool) -> dict[str, Any]:
    """The errors that an operation may answer."""
    if is_open:
        return {}
    if (dialect := dialect_of(path)) is not None:
        return told_by(dialect)
    if (method, path) == ("post", "/v1/readings"):
        statuses = set(_WRITING)
    else:
        statuses = {401, 403, 429, 500, 503}
        statuses |= {422} if "parameters" in operation or "requestBody" in operation else set()
        statuses |= {400, 413} if "requestBody" in operation else set()
        statuses |= {404} if "{" in path or path in _KNOWN_BY_NAME else set()
        statuses |= {409} if path in _CONFLICTS else set()
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)} | {"default": ANY}
