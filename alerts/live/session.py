"""What the commands of one client do: connect, subscribe, recover."""

import time
from collections.abc import Callable

from alerts.live import protocol
from alerts.live.commands import Command, Connect, Ping, Pong, Refresh, Refused, ReplyError, Subscribe, Unsubscribe
from alerts.live.connection import Connection, Subscription
from alerts.live.connections import ALERTS, DEVICE_ALERTS, ConnectionManager
from alerts.live.eventlog import Stretch
from alerts.live.feed import Feed
from alerts.live.identity import Identity
from alerts.live.options import parse_options
from alerts.live.readings import READINGS
from schemas.errors import DatabaseAway
from schemas.keys import Principal
from schemas.names import name_fault


class Session:
    """One client from its `connect` on. Commands are handled one after the other, so their effects have an order."""

    def __init__(
        self,
        connection: Connection,
        manager: ConnectionManager,
        feed: Feed,
        identity: Identity,
        *,
        on_connected: Callable[[], None],
        on_pong: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._manager = manager
        self._limits = manager.limits
        self._feed = feed
        self._identity = identity
        self._on_connected = on_connected
        self._on_pong = on_pong
        self._malformed = 0
        self._budget = float(self._limits.commands_burst)  # of commands
        self._counted_at = time.monotonic()

    async def handle(self, command: Command) -> None:
        """Do what a command asks, and queue its answer. Raises only what is a defect."""
        if not self._within_budget():
            self._connection.close(protocol.BAD_REQUESTS)
            return
        principal = self._identity.principal
        match command:
            case Refused():
                self._refuse(command)
            case Pong():
                self._on_pong()
            case Connect() if principal is None:
                if await self._identity.connect(command):
                    self._on_connected()
            case _ if principal is None or isinstance(command, Connect):
                self._connection.close(protocol.BAD_REQUESTS)
            case Refresh():
                await self._identity.refresh(command)
            case Subscribe():
                await self._subscribe(command, principal)
            case Unsubscribe():
                self._manager.unsubscribe(self._connection, command.channel)
                self._connection.send(protocol.reply(command.id, "unsubscribe", {}))
            case Ping():
                self._connection.send(protocol.reply(command.id, "ping", {}))

    async def catch_up(self, subscription: Subscription) -> list[str]:
        """Read the next page a subscription missed; return its pushes, which must be sent before anything queued.

        The subscription goes live where that was all. Raises DatabaseAway.
        """
        missed = await self._feed.events_after(subscription.cursor, self._limits.page_events, subscription.device)
        if self._connection.subscriptions.get(subscription.channel) is not subscription:
            return []  # unsubscribed meanwhile
        subscription.cursor = missed.end
        if missed.end >= self._feed.position:
            self._manager.go_live(self._connection, subscription)
        return [protocol.push(subscription.channel, publication.text) for publication in missed.publications]

    def _within_budget(self) -> bool:
        now = time.monotonic()
        refilled = self._budget + (now - self._counted_at) * self._limits.commands_per_s
        self._budget = min(refilled, self._limits.commands_burst) - 1
        self._counted_at = now
        return self._budget >= 0

    def _refuse(self, command: Refused) -> None:
        self._connection.send(protocol.error(command.id, command.error))
        self._malformed += command.malformed
        if self._malformed >= self._limits.malformed:
            self._connection.close(protocol.BAD_REQUESTS)

    def _refusal(self, channel: str, principal: Principal) -> ReplyError | None:
        """Why the client may not have the channel: the same answer whether it exists or not."""
        kind, colon, device = channel.partition(":")
        if kind + colon in (DEVICE_ALERTS, READINGS):
            allowed = name_fault(device) is None and principal.may_use(device)
        else:
            allowed = channel == ALERTS and principal.device_glob is None
        if not allowed:
            return protocol.PERMISSION_DENIED
        if channel in self._connection.subscriptions or channel in self._connection.viewers:
            return protocol.ALREADY_SUBSCRIBED
        if self._connection.channels >= self._limits.channels:
            return protocol.LIMIT_EXCEEDED
        return None

    async def _subscribe(self, command: Subscribe, principal: Principal) -> None:
        refusal = self._refusal(command.channel, principal)
        if refusal is None and command.channel.startswith(READINGS):
            refusal = await self._watch(command)
        elif refusal is None:
            try:
                await self._begin(command)
            except DatabaseAway:
                refusal = protocol.INTERNAL
        if refusal is not None:
            self._connection.send(protocol.error(command.id, refusal))

    async def _watch(self, command: Subscribe) -> ReplyError | None:
        """Answer, and let readings follow: without a position, as there is none to come back to."""
        options = parse_options(command.data)
        if options is None:
            return protocol.BAD_REQUEST
        viewer = self._manager.watch(self._connection, command.channel.removeprefix(READINGS), *options)
        if viewer is None:
            return protocol.LIMIT_EXCEEDED
        await self._manager.readings.ready(viewer)
        self._connection.send(protocol.reply(command.id, "subscribe", {}))
        viewer.begin()
        return None

    async def _begin(self, command: Subscribe) -> None:
        """Answer with what was missed, and let pushes go on exactly behind it. Raises DatabaseAway."""
        feed = self._feed
        if not feed.ready:
            raise DatabaseAway("the place in the sequence is not known yet")
        device = command.channel.removeprefix(DEVICE_ALERTS) if command.channel != ALERTS else None
        recovered = command.recover and await self._recoverable(command)
        cursor = command.offset if recovered else feed.position
        publications: list[str] = []
        if cursor < feed.position and (budget := self._answer_budget()):
            missed = await feed.events_after(cursor, self._limits.page_events, device)
            publications, cursor = _fit(missed, cursor, budget)
        # Nothing is awaited from here on: the answer, and the place where pushes begin, are of one moment.
        self._connection.send(
            protocol.subscribed(
                command.id,
                feed.epoch,
                cursor,
                recover=command.recover,
                recovered=recovered,
                publications=publications,
            )
        )
        live = cursor >= feed.position
        self._manager.subscribe(self._connection, Subscription(command.channel, device, cursor, live))

    async def _recoverable(self, command: Subscribe) -> bool:
        """Whether (epoch, offset) is a place in the sequence. Raises DatabaseAway."""
        feed = self._feed
        if command.epoch != feed.epoch or command.offset > feed.position:
            # The client may come from a node that is ahead of this one, by a moment or by an epoch.
            await feed.catch_up()
        return command.epoch == feed.epoch and 0 <= command.offset <= feed.position

    def _answer_budget(self) -> int:
        """Bytes of publications an answer may hold: many recovering channels must not make their client a slow one."""
        return max(0, min(self._limits.answer_bytes, self._limits.queue_bytes // 2 - self._connection.waiting_bytes))


def _fit(missed: Stretch, cursor: int, budget: int) -> tuple[list[str], int]:
    """As much of what was missed as fits into `budget` bytes, and up to which offset that is complete."""
    texts: list[str] = []
    for publication in missed.publications:
        budget -= len(publication.text) + 1
        if budget < 0:
            return texts, cursor
        texts.append(publication.text)
        cursor = publication.offset
    return texts, missed.end
