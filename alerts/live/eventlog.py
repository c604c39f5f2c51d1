"""The record of events in PostgreSQL, as the live side reads it."""

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg
import structlog

from alerts.live.fetch import AWAY, fetch
from alerts.live.tail import BLOCK, Publication, Tail, select
from schemas.errors import DatabaseAway
from schemas.events import Event

log = structlog.get_logger(__name__)

READERS = 4
"""Shared reads at one time: subscribers that recover must not use up the pool the write path lives on."""

BLOCKS_BYTES = 8 << 20
"""Of encoded blocks kept after they were read: a thousand who come back from long ago pass the same ones."""

# After a restore, offsets are given out again, for other events. A dump that is read back lies in another cluster, a
# recovery to a point in time and a promoted standby write another timeline, so both are part of the epoch. (A cold copy
# of the files put back in place shows neither: then offsets only go back, which `Feed` notices if it was running.)
HEAD = """
SELECT o.epoch || '-' || left(md5(c.system_identifier || '/' || CASE
           WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8)
       END), 8) AS epoch, o.last_offset
FROM alert_offset o, pg_control_system() c
"""

# `data::text`: whether the pool decodes jsonb is not this module's business.
PAGE = """
SELECT "offset", device, data::text FROM alert_events
WHERE "offset" > $1 AND "offset" <= $2 ORDER BY "offset" LIMIT $3
"""
DEVICE_PAGE = """
SELECT "offset", device, data::text FROM alert_events
WHERE device = $4 AND "offset" > $1 AND "offset" <= $2 ORDER BY "offset" LIMIT $3
"""


class Head(NamedTuple):
    """Where the sequence stands."""

    epoch: str
    """Changes when the database was restored: offsets of another epoch mean nothing in this one."""
    offset: int
    """The last offset given out; every event up to it is visible to whoever reads after this."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, and the offset up to which nothing is missing from them."""

    events: list[Event]
    end: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Publications in order, and the offset up to which nothing is missing from them."""

    publications: list[Publication]
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(publication.text) for publication in self.publications)


Place = tuple[int, int, str | None]
"""Of a shared read: after which offset, up to which one, of which device."""


class EventLog:
    """What was delivered lately from memory, the rest from `alert_events`: each read within `deadline_s`."""

    def __init__(self, pool: asyncpg.Pool, deadline_s: float = 2.0) -> None:
        self.reads = 0
        """Queries sent."""
        self.answers = False
        """Whether the last one was answered."""
        self._pool = pool
        self._deadline_s = deadline_s
        self._tail = Tail(0)
        self._shared: dict[Place, asyncio.Task[Stretch]] = {}
        self._blocks: OrderedDict[Place, Stretch] = OrderedDict()
        self._readers = asyncio.Semaphore(READERS)

    async def head(self) -> Head:
        """Read the epoch and the last offset. Raises DatabaseAway."""
        (row,) = await self._fetch(HEAD)
        return Head(row["epoch"], row["last_offset"])

    async def page(self, after: int, up_to: int, limit: int, device: str | None = None) -> Page:
        """Read at most `limit` events with `after` < offset <= `up_to`, of one device or of all.

        `up_to` must not lie beyond a head read before: offsets above that may still be on their way to COMMIT.
        Raises DatabaseAway.
        """
        if device is None:
            rows = await self._fetch(PAGE, after, up_to, limit)
        else:
            rows = await self._fetch(DEVICE_PAGE, after, up_to, limit, device)
        events = [Event(row["offset"], row["device"], json.loads(row["data"])) for row in rows]
        return Page(events, events[-1].offset if len(events) == limit else up_to)

    def begin(self, position: int) -> None:
        """Begin at a place of a sequence that is new to us: nothing known so far belongs to it."""
        self._tail = Tail(position)
        self._shared.clear()
        self._blocks.clear()

    def remember(self, events: list[Event]) -> None:
        """Take what is delivered, all of it, before anybody may ask for it."""
        self._tail.remember(events)

    async def stretch(self, after: int, up_to: int, limit: int, device: str | None = None) -> Stretch:
        """At most `limit` publications after an offset, up to the place of the node, of one device or of all.

        From memory where they are recent; else read in blocks, each by all who want some of it together, and not too
        many at a time. Raises DatabaseAway, within one deadline however many wait.
        """
        self.require_answers()  # nobody can tell whether this sequence still is the one
        recent = self._tail.since(after, limit, device)
        if recent is not None:
            return _cut(Stretch(recent, up_to), limit)
        block = await self._block(after - after % BLOCK, device)
        return _cut(Stretch(select(block.publications, after, limit), block.end), limit)

    async def _block(self, start: int, device: str | None) -> Stretch:
        end = self._tail.after if device is not None else min(start + BLOCK, self._tail.after)
        place = (start, end, device)
        if (block := self._blocks.get(place)) is not None:
            self._blocks.move_to_end(place)
            return block
        task = self._shared.get(place)
        if task is None:
            task = self._shared[place] = asyncio.create_task(self._turn(place))
            task.add_done_callback(lambda done: self._forget(place, done))
        # One who goes away must not take the read from the others.
        return await asyncio.shield(task)

    def require_answers(self) -> None:
        """Raise DatabaseAway where the last read failed: a thousand who ask need not wait for a thousand deadlines."""
        if not self.answers:
            raise DatabaseAway("the event log cannot be read")

    async def _turn(self, place: Place) -> Stretch:
        after, up_to, device = place
        async with self._readers:
            self.require_answers()  # the one before may have failed
            page = await self.page(after, up_to, BLOCK, device)
        return Stretch([Publication.of(event) for event in page.events], page.end)

    def _forget(self, place: Place, task: asyncio.Task[Stretch]) -> None:
        if self._shared.get(place) is not task:
            return  # of a sequence that was left
        del self._shared[place]
        # An exception is with whoever waited for it; nobody may be left who did.
        if not task.cancelled() and task.exception() is None:
            self._keep(place, task.result())

    def _keep(self, place: Place, block: Stretch) -> None:
        """Nothing of it changes any more: it lies before what the node has delivered."""
        self._blocks[place] = block
        while sum(each.size for each in self._blocks.values()) > BLOCKS_BYTES:
            self._blocks.popitem(last=False)

    async def _fetch(self, query: str, *args: Any) -> list[Any]:
        self.reads += 1
        try:
            rows = await fetch(self._pool, self._deadline_s, query, *args)
        except AWAY as error:
            if self.answers:
                log.warning("event_log_away", error=repr(error))
            self.answers = False
            raise DatabaseAway("the event log cannot be read") from error
        self.answers = True
        return rows


def _cut(stretch: Stretch, limit: int) -> Stretch:
    """Have a stretch that is full end with its last publication."""
    full = len(stretch.publications) >= limit
    return Stretch(stretch.publications, stretch.publications[-1].offset) if full else stretch
