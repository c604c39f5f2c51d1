"""Who listens to what, and what waits for whom: encoded once, queued per connection, never blocking the broadcaster."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from alerts.live import protocol
from alerts.live.connection import Connection, Subscription
from alerts.live.limits import Limits
from alerts.live.protocol import Disconnect
from alerts.live.readings import READINGS, Readings
from alerts.live.viewer import Viewer
from schemas.errors import Forbidden, SluiceError, Unauthorized
from schemas.events import Event
from schemas.keys import Holder, Principal, Scope

log = structlog.get_logger(__name__)

ALERTS = "alerts"
DEVICE_ALERTS = "alerts:"

Standing = Callable[[Holder], Awaitable[Principal]]
"""Who holds what let a client in; raises a `SluiceError`, Unauthorized where that is not valid any more."""


class ConnectionManager:
    """All connections of this worker, and the index from channel to connections.

    Everything but `run` is synchronous and must be called on the event loop.
    """

    def __init__(self, readings: Readings, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.readings = readings
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
        return sum(connection.channels for connection in self.connections)

    @property
    def waiting_bytes(self) -> int:
        """What was queued for all connections and not yet taken."""
        return sum(connection.waiting_bytes for connection in self.connections)

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
        for channel in [*connection.subscriptions, *connection.viewers]:
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

    def watch(
        self, connection: Connection, device: str, interval_s: float, metrics: frozenset[str] | None
    ) -> Viewer | None:
        """Add a subscription of a device's readings, which begins later; None where too many devices are watched."""
        viewer = self.readings.watch(connection, device, interval_s, metrics)
        if viewer is not None:
            connection.viewers[READINGS + device] = viewer
        return viewer

    def unsubscribe(self, connection: Connection, channel: str) -> None:
        """End a subscription, if there is one."""
        if (viewer := connection.viewers.pop(channel, None)) is not None:
            self.readings.end(viewer)
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

    async def run(self, standing: Standing) -> None:
        """Close whose key or session ended, whose token expired, and who takes no bytes, for ever."""
        while True:
            await asyncio.sleep(self.limits.recheck_s)
            now = asyncio.get_running_loop().time()
            self._close_stalled(now)
            self._close_expired(now)
            # One look per key, not per connection; all at once, as each may wait for a PostgreSQL that is away.
            holders = list({connection.holder for connection in self.connections if connection.holder})
            valid = await asyncio.gather(*(_still_valid(standing, holder) for holder in holders))
            over = {holder for holder, is_valid in zip(holders, valid, strict=True) if not is_valid}
            for connection in self.connections:
                if connection.holder in over:
                    connection.close(protocol.INVALID_TOKEN)

    def _close_expired(self, now: float) -> None:
        for connection in self.connections:
            if connection.expires_at is not None and now - connection.expires_at > self.limits.expired_s:
                connection.close(protocol.EXPIRED)

    def _close_stalled(self, now: float) -> None:
        for connection in self.connections:
            since = connection.sending_since
            if since is not None and now - since > self.limits.stall_s:
                connection.close(protocol.SLOW)


async def _still_valid(standing: Standing, holder: Holder) -> bool:
    try:
        return (await standing(holder)).has(Scope.READ)
    except (Unauthorized, Forbidden):
        return False
    except SluiceError:
        return True  # the database is away: nobody can tell, and nobody could have revoked it
