"""The express door: uvicorn's HTTP protocol, with a short way for the one request that comes all day.

A task, an ASGI scope, a router and its middlewares cost 150 µs a request, ten times what a small batch needs. A plain
``POST /v1/readings``, or a write by a foreign door, whose key and series are known is therefore decoded where its bytes
arrive, handed to the writer, and answered by a callback. Whatever is not plain (other routes, parameters, headers,
anything wrong) goes the long way through the app. The door itself answers what was handed over, a body that does not
come, and one too many of those.
"""

from math import inf

from ingest.answer import HARMLESS_ID, request_id_of
from ingest.body import INFLATERS
from ingest.bounded import BoundedProtocol
from ingest.corridor import Corridor
from ingest.foreign.credentials import key_in_header, key_in_url
from ingest.foreign.door import Door
from ingest.foreign.table import dialect_at, express
from ingest.formats.terms import Decode
from ingest.patience import Stage
from ingest.waiting import Outcome
from schemas.errors import Overloaded, QuotaExceeded, SluiceError
from schemas.keys import Principal

PATH = b"/v1/readings"
MAX_BYTES = 1 << 20  # larger bodies go the long way: what the short one saves is nothing against their decoding
TELL_AT_ONCE_S = 0.01  # nobody is kept waiting for less
_PASSED_BY = {b"host", b"user-agent", b"accept", b"accept-encoding", b"connection"}  # that change nothing here
_PASSED_BY |= {b"x-prometheus-remote-write-version"}  # whose Content-Type says the same
_PASSED_BY |= {b"x-forwarded-for", b"x-forwarded-proto"}  # a proxy's: nobody looks at the address of a known key
_PASSED_BY |= {b"x-real-ip", b"x-scheme", b"x-original-forwarded-for"}  # and what ingress-nginx adds
_PASSED_BY |= {b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-scheme"}
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
        "foreign",
        "keep_alive",
        "kind",
        "length",
        "message_event",
        "more_body",
        "principal",
        "request_id",
        "response_complete",
        "response_started",
        "share",
        "url",
    )

    def __init__(self, principal: Principal | SluiceError, encoding: str, length: int, *, keep_alive: bool) -> None:
        self.principal = principal
        self.encoding = encoding
        self.length = length
        self.body = bytearray()
        self.request_id = b""  # the sender's, or a proxy's
        self.share = 0  # of the intake, bytes
        self.more_body = True
        self.keep_alive = keep_alive
        self.url, self.kind = PATH, ""  # Content-Type, of a foreign request
        self.foreign: tuple[Door, Decode] | None = None  # where it did not come by the native door
        self.disconnected = False
        self.response_started = self.response_complete = False
        self.message_event = _Nobody()


