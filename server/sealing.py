"""Answers as they are sent: with an ETag, compressed where that is worth it, or 304 where the client has them already.

For whole answers of JSON; streams, refusals and what is compressed already pass as they are.
"""

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from query.negotiation import LEAST_BYTES, coding, compressed


def sealed(route: BaseRoute) -> None:
    """Have a route, or a whole router that was included, seal what it answers to GET."""
    enter = route.handle

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        await enter(scope, receive, _Seal(scope, send) if scope["method"] == "GET" else send)

    route.handle = handle  # type: ignore[method-assign]


def is_fresh(if_none_match: str, etag: str) -> bool:
    """Whether a client that says this has what the ETag names. Compared weakly, as GET does."""
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag.removeprefix("W/") in known or "*" in known


class _Seal:
    """Holds the head of an answer until its body is known."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._head: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_json(message):
            self._head = message
            return
        if (head := self._head) is not None:
            self._head = None
            if not message.get("more_body", False):
                message = self._seal(head, message)
            await self._send(head)
        await self._send(message)

    def _seal(self, head: Message, message: Message) -> Message:
        asked, headers, body = Headers(scope=self._scope), MutableHeaders(raw=head["headers"]), message["body"]
        # Weak, as it names what is said, however it is compressed.
        headers["ETag"] = etag = f'W/"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        headers.add_vary_header("Accept-Encoding")
        if is_fresh(asked.get("If-None-Match", ""), etag):
            head["status"], body = 304, b""
            del headers["Content-Length"], headers["Content-Type"]
        elif len(body) >= LEAST_BYTES and (name := coding(asked.get("Accept-Encoding"))):
            headers["Content-Encoding"], body = name, compressed(name, body)
            headers["Content-Length"] = str(len(body))
        return {**message, "body": body}


def _is_json(head: Message) -> bool:
    headers = Headers(raw=head["headers"])
    return (
        head["status"] == 200
        and headers.get("Content-Type", "").startswith("application/json")
        and "Content-Encoding" not in headers
    )
