"""The outermost layer of a request: an id that is in its answer and in every log line, and headers for browsers."""

import re
import secrets

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import Defect, TooLarge
from server import problems

log = structlog.get_logger(__name__)

MAX_JSON_BYTES = 256 << 10  # of a body that is no readings: it is read before its key is judged
_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
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
        request_id = _request_id(scope)

        begun = replaced = False

        async def answer(message: Message) -> None:
            nonlocal begun, replaced
            if replaced:
                return
            if message["type"] == "http.response.start" and _is_plain_413(message):
                replaced = True
                await problems.render(TooLarge("body_bytes", MAX_JSON_BYTES))(scope, receive, pass_on)
            else:
                await pass_on(message)

        async def pass_on(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                headers = message["headers"]
                present = {name for name, _ in headers}
                headers.append((b"x-request-id", request_id))
                headers.extend(pair for pair in _HEADERS if pair[0] not in present)
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id.decode())
        try:
            await self._app(scope, receive, answer)
        except Exception:
            if begun:
                raise
            # Answered here, as the framework raises it again behind its answer, on which uvicorn cuts the connection:
            # the sender's next request would meet a reset.
            log.exception("a request broke", method=scope["method"], path=scope["path"])
            await problems.render(Defect())(scope, receive, answer)


def _is_plain_413(message: Message) -> bool:
    """Whether the framework refuses a body in its own words: it has no exception for that which we could render."""
    kinds = (value for name, value in message["headers"] if name.lower() == b"content-type")
    return message["status"] == 413 and any(kind.startswith(b"text/plain") for kind in kinds)


def _request_id(scope: Scope) -> bytes:
    """The sender's id if it is a harmless one, else one of ours."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(8).encode()
