"""The record of events in PostgreSQL, as the live side reads it."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg
import structlog

from schemas.errors import DatabaseAway
from schemas.events import Event

log = structlog.get_logger(__name__)

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a database that is away raises; a `TimeoutError` is an OSError."""

READERS = 4
"""Shared reads at one time: subscribers that recover must not use up the pool the write path lives on."""

HEAD = "SELECT epoch, last_offset FROM alert_offset"

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


class EventLog:
    """Reads of `alert_offset` and `alert_events`, each within `deadline_s`."""

    def __init__(self, pool: asyncpg.Pool, deadline_s: float = 2.0) -> None:
        self.reads = 0
        """Queries sent."""
        self.answers = False
        """Whether the last one was answered."""
        self._pool = pool
        self._deadline_s = deadline_s
        self._shared: dict[object, asyncio.Task[Page]] = {}
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

    async def shared_page(self, after: int, up_to: int, limit: int, device: str | None = None) -> Page:
        """Read a page as `page` does, together with all who want the same one, and not too many at a time.

        Raises DatabaseAway, within one deadline however many wait.
        """
        key = (after, up_to, limit, device)
        task = self._shared.get(key)
        if task is None:
            task = self._shared[key] = asyncio.create_task(self._turn(after, up_to, limit, device))
            task.add_done_callback(lambda done: self._forget(key, done))
        # One who goes away must not take the read from the others.
        return await asyncio.shield(task)

    def require_answers(self) -> None:
        """Raise DatabaseAway where the last read failed: a thousand who ask need not wait for a thousand deadlines."""
        if not self.answers:
            raise DatabaseAway("the event log cannot be read")

    async def _turn(self, after: int, up_to: int, limit: int, device: str | None) -> Page:
        async with self._readers:
            self.require_answers()  # the one before may have failed
            return await self.page(after, up_to, limit, device)

    def _forget(self, key: object, task: asyncio.Task[Page]) -> None:
        del self._shared[key]
        if not task.cancelled():
            task.exception()  # whoever waited for it has it; nobody may be left who did

    async def _fetch(self, query: str, *args: Any) -> list[Any]:
        connection = None
        self.reads += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                connection = await self._pool.acquire()
                rows = await connection.fetch(query, *args)
        except BaseException as error:
            if connection is not None:
                # Giving it back would first wait for the query to be cancelled, on a frozen server for ever.
                connection.terminate()
            if not isinstance(error, AWAY):
                raise
            if self.answers:
                log.warning("event_log_away", error=repr(error))
            self.answers = False
            raise DatabaseAway("the event log cannot be read") from error
        finally:
            if connection is not None:
                await self._pool.release(connection)
        self.answers = True
        return rows
