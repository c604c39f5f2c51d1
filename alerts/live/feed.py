"""The one ascending sequence of events as this node sees it, whoever committed them.

What this worker commits and what the bus brings is delivered at once; what is missing is read from PostgreSQL, which
is the truth. Redis only makes it fast.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import structlog

from alerts.live.bus import Bus
from alerts.live.eventlog import EventLog, Head, Stretch
from alerts.live.message import Message
from alerts.live.sequence import Sequence
from schemas.errors import DatabaseAway
from schemas.events import Event

log = structlog.get_logger(__name__)

TOPIC = "events"
FILL_EVENTS = 1_000
"""Events of one read that fills a gap."""

Listener = Callable[[list[Event]], None]


@dataclass(frozen=True, slots=True)
class FeedTimes:
    """Seconds between the reads that make up for what the bus did not bring."""

    grace_s: float = 0.02
    """From noticing a gap to filling it: messages of two workers may overtake each other."""
    check_s: float = 1.0
    """Between two looks at the head, one row: whatever the bus does, an event is served within about this, and an epoch
    that changed is noticed. Always, since a node cannot know that the one which commits has lost *its* Redis."""
    retry_s: float = 0.5
    """While PostgreSQL is away."""


class Feed:
    """Delivers every event once, in order, from the moment it first knew where the sequence stands.

    `deliver` and the listeners get lists of consecutive events, synchronously; `on_reset` is called when the epoch
    changed, after which offsets begin anew. `run` has to be running.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        bus: Bus,
        deliver: Listener,
        on_reset: Callable[[], None],
        *,
        times: FeedTimes | None = None,
        read_s: float = 2.0,
    ) -> None:
        self._bus = bus
        self._log = EventLog(pool, read_s)
        self._listeners = [self._log.remember, deliver]
        self._on_reset = on_reset
        self._times = times or FeedTimes()
        self._epoch = ""
        self._sequence: Sequence | None = None
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._defect: Exception | None = None
        self.made: Counter[str] = Counter()
        """Events that this worker committed, by their type."""
        self.delivered: Counter[str] = Counter()
        """Events that it delivered, by the way they came: `own`, `bus`, or `table` for those read in PostgreSQL."""
        bus.listen(TOPIC, self._hear)
        bus.beat(TOPIC, self._beat)

    @property
    def ready(self) -> bool:
        """Whether the place in the sequence is known; before that nothing is delivered."""
        return self._sequence is not None

    @property
    def reads(self) -> int:
        """Reads of the event log so far."""
        return self._log.reads

    @property
    def epoch(self) -> str:
        """Of which the offsets are; empty while not ready."""
        return self._epoch

    @property
    def position(self) -> int:
        """The last offset delivered; 0 while not ready."""
        return 0 if self._sequence is None else self._sequence.position

    def committed(self, events: list[Event]) -> None:
        """Take what this worker has just committed: deliver it here, have the bus carry it. Never blocks or raises.

        Call it right after COMMIT, before anything is awaited.
        """
        self.made.update(event.data["event"] for event in events)
        if self._sequence is None:  # PostgreSQL came back a moment ago: whoever is ready reads them there
            self._wake.set()
            return
        for message in Message.split(self._epoch, self.position, events):
            self._bus.publish(message.encode(), TOPIC)
        self.offer(events, "own")

    def offer(self, events: list[Event], way: str = "bus") -> None:
        """Deliver those that are next; have the gap filled before those that are not."""
        if self._sequence is not None:
            self._deliver(self._sequence.offer(events), way)
            if self._sequence.behind:
                self._wake.set()

    async def events_after(self, offset: int, limit: int, device: str | None = None) -> Stretch:
        """At most `limit` events after `offset` and up to the position, as they are sent.

        Recent ones are in memory; many who ask for older ones share the reads. Raises DatabaseAway, within the deadline
        of one read.
        """
        return await self._log.stretch(offset, self.position, limit, device)

    async def catch_up(self) -> None:
        """Read on from the position; on return everything committed before the call has been delivered.

        All who wait share one read, begun after the last of them asked. Raises DatabaseAway, as `events_after` does.
        """
        self._log.require_answers()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake.set()
        await waiter

    async def run(self) -> None:
        """Keep up with the sequence, for ever. Ends by cancellation, or by a defect of ours."""
        waiting: list[asyncio.Future[None]] = []
        try:
            while True:
                waiting, self._waiting = self._waiting, []
                try:
                    await self._fill()
                except DatabaseAway as error:
                    self._settle(waiting, error)
                    await asyncio.sleep(self._times.retry_s)
                else:
                    self._settle(waiting)
                    await self._rest()
        finally:
            self._settle(waiting + self._waiting, DatabaseAway("the feed has ended"))

    async def _fill(self) -> None:
        """Read the head, and deliver what is missing up to it. Raises DatabaseAway."""
        sequence = self._sequence
        position, known = (0, 0) if sequence is None else (sequence.position, sequence.known)
        head = await self._log.head()
        if sequence is None or head.epoch != self._epoch or head.offset < position:
            self._start_over(head)
            return
        while sequence.position < head.offset:
            page = await self._log.page(sequence.position, head.offset, FILL_EVENTS)
            self._deliver(sequence.fill(page.events, page.end), "table")
        sequence.trust_table(known)

    def _start_over(self, head: Head) -> None:
        """Begin at the head of a sequence that is new to us: after the start, or after a restore of the database."""
        restored = self._sequence is not None
        self._epoch, self._sequence = head.epoch, Sequence(head.offset)
        self._log.begin(head.offset)
        log.info("feed_ready", position=head.offset, restored=restored)
        if restored:
            self._on_reset()

    async def _rest(self) -> None:
        """Wait until another read is due. Raises the defect of a listener."""
        due = time.monotonic() + self._times.check_s
        while not (self._waiting or self._defect) and (rest_s := due - time.monotonic()) > 0:
            if self._behind:
                await asyncio.sleep(self._times.grace_s)
                if self._behind:
                    break
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._wake.wait()
        if self._defect is not None:
            raise self._defect

    @property
    def _behind(self) -> bool:
        return self._sequence is not None and self._sequence.behind

    def _deliver(self, events: list[Event], way: str) -> None:
        if not events:
            return
        self.delivered[way] += len(events)
        try:
            for listener in self._listeners:
                listener(events)
        except Exception as defect:  # noqa: BLE001 - the commit that brought us here did not fail; `run` raises it
            self._defect = defect
            self._wake.set()

    def _hear(self, payload: bytes) -> None:
        message = Message.parse(payload)
        if message is None or self._sequence is None:
            return
        if message.epoch == self._epoch:  # else one of us has not noticed yet that the database was restored
            self._sequence.hear_of(message.position)
            self.offer(message.events)

    def _beat(self) -> bytes:
        return Message(self._epoch, self.position).encode() if self.ready else b""

    @staticmethod
    def _settle(waiting: list[asyncio.Future[None]], error: DatabaseAway | None = None) -> None:
        for waiter in waiting:
            if waiter.done():  # its connection went away
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
