"""The express door: uvicorn's HTTP protocol, with a short way for the one request that comes all day.

A task, an ASGI scope, a router and its middlewares cost 150 µs a request, ten times what a small batch needs. A plain
``POST /v1/readings`` whose key and series are known is therefore decoded where its bytes arrive, handed to the writer,
and answered by a callback. Whatever is not plain (other routes, parameters, headers, anything wrong) goes the long way
through the app. The door itself answers what was handed over, a body that does not come, and a head without end.
"""

import asyncio
import secrets

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ingest.body import INFLATERS
from ingest.corridor import Corridor
from ingest.writer import Outcome
from schemas.columns import Receipt
from schemas.errors import BodyTooSlow, HeadTooLarge, SluiceError
from schemas.keys import Principal
from schemas.problems import MEDIA_TYPE, encode_problem

log = structlog.get_logger(__name__)

MAX_BYTES = 1 << 20  # larger bodies go the long way: what the short one saves is nothing against their decoding
MAX_HEAD_BYTES = 64 << 10  # of the URL and all headers of one request: the parser has no limit of its own
_PASSED_BY = {b"host", b"user-agent", b"accept", b"accept-encoding", b"connection"}  # that change nothing here
# Of the headers that other answers have for browsers, the two that matter to an answer no page can show: 200 bytes more
# a request are not nothing to a device on a metered line.
_ALWAYS = b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
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
        "message_event",
        "more_body",
        "principal",
        "response_complete",
    )

    def __init__(self, principal: Principal, encoding: str) -> None:
        self.principal = principal
        self.encoding = encoding
        self.body = bytearray()
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
    _head_bytes = 0
    """Of the request whose head is being read, as far as it was parsed."""
    _unfinished_bytes = 0
    """Received since that head began and did not end."""
    _in_head = False

    # -- the parser's callbacks -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request without a scope: the long way makes one where it begins."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head_bytes = self._unfinished_bytes = 0
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A piece of the URL."""
        self._head_bytes += len(url)
        if self._head_bytes <= MAX_HEAD_BYTES:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; beyond the limit they are not kept."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes <= MAX_HEAD_BYTES:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Choose the way."""
        self._in_head = False
        if self._head_bytes > MAX_HEAD_BYTES:
            return  # `data_received` ends the connection
        corridor: Corridor | None = self.app_state.get("corridor")
        if corridor is not None and self._is_idle and self.url == b"/v1/readings" and not self.flow.write_paused:
            cycle = self._plain(corridor)
            if cycle is not None:
                self.cycle = self._waiting = cycle  # type: ignore[assignment]
                return
        self._begin_the_long_way()

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        if self._waiting is not None:
            self._waiting.body += body
        elif self._head_bytes <= MAX_HEAD_BYTES:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        cycle, self._waiting = self._waiting, None
        if cycle is None:
            if self._head_bytes <= MAX_HEAD_BYTES:
                super().on_message_complete()
            return
        self._stop_timer()
        cycle.more_body = False
        body = bytes(cycle.body)
        corridor: Corridor = self.app_state["corridor"]
        if corridor.write_at_once(cycle.principal, cycle.encoding, body, lambda outcome: self._answer(cycle, outcome)):
            return
        cycle.response_complete = True  # as far as uvicorn is concerned, this request begins now
        self._begin_the_long_way()
        super().on_body(body)
        super().on_message_complete()
        self.cycle.keep_alive = self.cycle.keep_alive and cycle.keep_alive  # a shutdown may have come in between

    # -- the transport's callbacks --------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes arrived; a body that is still not whole has a limited time from now."""
        super().data_received(data)
        if self._in_head:
            self._unfinished_bytes += len(data)
        if max(self._head_bytes, self._unfinished_bytes) > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge("head_bytes", MAX_HEAD_BYTES))
        elif self._waiting is not None and self._timer is None:
            corridor: Corridor = self.app_state["corridor"]
            self._timer = self.loop.call_later(corridor.body_limits.receive_s, self._too_slow, self._waiting)

    def connection_lost(self, exc: Exception | None) -> None:
        """The sender went away; what it handed over is stored all the same."""
        self._waiting = None
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP. Behind a request without an answer yet, any status would be taken for its answer."""
        if self._is_idle:
            super().send_400_response(msg)
        else:
            self.transport.close()

    # -- ways and answers -----------------------------------------------------------------------------------------

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _plain(self, corridor: Corridor) -> _Cycle | None:
        """The short way, if the headers are those of a plain request of somebody who may begin to write."""
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        key = length = kind = None
        encoding = ""
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"authorization" and key is None and value[:7] == b"Bearer ":
                key = value[7:].decode("latin-1")
            elif name == b"content-type" and kind is None:
                kind = value
            elif name == b"content-encoding" and not encoding:
                encoding = value.decode("latin-1")
            elif name not in _PASSED_BY or (name == b"connection" and value not in _KEPT_ALIVE):
                return None
        most = min(MAX_BYTES, corridor.body_limits.max_bytes)
        if kind != b"application/json" or length is None or not 0 < length <= most or encoding not in INFLATERS:
            return None
        principal = None if key is None else corridor.admit_at_once(key)
        return None if principal is None else _Cycle(principal, encoding)

    def _begin_the_long_way(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def _too_slow(self, cycle: _Cycle) -> None:
        self._timer = None
        if self._waiting is cycle:
            cycle.keep_alive = False  # what still comes of this body would be taken for a request
            self._answer(cycle, BodyTooSlow())

    def _refuse(self, error: SluiceError) -> None:
        """Answer a request that never began, unless another still waits for its answer; and hang up."""
        if self._is_idle and not self.transport.is_closing():
            self._write(error, keep_alive=False)
        self.transport.close()

    def _answer(self, cycle: _Cycle, outcome: Outcome) -> None:
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        self._write(outcome, keep_alive=cycle.keep_alive)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _write(self, outcome: Outcome, *, keep_alive: bool) -> None:
        if isinstance(outcome, Receipt):
            status, body = 200, outcome.as_json()
            lines = b"content-type: application/json\r\n"
        else:
            status, body, lines = outcome.status, encode_problem(outcome), self._told(outcome)
        parts = [STATUS_LINE[status], lines, b"content-length: %d\r\n" % len(body), _ALWAYS]
        parts += [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        parts += (b"\r\n" if keep_alive else b"connection: close\r\n\r\n", body)
        self.transport.write(b"".join(parts))

    def _told(self, error: SluiceError) -> bytes:
        """Count and log a refusal; returns its headers."""
        request_id = secrets.token_hex(8)
        log.info("refused", method="POST", path="/v1/readings", status=error.status, code=error.code, id=request_id)
        corridor: Corridor | None = self.app_state.get("corridor")
        if corridor is not None:
            corridor.metrics.refused.labels(error.status, error.code).inc()
        headers = {"content-type": MEDIA_TYPE, "x-request-id": request_id, **error.headers()}
        return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
