"""Who listens to what, and what waits for whom: encoded once, queued per connection, never blocking the broadcaster."""

import asyncio
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from alerts import protocol
from alerts.limits import Limits
from alerts.protocol import Disconnect
from schemas.errors import Forbidden, SluiceError, Unauthorized
from schemas.events import Event
from schemas.keys import Principal, Scope

log = structlog.get_logger(__name__)

ALERTS = "alerts"
DEVICE_ALERTS = "alerts:"

Authenticate = Callable[[str], Awaitable[Principal]]
"""Token to principal; raises a `SluiceError`, Unauthorized for every token that is not valid (any more)."""


@dataclass(slots=True, eq=False)
class Subscription:
    """One channel of one connection."""

    channel: str
    device: str | None
    """Whose events it carries; None for everybody's."""
    cursor: int
    """The last offset the connection got or does not need, while it is not yet live."""
    live: bool
    """Whether broadcasts reach it; until then its connection's writer reads what it missed."""


class Connection:
    """One socket as the broadcaster sees it: a queue bounded in bytes, and a wish to be closed."""

    def __init__(self, limits: Limits, on_close: Callable[[], None]) -> None:
        self.id = str(uuid.uuid4())
        self.token = ""
        """What it connected with; empty before."""
        self.subscriptions: dict[str, Subscription] = {}
        self.closing: Disconnect | None = None
        self.sending_since: float | None = None
        """Loop seconds, while the writer waits for the socket to take a frame."""
        self._limits = limits
        self._on_close = on_close
        self._frames: deque[str] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()

    @property
    def waiting_bytes(self) -> int:
        """What was queued and not yet taken."""
        return self._bytes

    @property
    def behind(self) -> Subscription | None:
        """A subscription that still has to catch up."""
        return next((each for each in self.subscriptions.values() if not each.live), None)

    def send(self, text: str) -> None:
        """Queue ASCII text. One byte too much, and the connection is closed as slow instead: the queue never grows."""
        if self.closing is not None:
            return
        if self._bytes + len(text) > self._limits.queue_bytes:
            self.close(protocol.SLOW)
            return
        self._frames.append(text)
        self._bytes += len(text)
        self._wake.set()

    def take(self) -> str:
        """Take what waits, joined into a frame of about `frame_bytes`; empty where nothing does."""
        size, texts = 0, []
        while self._frames and size < self._limits.frame_bytes:
            texts.append(self._frames.popleft())
            size += len(texts[-1])
        self._bytes -= size
        return "\n".join(texts)

    def close(self, why: Disconnect) -> None:
        """Have the connection closed, soon. The first reason stays."""
        if self.closing is not None:
            return
        self.closing = why
        if why is protocol.SLOW:
            self._frames.clear()
            self._bytes = 0
        self._wake.set()
        self._on_close()

    async def wait(self) -> None:
        """Wait until something is queued, the connection is to be closed, or `wake` was called."""
        if not self._frames and self.closing is None:
            self._wake.clear()
            await self._wake.wait()

    def wake(self) -> None:
        """Have the writer look again."""
        self._wake.set()


