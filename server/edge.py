"""The outermost layer of a request: an id that is in its answer and in every log line, and headers for browsers."""

import secrets
import time
from contextlib import nullcontext
from urllib.parse import unquote_to_bytes

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.answer import MAX_LOGGED_CHARS, request_id_of
from ingest.foreign.credentials import without_key
from ingest.foreign.table import dialect_of
from schemas.errors import Defect, NotFound, SluiceError, TooLarge
from server import problems
from server.requests import RequestMetrics
from server.traces import RequestTraces

log = structlog.get_logger(__name__)

MAX_JSON_BYTES = 256 << 10  # of a body that is no readings: rules, silences, keys
_HEADERS = (  # of every answer that has none of its own: the pages bring a policy under which they work
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)


class Edge:
    """Plain ASGI: the framework's own middleware class costs a task a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _request_id(scope)
        structlog.contextvars.bind_contextvars(request_id=request_id.decode())
        answer = _Answer(scope, receive, send, request_id)
        traces: RequestTraces | None = scope["state"].get("traces")
        with nullcontext() if traces is None else traces.request(scope) as span:
            try:
                await self._pass(scope, receive, answer)
            finally:
                if "requests" in scope["state"]:  # else it has only begun
                    requests: RequestMetrics = scope["state"]["requests"]
                    route = requests.note(scope, answer.status, time.perf_counter() - began)
                    if traces is not None:
                        traces.answered(span, route, answer.status, request_id.decode())

    async def _pass(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        if _names_nothing(scope):
            await answer.refuse(NotFound())
            return
        try:
            await self._app(scope, receive, answer)
        except Exception:
            if answer.begun:
                raise
            # Answered here, as the framework raises it again behind its answer, on which uvicorn cuts the connection:
            # the sender's next request would meet a reset.
            log.exception("a request broke", method=scope["method"], path=without_key(scope["path"])[:MAX_LOGGED_CHARS])
            await answer.refuse(Defect())


class _Answer:
    """What the app sends, with our headers, and in our words where it has none."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        self._scope, self._receive, self._send, self._id = scope, receive, send, request_id
        self.begun = self._replaced = False
        self.status = 0
        """Of what was answered; 0 before."""

    async def __call__(self, message: Message) -> None:
        """Send it on."""
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            if (
                _is_plain_413(message) and dialect_of(self._scope["path"]) is None
            ):  # some protocols have them in plain text
                await self.refuse(TooLarge("body_bytes", MAX_JSON_BYTES))
                self._replaced = True
                return
            self.begun, self.status = True, message["status"]
            headers = message["headers"]
            present = {name for name, _ in headers}
            headers.append((b"x-request-id", self._id))
            headers.extend(pair for pair in _HEADERS if pair[0] not in present)
        await self._send(message)

    async def refuse(self, error: SluiceError) -> None:
        """Answer in place of the app."""
        problems.note(self._scope, error.status, error.code)
        await problems.render(error, self._scope)(self._scope, self._receive, self)


def _is_plain_413(message: Message) -> bool:
    """Whether the framework refuses a body in its own words: it has no exception for that which we could render."""
    kinds = (value for name, value in message["headers"] if name.lower() == b"content-type")
    return message["status"] == 413 and any(kind.startswith(b"text/plain") for kind in kinds)


def _names_nothing(scope: Scope) -> bool:
    """Whether the path holds what no name can: a NUL, or bytes that are no UTF-8 (which come decoded as U+FFFD)."""
    path: str = scope["path"]
    if "\0" in path:
        return True
    if "\ufffd" not in path:
        return False
    try:
        unquote_to_bytes(scope["raw_path"]).decode()
    except UnicodeDecodeError:
        return True
    return False


def _request_id(scope: Scope) -> bytes:
    """The sender's id if it is a harmless one, else one of ours."""
    return request_id_of(scope["headers"]) or secrets.token_hex(8).encode()
