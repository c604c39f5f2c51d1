"""`/ws`: one reader and one writer per socket, and nothing that could wait for a client for ever."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from collections.abc import Set as AbstractSet

import structlog
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from alerts.live import protocol
from alerts.live.commands import Command, Refused
from alerts.live.connection import Connection
from alerts.live.connections import ConnectionManager
from alerts.live.feed import Feed
from alerts.live.identity import Admit, Identity
from alerts.live.origin import is_foreign
from alerts.live.session import Session
from alerts.live.wire import wire_of
from schemas.errors import DatabaseAway, Forbidden, SluiceError
from schemas.problems import MEDIA_TYPE, encode_problem

log = structlog.get_logger(__name__)

GONE = (WebSocketDisconnect, RuntimeError)
"""What sending to a closed socket raises: uvicorn answers a send after its own close (1009, say) with RuntimeError."""

RETRY_S = 0.5
"""Between two reads for a subscription that catches up while PostgreSQL is away."""


def make_endpoint(
    manager: ConnectionManager,
    feed: Feed,
    admit: Admit,
    *,
    version: str,
    origins: AbstractSet[str] = frozenset(),
) -> Callable[[WebSocket], Awaitable[None]]:
    """Build the endpoint for `WebSocketRoute("/ws", …)`. `origins`: whose pages may use a cookie, besides our own.

    The server it runs in has to bound frames (64 KiB) and to leave per-message deflate off.
    """

    async def live(websocket: WebSocket) -> None:
        if is_foreign(websocket.headers, origins):
            await _refuse(websocket, Forbidden("a page of another origin may not use the cookie of this one"))
            return
        await Socket(websocket, manager, feed, admit, version).serve()

    return live


async def _refuse(websocket: WebSocket, error: SluiceError) -> None:
    log.info("refused", method="GET", path=websocket.scope["path"], status=error.status, code=error.code)
    with contextlib.suppress(*GONE):
        response = Response(encode_problem(error), error.status, error.headers(), MEDIA_TYPE)
        await websocket.send_denial_response(response)


class Socket:
    """A WebSocket from its acceptance to its end."""

    def __init__(
        self, websocket: WebSocket, manager: ConnectionManager, feed: Feed, admit: Admit, version: str
    ) -> None:
        self._websocket = websocket
        self._manager = manager
        self._limits = manager.limits
        self._loop = asyncio.get_running_loop()
        self._patience = asyncio.timeout(None)
        self._wire = wire_of(websocket)
        write = None if self._wire is None else self._wire.write
        self._connection = Connection(self._limits, self._on_close, write)
        identity = Identity(self._connection, websocket, admit, self._limits, version)
        self._session = Session(
            self._connection,
            manager,
            feed,
            identity,
            on_connected=self._on_connected,
            on_pong=self._on_pong,
        )
        self._pinged_at: float | None = None  # loop seconds; None while no pong is awaited
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Serve until the client leaves or is closed; then within `close_s`, whatever the client does."""
        try:
            await self._websocket.accept()
        except GONE:
            return
        self._set_timer(self._limits.connect_s, lambda: self._connection.close(protocol.STALE))
        try:
            async with self._patience, asyncio.TaskGroup() as group:
                self._manager.add(self._connection)
                group.create_task(self._write())
                await self._read()
        except TimeoutError:
            # It took no bytes, so it cannot be told why either.
            log.info("connection_abandoned", client=self._connection.id)
            if self._wire is not None:
                self._wire.cut()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._manager.remove(self._connection)

    async def _read(self) -> None:
        """Handle what the client sends. Goes on while closing, until the socket is gone: shutting down waits for it."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._connection.close(protocol.CONNECTION_CLOSED)
                return
            text = message.get("text")
            await self._handle([Refused(0, protocol.BAD_REQUEST, True)] if text is None else protocol.parse(text))

    async def _handle(self, commands: Iterable[Command]) -> None:
        try:
            for command in commands:
                if self._connection.closing is not None:
                    return
                await self._session.handle(command)
        except Exception:
            log.exception("command_failed", client=self._connection.id)
            self._connection.close(protocol.SERVER_ERROR)

    async def _write(self) -> None:
        """Send what is queued; where nothing is, what a subscription missed, as fast as the client takes it."""
        connection = self._connection
        while True:
            if frame := connection.take():
                await self._send(frame)
            elif connection.closing is not None:
                break
            elif connection.behind is not None:
                await self._catch_up()
            else:
                await connection.wait()
        with contextlib.suppress(*GONE):
            await self._websocket.close(connection.closing.code, connection.closing.reason)

    async def _catch_up(self) -> None:
        subscription = self._connection.behind
        if subscription is None:
            return
        try:
            pushes = await self._session.catch_up(subscription)
        except DatabaseAway:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self._connection.wait()
            return
        for frame in protocol.joined(pushes, self._limits.frame_bytes):
            if self._connection.closing is not None:
                return
            await self._send(frame)

    async def _send(self, text: str) -> None:
        self._connection.sending_since = self._loop.time()
        try:
            await self._websocket.send({"type": "websocket.send", "text": text})
        except GONE:
            self._connection.close(protocol.CONNECTION_CLOSED)
        self._connection.sending_since = None

    def _on_close(self) -> None:
        self._patience.reschedule(self._loop.time() + self._limits.close_s)

    def _on_connected(self) -> None:
        self._set_timer(self._limits.ping_s, self._ping)

    def _ping(self) -> None:
        self._pinged_at = self._loop.time()
        self._connection.send(protocol.PING)
        self._set_timer(self._limits.pong_s, lambda: self._connection.close(protocol.NO_PONG))

    def _on_pong(self) -> None:
        if self._pinged_at is None:
            return
        next_s = self._pinged_at + self._limits.ping_s - self._loop.time()
        self._pinged_at = None
        self._set_timer(max(next_s, 0), self._ping)

    def _set_timer(self, delay_s: float, act: Callable[[], None]) -> None:
        """Replace the one timer: it waits for `connect`, for the next ping or for the next pong, never for two."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, act)