class ConnectionManager:
    """All connections of this worker, and the index from channel to connections.

    Everything but `run` is synchronous and must be called on the event loop.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.connections: set[Connection] = set()
        self.closed: Counter[int] = Counter()
        """Connections closed by us, by code."""
        self._channels: dict[str, dict[Connection, Subscription]] = {}
        self._shutdown: Disconnect | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def subscriptions(self) -> int:
        """Subscriptions of all connections."""
        return sum(len(connection.subscriptions) for connection in self.connections)

    @property
    def evictions(self) -> int:
        """Connections closed because they were slow."""
        return self.closed[protocol.SLOW.code]

    def add(self, connection: Connection) -> None:
        """Begin to manage a connection. After `close_all` it is closed at once."""
        self.connections.add(connection)
        self._empty.clear()
        if self._shutdown is not None:
            connection.close(self._shutdown)

    def remove(self, connection: Connection) -> None:
        """Forget a connection whose socket is gone."""
        for channel in list(connection.subscriptions):
            self.unsubscribe(connection, channel)
        self.connections.discard(connection)
        if connection.closing not in (None, protocol.CONNECTION_CLOSED):
            self.closed[connection.closing.code] += 1
        if not self.connections:
            self._empty.set()

    def subscribe(self, connection: Connection, subscription: Subscription) -> None:
        """Add a subscription; from this call on broadcasts reach it if it is live, else its writer is woken."""
        connection.subscriptions[subscription.channel] = subscription
        if subscription.live:
            self._channels.setdefault(subscription.channel, {})[connection] = subscription
        else:
            connection.wake()

    def go_live(self, connection: Connection, subscription: Subscription) -> None:
        """Let broadcasts reach a subscription that has caught up."""
        subscription.live = True
        self.subscribe(connection, subscription)

    def unsubscribe(self, connection: Connection, channel: str) -> None:
        """End a subscription, if there is one."""
        connection.subscriptions.pop(channel, None)
        listeners = self._channels.get(channel)
        if listeners is not None:
            listeners.pop(connection, None)
            if not listeners:
                del self._channels[channel]

    def broadcast(self, events: list[Event]) -> None:
        """Queue consecutive events for all who listen, each payload encoded once. This is the feed's sink."""
        frames: dict[str, list[str]] = {}
        for event in events:
            channels = [name for name in (ALERTS, DEVICE_ALERTS + event.device) if name in self._channels]
            if channels:
                publication = protocol.publication(event)
                for channel in channels:
                    frames.setdefault(channel, []).append(protocol.push(channel, publication))
        for channel, pushes in frames.items():
            if sum(map(len, pushes)) > self.limits.burst_bytes:
                self._put_behind(channel, events[0].offset - 1)
                continue
            for text in protocol.joined(pushes, self.limits.frame_bytes):
                for connection in self._channels[channel]:
                    connection.send(text)

    def _put_behind(self, channel: str, cursor: int) -> None:
        """Have all who listen to a channel read on after `cursor`, sharing their reads, before they are live again."""
        for connection, subscription in self._channels.pop(channel).items():
            subscription.live, subscription.cursor = False, cursor
            connection.wake()

    def reset(self) -> None:
        """Close all who have a position: offsets begin anew, and they shall find out by recovering."""
        for connection in self.connections:
            if connection.subscriptions:
                connection.close(protocol.INSUFFICIENT_STATE)

    def close_all(self, why: Disconnect = protocol.SHUTDOWN) -> None:
        """Close every connection, and each that comes later; `drained` says when they are gone."""
        self._shutdown = why
        for connection in self.connections:
            connection.close(why)

    async def drained(self) -> None:
        """Wait until no connection is left: at most `Limits.close_s` after `close_all`."""
        await self._empty.wait()

    async def run(self, authenticate: Authenticate) -> None:
        """Close whose key stopped being valid, and who takes no bytes, for ever."""
        while True:
            await asyncio.sleep(self.limits.recheck_s)
            self._close_stalled(asyncio.get_running_loop().time())
            # One look per key, not per connection.
            for token in {connection.token for connection in self.connections if connection.token}:
                if not await _still_valid(authenticate, token):
                    for connection in self.connections:
                        if connection.token == token:
                            connection.close(protocol.INVALID_TOKEN)

    def _close_stalled(self, now: float) -> None:
        for connection in self.connections:
            since = connection.sending_since
            if since is not None and now - since > self.limits.stall_s:
                connection.close(protocol.SLOW)


async def _still_valid(authenticate: Authenticate, token: str) -> bool:
    try:
        return (await authenticate(token)).has(Scope.READ)
    except (Unauthorized, Forbidden):
        return False
    except SluiceError:
        return True  # the database is away: nobody can tell, and nobody could have revoked it
