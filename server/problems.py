"""Every error as ``application/problem+json`` (RFC 9457), rendered in one place, with no echo of the input."""

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from ingest.answer import MAX_LOGGED_CHARS
from ingest.corridor import Corridor
from ingest.foreign.credentials import without_key
from ingest.foreign.passage import respond
from ingest.foreign.table import dialect_of
from schemas.errors import DatabaseAway, Defect, Fault, Invalid, Malformed, SluiceError
from schemas.problems import MEDIA_TYPE, encode, encode_problem
from server.database import AWAY

log = structlog.get_logger(__name__)

_AWAY_STATES = ("08", "25006", "53", "55P03", "57")  # lost, read-only, out of resources, lock timeout, shutting down
_TITLES = {404: "There is nothing at this path.", 405: "This path does not take that method."}


def install(app: FastAPI) -> None:
    """Have every exception that means something rendered here; any other is a defect, answered by the edge."""
    app.add_exception_handler(SluiceError, _sluice_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _gone)
    for kind in AWAY:
        app.add_exception_handler(kind, _driver_error)


def render(error: SluiceError, scope: Scope) -> Response:
    """The answer for an error; where the path is a foreign protocol's, in its words."""
    if (dialect := dialect_of(scope["path"])) is not None:
        return respond(dialect.answer(error, Headers(scope=scope).get("content-type", ""), scope["headers"]))
    return Response(encode_problem(error), error.status, error.headers(), MEDIA_TYPE)


def note(scope: Scope, status: int, code: str) -> None:
    """Log and count a refusal."""
    # Not that of a URL made of a Host: a sender writes there what it likes.
    path = without_key(scope["path"])[:MAX_LOGGED_CHARS]
    log.info("refused", method=scope["method"], path=path, status=status, code=code)
    if "corridor" in scope["state"]:
        corridor: Corridor = scope["state"]["corridor"]
        corridor.metrics.refused.labels(status, code).inc()


async def _sluice_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SluiceError)  # noqa: S101 - by its registration
    note(request.scope, error.status, error.code)
    return _rendered(request, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - by its registration
    details = error.errors()
    if details and details[0]["type"] == "json_invalid":
        return await _sluice_error(request, Malformed("the body is not valid JSON"))
    faults = [Fault(tuple(detail["loc"]), detail["type"], detail["msg"]) for detail in details]
    return await _sluice_error(request, Invalid(faults))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - by its registration
    # The edge says, and notes, a 413 in our own words; and who left in the middle of a body hears nothing.
    if error.status_code != 413 and not isinstance(error.__cause__, ClientDisconnect):
        note(request.scope, error.status_code, "http")
    title = _TITLES.get(error.status_code, error.detail)
    document = {"type": "about:blank", "title": title, "status": error.status_code, "code": "http"}
    headers = dict(error.headers or {})
    return Response(encode(document), error.status_code, headers, MEDIA_TYPE)


async def _driver_error(request: Request, error: Exception) -> Response:
    state = getattr(error, "sqlstate", None)
    if state is not None and not state.startswith(_AWAY_STATES):
        log.exception("a query is wrong", path=without_key(request.scope["path"])[:MAX_LOGGED_CHARS], exc_info=error)
        return await _sluice_error(request, Defect())
    log.warning("database away", path=without_key(request.scope["path"])[:MAX_LOGGED_CHARS], error=repr(error))
    return await _sluice_error(request, DatabaseAway())


def _rendered(request: Request, error: SluiceError) -> Response:
    return render(error, request.scope)


async def _gone(request: Request, error: Exception) -> Response:
    """The sender left; nobody reads this."""
    return Response(status_code=400)
