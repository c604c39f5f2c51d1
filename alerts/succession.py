"""A rule becomes another, or nothing: what it has fired is resolved first, a bounded number in each transaction.

Where that is one transaction, and it nearly always is, nobody sees anything of it. Else the first one says what the
rule shall become, from when on it watches nothing (no worker loads it, and its revision is another), and the others go
on, by whoever asked or, if that worker is gone, by the elected one.
"""

from collections.abc import Callable
from datetime import datetime

import asyncpg

from alerts import record
from alerts.ending import end, hooks_of
from alerts.record import ACQUIRE_S
from schemas import audit
from schemas.audit import SLUICE, Act, Actor
from schemas.events import Event
from schemas.times import to_datetime

AT_ONCE = 500  # alerts of one transaction: the counter of offsets is locked for everybody meanwhile, and the loop held

RAISE_VERSION = "UPDATE rules_version SET version = version + 1"
_LOCK = "SELECT ending, successor IS NULL AS dying FROM rules WHERE id = $1 FOR UPDATE"
_BEGIN = "UPDATE rules SET ending = true, successor = $2, revision = revision + 1 WHERE id = $1"
_PAIRS = "SELECT rule_id, series_id FROM alert_states WHERE rule_id = $1 ORDER BY rule_id, series_id LIMIT $2"
_DELETE = "DELETE FROM rules WHERE id = $1 AND successor IS NULL"
_SUCCEED = """
UPDATE rules
SET document = successor, ending = false, successor = NULL, revision = revision + $2, updated_at = now()
WHERE id = $1 AND successor IS NOT NULL
"""
_NAMED = "SELECT coalesce(successor, document) ->> 'name' AS name, revision FROM rules WHERE id = $1"
_ENDING = "SELECT id FROM rules WHERE ending ORDER BY id"


class Succession:
    """Changes and deletes rules."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        clock_us: Callable[[], int],
        publish: Callable[[list[Event]], None],
        ring: Callable[[], None],
    ) -> None:
        self._pool, self._clock_us, self._publish, self._ring = pool, clock_us, publish, ring

    async def change(self, rule_id: int, successor: str | None, by: Actor = SLUICE) -> bool:
        """Make a rule another, given as JSON, or delete it; False if it is unknown. Raises what the driver raises.

        On return all is done. What was begun is done in any case; the last of several changes wins.
        """
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            async with connection.transaction():
                found = await connection.fetchrow(_LOCK, rule_id)
                if found is None or (found["ending"] and found["dying"]):
                    return False
                await connection.execute(_BEGIN, rule_id, successor)
                await note(connection, by, Act.RULE_REPLACE if successor else Act.RULE_DELETE, rule_id)
                done, events = await self._end_some(connection, rule_id, grows=0)
            self._tell(events)
        if not done:
            await self._finish(rule_id)
        return True

    async def tick(self) -> None:
        """Finish what others have begun. For the elected worker; a second one at it does no harm."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            found = await connection.fetch(_ENDING)
        for each in found:
            await self._finish(each["id"])

    async def _finish(self, rule_id: int) -> None:
        done = False
        while not done:
            async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                async with connection.transaction():
                    found = await connection.fetchrow(_LOCK, rule_id)
                    if found is None or not found["ending"]:
                        return
                    # It was told to others with the revision it has now, as one that watches nothing.
                    done, events = await self._end_some(connection, rule_id, grows=1)
                self._tell(events)

    async def _end_some(self, connection: record.Connection, rule_id: int, *, grows: int) -> tuple[bool, list[Event]]:
        """Resolve some of what a locked rule fires, and forget the states; where that was the rest, let it succeed."""
        hooks = await hooks_of(connection, {rule_id})
        pairs = [tuple(found) for found in await connection.fetch(_PAIRS, rule_id, AT_ONCE)]
        told = await end(connection, pairs, self._now())
        done = len(pairs) < AT_ONCE
        if done:
            await connection.execute(_DELETE, rule_id)
            await connection.execute(_SUCCEED, rule_id, grows)
        await connection.execute(RAISE_VERSION)
        return done, await record.save_events(connection, told, hooks) if told else []

    def _now(self) -> datetime:
        return to_datetime(self._clock_us())

    def _tell(self, events: list[Event]) -> None:
        self._ring()
        self._publish(events)


async def note(connection: record.Connection, by: Actor, act: Act, rule_id: int) -> None:
    """Write down what is done to a stored rule. Not the whole of it: the URLs of its webhooks may hold secrets."""
    found = await connection.fetchrow(_NAMED, rule_id)
    await connection.execute(audit.INSERT, *audit.row(by, act, rule_id, dict(found) if found else None))
