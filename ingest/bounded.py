"""uvicorn's HTTP protocol with the bounds it lacks: of a head, of silence, of what is pipelined; and sound framing."""

import asyncio
from math import inf
from typing import ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ingest.answer import encode_answer, note_refusal
from ingest.corridor import Corridor
from ingest.deadline import Deadline
from ingest.foreign.table import dialect_at
from ingest.patience import Flow, Patience, Stage
from ingest.upgrade import plain_head
from ingest.waiting import Outcome
from schemas.errors import BadHttp, BodyTooSlow, HeadTooLarge, HeadTooSlow, SluiceError, UrlTooLong

MAX_HEAD_BYTES = 64 << 10  # of the URL and all headers of one request: the parser has no limit of its own
MAX_LENGTH_DIGITS = 18  # of Content-Length: more are no length, but a trial of somebody's integers
MAX_WAITING = 32  # requests of one connection that wait for the answer to another; then it is read no further
SLICE_BYTES = 16 << 10  # parsed at a time: what was pipelined in one read must not all become requests at once


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    patience: ClassVar = Patience()
    flow: Flow
    deadline: Deadline
    """When the other side has to have done something; never, while the next step is ours."""

    _stage = Stage.WHOLE
    _timed = Stage.WHOLE  # the stage that the deadline was set for
    _head_bytes = 0
    """Of the request whose head is being read, as far as it was parsed."""
    _unfinished_bytes = 0  # received since that head began and did not end
    _fault: SluiceError | None = None  # why a callback made the parser stop
    _plain_head = b""  # of a request that has yet to begin: see `ingest/upgrade.py`
    _held = b""  # received and not parsed yet, as too many requests wait
    _running: RequestResponseCycle | None = None
    """What the app answers now, or answered last: others wait for it in the pipeline."""
    _is_last = False  # no request is begun behind the one that is on its way, or comes next
    _is_deaf = False  # what still comes is not looked at

    # -- the parser's callbacks -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request without a scope: `begin` makes one."""
        self.url = b""
        self.headers = []
        self._head_bytes = self._unfinished_bytes = 0
        self._stage, self._timed = Stage.HEAD, Stage.WHOLE

    def on_url(self, url: bytes) -> None:
        """A piece of the URL."""
        self._head_bytes += len(url)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._stop(UrlTooLong("url_bytes", MAX_HEAD_BYTES))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._stop(HeadTooLarge("head_bytes", MAX_HEAD_BYTES))
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begin the request, if its head is sound."""
        hosts = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length" and len(value) > MAX_LENGTH_DIGITS:
                self._stop(BadHttp("the Content-Length is no length"))
        if hosts != 1 and (hosts > 1 or self.parser.get_http_version() != "1.0"):
            self._stop(BadHttp("a request has exactly one Host"))
        if self.parser.should_upgrade() and not self._should_upgrade():
            self._plain_head = plain_head(self.parser, self.url, self.headers)
        if not self._plain_head:
            self.begin()
            self._stage = Stage.BODY

    def begin(self) -> None:
        """Begin the request whose head was read: through the app."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = any(n == b"expect" and v.lower() == b"100-continue" for n, v in headers)
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle
        if self._is_last and self.cycle is not None:  # there is none for a WebSocket
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is whole: the next step is ours."""
        if self._plain_head:
            return
        self._stage = self._timed = Stage.WHOLE
        self.deadline.due = inf
        if self.is_idle:  # it was answered before all of it came
            self.deadline.within(self.patience.idle_s)
        super().on_message_complete()

    def _stop(self, fault: SluiceError) -> None:
        """Have the parser stop: a callback that raises does."""
        self._fault = fault
        raise ValueError(fault.code)

    # -- the transport's callbacks --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is here, and has to say something soon."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        self.deadline = Deadline(self.loop, self._overdue)
        self.deadline.within(self.patience.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is here any more."""
        self._held = b""
        self.deadline.cancel()
        if self._running is not None and self._running is not self.cycle:  # uvicorn tells only the newest
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self.flow.full or self._is_deaf:
            self._held += data if self.flow.full else b""
            self.flow.pause_reading()
        elif len(data) <= SLICE_BYTES and not self.pipeline:
            self._parse(data)
        else:
            self._held = data
            self._parse_held()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._upgrade(data[upgrade.args[0] :])
            elif rest := self._plain_head + data[upgrade.args[0] :]:  # not offered: a request like any other
                self._plain_head = b""
                self._parse(rest)
        except httptools.HttpParserError:
            self._refuse(self._fault or BadHttp())
        else:
            if self._stage is Stage.HEAD:
                self._unfinished_bytes += len(data)
                if self._unfinished_bytes > MAX_HEAD_BYTES:
                    self._refuse(HeadTooLarge("head_bytes", MAX_HEAD_BYTES))
            if self._stage is not self._timed:  # only a part of a request came: its rest has a limited time
                self._timed = self._stage
                if self._stage is Stage.HEAD:
                    self.deadline.within(self.patience.head_s)
                else:
                    self.await_body()

    def _upgrade(self, rest: bytes) -> None:
        if not self.is_idle:
            self._refuse(BadHttp("a WebSocket cannot begin before all requests are answered"))
            return
        self.deadline.cancel()
        self._is_deaf = True
        self.handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if rest and isinstance(protocol, asyncio.Protocol):
            protocol.data_received(rest)  # frames that did not wait for our answer

    def _parse_held(self) -> None:
        """Parse what is held, slice by slice, until too many requests wait."""
        held, self._held = self._held, b""
        for place in range(0, len(held), SLICE_BYTES):
            if self.transport.is_closing() or self._is_deaf:
                return
            if len(self.pipeline) >= MAX_WAITING:
                self.flow.fill()
                self._held = held[place:]
                self._timed, self.deadline.due = Stage.WHOLE, inf  # nobody is late with what we do not read
                return
            self._parse(held[place : place + SLICE_BYTES])

    def await_body(self) -> None:
        """A body did not come with its head. Where a route has a limit of its own, its answer comes first."""
        self.deadline.within(self.patience.body_s + 1)

    # -- answers --------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether every request that was begun has its answer."""
        return self.cycle is None or self.cycle.response_complete

    def on_response_complete(self) -> None:
        """An answer was written: begin what waits for it, else wait for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._running, app = self.pipeline.pop()
            self._start_asgi_task(self._running, app)
        elif self._stage is Stage.WHOLE:
            self.deadline.within(self.patience.idle_s)
        if self.flow.full and len(self.pipeline) <= MAX_WAITING // 2:
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self.transport.is_closing() and self.flow.full:
            self.flow.full = False
            self._parse_held()
            self.flow.resume_reading()

    def soften(self) -> None:
        """Let what is on its way be answered, and one request more, if it comes: each with advice to close."""
        self._is_last = True
        if not self.is_idle:
            self.cycle.keep_alive = False

    def _overdue(self) -> None:
        if self.transport.is_closing():
            return
        if self._stage is Stage.BODY:
            self._refuse(BodyTooSlow())
        elif self._stage is Stage.HEAD:
            self._refuse(HeadTooSlow())
        else:
            self.transport.close()

    def _refuse(self, error: SluiceError) -> None:
        """Answer the request that arrives, and hang up. Behind one without an answer, it would be taken for that."""
        self.flow.full, self._is_deaf = False, True
        self.deadline.cancel()
        if self._stage is not Stage.BODY:
            if not self.is_idle:
                self.cycle.keep_alive = False  # whose answer ends the connection
                return
            self.write(error, b"-", self.url, keep_alive=False)
        elif not (self.pipeline or self.cycle.response_started or self.cycle.response_complete):
            self.write(error, self.parser.get_method(), self.url, keep_alive=False)
            self.cycle.disconnected = True  # nobody hears what the app may still say
        self.transport.close()

    def write(
        self, outcome: Outcome, method: bytes, url: bytes, *, keep_alive: bool, kind: str = "", request_id: bytes = b""
    ) -> None:
        """Write an answer without the app, in the words of the protocol it came by."""
        common = self.server_state.default_headers
        if isinstance(outcome, SluiceError):
            corridor: Corridor | None = self.app_state.get("corridor")
            metrics = corridor.metrics if corridor else None
            request_id = note_refusal(outcome, metrics, method, url, request_id)
        told = dialect.answer(outcome, kind, self.headers or ()) if (dialect := dialect_at(url, kind)) else None
        self.transport.write(encode_answer(outcome, common, keep_alive=keep_alive, told=told, request_id=request_id))
