"""The express door: uvicorn's HTTP protocol, with a short way for the one request that comes all day.

A task, an ASGI scope, a router and its middlewares cost 150 µs a request, ten times what a small batch needs. A plain
``POST /v1/readings`` whose key and series are known is therefore decoded where its bytes arrive, handed to the writer,
and answered by a callback. Whatever is not plain (other routes, parameters, encodings, anything wrong) goes the long
way through the app, which gives every answer but a 200 after a hand-over.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ingest.body import INFLATERS
from ingest.corridor import Corridor
from ingest.writer import Outcome
from schemas.columns import Receipt
from schemas.errors import BodyTooSlow, SluiceError
from schemas.problems import MEDIA_TYPE, encode_problem

MAX_BYTES = 1 << 20  # larger bodies go the long way: what the short one saves is nothing against their decoding
_PASSED_BY = {b"host", b"user-agent", b"accept", b"accept-encoding", b"connection"}  # that change nothing here
_KEPT_ALIVE = {b"keep-alive", b"Keep-Alive"}


class _Nobody:
    """Stands where uvicorn wakes a handler that waits for a message: nobody does."""

    def set(self) -> None:
        """Wake nobody."""


class _Cycle:
    """A request on the short way, as uvicorn sees it: pipelined ones wait until `response_complete`."""

    __slots__ = (
        "body",
        "disconnected",
        "encoding",
        "keep_alive",
        "key",
        "message_event",
        "more_body",
        "response_complete",
    )

    def __init__(self, key: str, encoding: str) -> None:
        self.key = key
        self.encoding = encoding
        self.body = b""
        self.more_body = True
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
        self.message_event = _Nobody()


class ExpressProtocol(HttpToolsProtocol):
    """One connection."""

    _waiting: _Cycle | None = None
    """The express request whose body is not there yet."""
    _timer: asyncio.TimerHandle | None = None

    def on_message_begin(self) -> None:
        """Begin a request without a scope: the long way makes one where it begins."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the way."""
        idle = self.cycle is None or self.cycle.response_complete
        corridor: Corridor | None = self.app_state.get("corridor")
        if idle and corridor is not None and self.url == b"/v1/readings":
            cycle = self._express(min(MAX_BYTES, corridor.body_limits.max_bytes))
            if cycle is not None:
                self.cycle = self._waiting = cycle  # type: ignore[assignment]
                return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def _express(self, max_bytes: int) -> _Cycle | None:
        """The short way, if the headers are those of a plain request that presents a key."""
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        key = length = kind = None
        encoding = ""
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"authorization" and value[:7] == b"Bearer ":
                key = value[7:].decode("latin-1")
            elif name == b"content-type":
                kind = value
            elif name == b"content-encoding" and not encoding:
                encoding = value.decode("latin-1")
            elif name not in _PASSED_BY or (name == b"connection" and value not in _KEPT_ALIVE):
                return None
        plain = kind == b"application/json" and length is not None and 0 < length <= max_bytes
        return _Cycle(key, encoding) if plain and key is not None and encoding in INFLATERS else None

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        if self._waiting is None:
            super().on_body(body)
        else:
            self._waiting.body = self._waiting.body + body if self._waiting.body else body

    def on_message_complete(self) -> None:
        """The request is whole."""
        cycle, self._waiting = self._waiting, None
        if cycle is None:
            super().on_message_complete()
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        cycle.more_body = False
        corridor: Corridor = self.app_state["corridor"]
        if not corridor.write_at_once(
            cycle.key, cycle.encoding, cycle.body, lambda outcome: self._answer(cycle, outcome)
        ):
            self._go_the_long_way(cycle)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived; a body that is still not whole has a limited time from now."""
        super().data_received(data)
        if self._waiting is not None and self._timer is None:
            corridor: Corridor = self.app_state["corridor"]
            self._timer = self.loop.call_later(corridor.body_limits.receive_s, self._too_slow, self._waiting)

    def _too_slow(self, cycle: _Cycle) -> None:
        self._timer = None
        if self._waiting is cycle and not self.transport.is_closing():
            cycle.keep_alive = False  # what still comes of this body would be taken for a request
            self._answer(cycle, BodyTooSlow())

    def _go_the_long_way(self, cycle: _Cycle) -> None:
        """Have the app answer what is already here as a whole."""
        url, headers = self.url, self.headers
        cycle.response_complete = True  # as far as uvicorn is concerned, this request begins now
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        super().on_headers_complete()
        super().on_body(cycle.body)
        super().on_message_complete()

    def _answer(self, cycle: _Cycle, outcome: Outcome) -> None:
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        if isinstance(outcome, Receipt):
            head, body = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ", outcome.as_json()
        else:
            corridor: Corridor = self.app_state["corridor"]
            corridor.metrics.refused.labels(outcome.status, outcome.code).inc()
            head, body = _problem_head(outcome), encode_problem(outcome)
        parts: list[bytes] = [head, b"%d\r\ncache-control: no-store\r\n" % len(body)]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", body)
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The sender went away; what it handed over is stored all the same."""
        self._waiting = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)


def _problem_head(error: SluiceError) -> bytes:
    headers: dict[str, Any] = {"content-type": MEDIA_TYPE, **error.headers()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[error.status] + lines.encode("latin-1") + b"content-length: "
