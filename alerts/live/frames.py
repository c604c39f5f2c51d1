"""What a client's frames may cost: uvicorn's WebSocket protocol takes as many as one read brings, of any kind.

Whole messages are bounded by reading no further while one waits to be handled. Pings, pongs and fragments make no
message, so they have a budget.
"""

import http
import time
from typing import Any

import structlog
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame
from websockets.http11 import Response
from websockets.server import ServerProtocol

from schemas.problems import MEDIA_TYPE, encode

log = structlog.get_logger(__name__)

SLICE_BYTES = 4 << 10  # parsed at a time: some hundred of the smallest frames
FRAMES_BURST = 1_000  # of the kinds that make no message: at once …
FRAMES_PER_S = 100.0  # … and steadily


class QuietServer(ServerProtocol):
    """The library's side of the protocol; it says why it refuses a handshake, but repeats nothing of it."""

    def reject(self, status: http.HTTPStatus | int, text: str) -> Response:
        """An answer to a handshake that fails."""
        status = http.HTTPStatus(status)
        document = {"type": "about:blank", "title": "No WebSocket can begin here.", "status": int(status)}
        body = encode(document | {"code": "handshake", "detail": status.phrase})
        log.info("refused", method="GET", path="(WebSocket)", status=int(status), code="handshake")
        headers = {"Connection": "close", "Content-Length": str(len(body)), "Content-Type": MEDIA_TYPE}
        return Response(int(status), status.phrase, Headers(headers), body)


class BoundedFrames(WebSocketsSansIOProtocol):
    """One connection, from its handshake on."""

    _held = b""
    """Received, and not parsed yet, as a message waits to be handled."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = QuietServer(max_size=self.config.ws_max_size)
        self._budget = float(FRAMES_BURST)
        self._counted_at = time.monotonic()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._held or self._must_wait:
            self._held += data
            self._pause()
        else:
            self._parse(data)

    async def receive(self) -> Any:
        """The next message, for the app; where that was the last one, what is held is parsed."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self._go_on()
        return message

    async def send(self, message: Any) -> None:
        """What the app sends; once it accepted or closed, what is held is parsed."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True  # it was refused, and is not to be missed
        if self._held and not self.transport.is_closing():
            self._go_on()

    @property
    def _must_wait(self) -> bool:
        """Whether no frame may be parsed now: the app has not accepted yet, or a message waits for it."""
        return (self.handshake_initiated and not self.handshake_complete) or (self.read_paused and not self.close_sent)

    def _pause(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _go_on(self) -> None:
        if not self.handshake_complete and not self.disconnected:
            return
        held, self._held = self._held, b""
        self.read_paused = False
        self._parse(held)
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def _parse(self, data: bytes) -> None:
        for place in range(0, len(data), SLICE_BYTES):
            if self.transport.is_closing():
                return
            if self._must_wait:
                self._held = data[place:]
                self._pause()
                return
            super().data_received(data[place : place + SLICE_BYTES])
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()))  # no handshake at all, says the library
            self.transport.close()

    # -- frames that make no message ------------------------------------------------------------------------------

    def handle_ping(self) -> None:
        """A ping is answered by the library; here goes its pong."""
        if self._may_go_on():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """A pong that nobody asked for."""
        if self._may_go_on():
            super().handle_pong(event)

    def handle_text(self, event: Frame) -> None:
        """A message, or the beginning of one."""
        if event.fin or self._may_go_on():
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        """A message, or the beginning of one."""
        if event.fin or self._may_go_on():
            super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        """A fragment."""
        if self._may_go_on():
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """A message is whole."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf8(self.frames):
            self._fail(CloseCode.INVALID_DATA, "text that is no UTF-8")
        else:
            super().send_receive_event_to_app()

    def _may_go_on(self) -> bool:
        """Spend one frame; without any left, the connection ends."""
        now = time.monotonic()
        refilled = self._budget + (now - self._counted_at) * FRAMES_PER_S
        self._budget, self._counted_at = min(refilled, FRAMES_BURST) - 1, now
        if self._budget < 0 and not self.close_sent:
            self._fail(CloseCode.POLICY_VIOLATION, "too many frames that make no message")
        return not self.close_sent

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """The connection fails; its close frame was made by the library."""
        close = self.conn.close_sent
        if close is None or self.close_sent:
            self.transport.close()
            return
        log.info("closed", code=int(close.code), reason=close.reason)
        super().handle_parser_exception()


def _is_utf8(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