class ExpressProtocol(BoundedProtocol):
    """One connection."""

    _waiting: _Cycle | None = None
    """The express request whose body is not there yet."""

    def begin(self) -> None:
        """Choose the way."""
        corridor: Corridor | None = self.app_state.get("corridor")
        if (
            corridor is not None
            and (self.url == PATH or dialect_at(self.url) is not None)
            and self.is_idle
            and not self.flow.write_paused
        ):
            cycle = self._plain(corridor)
            if cycle is not None:
                self.cycle = self._waiting = cycle  # type: ignore[assignment]
                if isinstance(cycle.principal, SluiceError):
                    self._refuse_unread(cycle.principal)
                return
            if (crowd := corridor.crowded()) is not None:
                self._refuse_unread(crowd)
                return
        super().begin()

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        if self._waiting is not None:
            self._waiting.body += body
        elif isinstance(self.cycle, _Cycle) and isinstance(self.cycle.principal, SluiceError):
            return  # it was refused
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        cycle = self._waiting
        if cycle is None:
            super().on_message_complete()
            return
        self._end_waiting(cycle)
        self._stage = self._timed = Stage.WHOLE
        self.deadline.due = inf
        cycle.more_body = False
        body = bytes(cycle.body)
        corridor: Corridor = self.app_state["corridor"]
        assert isinstance(cycle.principal, Principal)  # noqa: S101 - for mypy: whoever was refused does not wait

        def reply(outcome: Outcome) -> None:
            self._take(cycle, outcome)

        if corridor.write_at_once(cycle.principal, cycle.encoding, body, reply, cycle.foreign):
            return
        cycle.response_complete = True  # as far as uvicorn is concerned, this request begins now
        super().begin()
        super().on_body(body)
        super().on_message_complete()
        self.cycle.keep_alive = self.cycle.keep_alive and cycle.keep_alive  # a shutdown may have come in between

    def await_body(self) -> None:
        """The body did not come with its head: it has a limited time, and a share of what may be on its way at all."""
        cycle = self._waiting
        if cycle is None:
            super().await_body()
            return
        self.deadline.within(self.patience.body_s)
        corridor: Corridor = self.app_state["corridor"]
        try:
            corridor.intake.take(cycle.length)
        except Overloaded as error:
            self._waiting = None  # what comes of the body is dropped
            self._answer(cycle, error)
        else:
            cycle.share = cycle.length

    def connection_lost(self, exc: Exception | None) -> None:
        """The sender went away; what it handed over is stored all the same."""
        if self._waiting is not None:
            self._end_waiting(self._waiting)
        super().connection_lost(exc)

    def _end_waiting(self, cycle: _Cycle) -> None:
        self._waiting = None
        if cycle.share:
            corridor: Corridor = self.app_state["corridor"]
            corridor.intake.give(cycle.share)

    def _plain(self, corridor: Corridor) -> _Cycle | None:
        """The short way, if the headers are those of a plain request of somebody who may begin to write."""
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        key = length = kind = None
        encoding, request_id = "", b""
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"authorization" and key is None:
                text = value.decode("latin-1")
                key = text[7:] if text[:7] == "Bearer " else key_in_header(text)
                if key is None:
                    return None
            elif name == b"content-type" and kind is None:
                kind = value
            elif name == b"content-encoding" and not encoding:
                encoding = value.decode("latin-1")
            elif name == b"x-request-id" and HARMLESS_ID.fullmatch(value):
                request_id = value
            elif name not in _PASSED_BY or (name == b"connection" and value not in _KEPT_ALIVE):
                return None
        most = min(MAX_BYTES, corridor.body_limits.max_bytes)
        if key is None and self.url != PATH:
            key = key_in_url(self.url.partition(b"?")[0].decode("latin-1"), b"")
        if key is None or length is None or not 0 < length <= most:
            return None
        cycle = self._begun(corridor, key, encoding, length, kind)
        if cycle is not None:
            cycle.request_id = request_id
        return cycle

    def _begun(self, corridor: Corridor, key: str, encoding: str, length: int, kind: bytes | None) -> _Cycle | None:
        """A request by the native door, or by a foreign one whose URL and kind are plain."""
        if self.url == PATH and kind == b"application/json":
            foreign, inflaters = None, INFLATERS
        elif (foreign := express(self.url, kind or b"")) is not None:
            inflaters = foreign[0].encodings
        else:
            return None
        if encoding not in inflaters or (principal := corridor.admit_at_once(key)) is None:
            return None
        cycle = _Cycle(principal, encoding, length, keep_alive=not self._is_last)
        if foreign is not None:
            cycle.foreign, cycle.url, cycle.kind = foreign, self.url, (kind or b"").decode("latin-1")
        return cycle

    def _refuse_unread(self, error: SluiceError) -> None:
        """Refuse at the head; what comes of the body is dropped.

        The more are being refused, the later each is told: a crowd that comes again at once would else use up by asking
        what could be stored meanwhile. Until then nothing is read of this connection.
        """
        cycle = _Cycle(error, "", 0, keep_alive=not self._is_last)
        cycle.url = self.url
        cycle.request_id = request_id_of(self.headers)
        if self.url != PATH:  # some foreign protocols are answered in the encoding of the request
            kinds = (value for name, value in self.headers if name == b"content-type")
            cycle.kind = next(kinds, b"").decode("latin-1")
        self.cycle, self._waiting = cycle, None  # type: ignore[assignment]
        self._tell(cycle, error)

    def _take(self, cycle: _Cycle, outcome: Outcome) -> None:
        """What became of a request."""
        if isinstance(outcome, Overloaded | QuotaExceeded):
            self._tell(cycle, outcome)
        else:
            self._answer(cycle, outcome)

    def _tell(self, cycle: _Cycle, error: SluiceError) -> None:
        corridor: Corridor = self.app_state["corridor"]
        if (delay_s := corridor.crowd.enter(self.loop.time())) < TELL_AT_ONCE_S:
            self._answer(cycle, error)
        else:
            self.flow.pause_reading()
            self.loop.call_later(delay_s, self._answer, cycle, error)

    def _answer(self, cycle: _Cycle, outcome: Outcome) -> None:
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        given = cycle.request_id
        self.write(outcome, b"POST", cycle.url, keep_alive=cycle.keep_alive, kind=cycle.kind, request_id=given)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
