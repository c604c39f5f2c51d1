"""The table of deliveries: what is next for a target, and what became of it.

One sender at a time has the lease of a target. Deliveries go out in the order of their offsets; what is held (its alert
is silenced, or flapping) is passed by. Of an alert only the last held state is kept: what came before is superseded,
and so is a `resolved` of which the receiver never heard the `firing`. Silences, flapping and rules are the same for
all deliveries of an alert, so that these are held and let go together and never overtake each other.

A state flaps until readings say otherwise. Where none come any more, what it holds would never be told: so it holds for
`FLAPPING_HOLDS` after its last reading at most. It stays marked, and holds again when it is judged again.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from alerts.record import ACQUIRE_S, Connection
from alerts.silences import covered

LEASE_S = 20.0  # longer than one attempt may take: after a crash its target is left alone for so long
KEEP_DAYS = 7  # what was delivered or superseded
KEEP_DEAD_DAYS = 30
CONNECTIONS = 3  # at one time, of the pool that the write path lives on
BATCH = 1_000  # rows that one statement of the housekeeping takes on
FLAPPING_HOLDS = "1 hour"  # of PostgreSQL; longer than a device is away that sends every few minutes, or restarts

_HELD = (
    covered("e.device", "(e.data->'alert'->>'metric')", "d.rule_id")
    + " OR EXISTS (SELECT FROM alert_states st WHERE st.rule_id = d.rule_id AND st.series_id = d.series_id "
    + f"AND st.flapping AND st.last_ts > now() - interval '{FLAPPING_HOLDS}')"
)
# The head of each target, by a walk over the index: the number of targets is what it costs, not what is waiting.
_DUE = f"""
WITH RECURSIVE head AS (
    (SELECT * FROM webhook_deliveries WHERE state = 'waiting' AND NOT held ORDER BY url, "offset" LIMIT 1)
    UNION ALL
    SELECT n.* FROM head h CROSS JOIN LATERAL (
        SELECT * FROM webhook_deliveries
        WHERE state = 'waiting' AND NOT held AND url > h.url ORDER BY url, "offset" LIMIT 1) n
)
SELECT d.url FROM head d LEFT JOIN alert_events e USING ("offset")
WHERE d.url <> ALL($1::text[]) AND (d.next_at <= now() OR {_HELD})
ORDER BY d.next_at
LIMIT $2
"""  # noqa: S608 - constants
_LEASE = """
INSERT INTO webhook_leases (url, token, until) VALUES ($1, $2, now() + $3 * interval '1 second')
ON CONFLICT (url) DO UPDATE SET token = excluded.token, until = excluded.until
WHERE webhook_leases.until <= now() OR webhook_leases.token = excluded.token
RETURNING true
"""
_RELEASE = "DELETE FROM webhook_leases WHERE url = $1 AND token = $2"
# First the one row, then what belongs to it: else a merge would walk the whole event log.
_HEAD = f"""
WITH d AS MATERIALIZED (
    SELECT * FROM webhook_deliveries WHERE url = $1 AND state = 'waiting' AND NOT held
    ORDER BY "offset" LIMIT 1 FOR UPDATE
)
SELECT d.id, d."offset", d.rule_id, d.series_id, d.opens, d.next_at <= now() AS due, e.alert_id, e.data::text AS data,
       e.data->>'event' AS event, (r.document->'annotations')::text AS annotations, ({_HELD}) AS held
FROM d LEFT JOIN alert_events e USING ("offset") LEFT JOIN rules r ON r.id = d.rule_id
"""  # noqa: S608
_SUPERSEDE = """
WITH older AS (
    UPDATE webhook_deliveries o SET state = 'superseded', held = false, done_at = now()
    FROM alert_events e
    WHERE o.url = $1 AND o.rule_id = $2 AND o.series_id = $3 AND o.held AND o."offset" < $4
      AND e."offset" = o."offset" AND e.alert_id = $5
    RETURNING (o.opens OR e.data->>'event' = 'firing') AND o.attempts = 0 AS unheard
)
SELECT count(*) AS count, coalesce(bool_or(unheard), false) AS unheard FROM older
"""
_HOLD = "UPDATE webhook_deliveries SET held = true, opens = $2 WHERE id = $1"
# Counted, and committed, before it is sent: after a crash it is known that the receiver may have heard.
_TAKE = """
UPDATE webhook_deliveries SET attempts = attempts + 1 WHERE id = $1
RETURNING attempts, extract(epoch FROM now() - waits_since)::float8 AS waited_s
"""
_END = """
UPDATE webhook_deliveries SET state = $2, last_error = $3, done_at = now() WHERE id = $1 AND state = 'waiting'
"""
_AGAIN = """
UPDATE webhook_deliveries SET last_error = $2, next_at = now() + $3 * interval '1 second'
WHERE id = $1 AND state = 'waiting'
"""
# Not where something later of the same alert waits: that will supersede it.
_LET_GO = f"""
UPDATE webhook_deliveries SET held = false, next_at = now(), waits_since = now()
WHERE id IN (
    SELECT d.id FROM webhook_deliveries d JOIN alert_events e USING ("offset")
    WHERE d.held AND NOT ({_HELD}) AND NOT EXISTS (
        SELECT FROM webhook_deliveries n JOIN alert_events ne ON ne."offset" = n."offset"
        WHERE n.url = d.url AND n.rule_id = d.rule_id AND n.series_id = d.series_id AND n.state = 'waiting'
          AND n."offset" > d."offset" AND ne.alert_id = e.alert_id)
    LIMIT $1)
"""  # noqa: S608
_PRUNE = """
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries
    WHERE done_at < now() - $1 * interval '1 day' AND (state <> 'dead' OR done_at < now() - $2 * interval '1 day')
    LIMIT $3)
"""
_WAITING = """
SELECT count(*) AS count, coalesce(extract(epoch FROM now() - min(waits_since)), 0)::float8 AS oldest_s,
       count(*) FILTER (WHERE held) AS held
FROM webhook_deliveries WHERE state = 'waiting'
"""
_TELLING = {"firing", "escalated", "deescalated", "resolved"}
_MAKE_KEY = "INSERT INTO webhook_key (key) VALUES ($1) ON CONFLICT DO NOTHING"
_KEY = "SELECT key FROM webhook_key"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One that is to be sent now."""

    id: int
    offset: int
    attempts: int
    """This one included."""
    waited_s: float
    alert: dict[str, Any]
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is waiting."""

    waiting: int
    held: int
    """Of those: until a silence ends, or flapping stops."""
    oldest_s: float


class Deliveries:
    """The table; every method is a transaction of its own, and raises what a database that is away raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self.superseded = 0
        """Deliveries superseded by this process."""

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with self._turns, self._pool.acquire(timeout=ACQUIRE_S) as connection:
            yield connection

    async def due(self, busy: list[str], limit: int) -> list[str]:
        """Targets with something to do, those that have waited longest first, but not the busy ones."""
        async with self._connection() as connection:
            return [found["url"] for found in await connection.fetch(_DUE, busy, limit)]

    async def lease(self, url: str, token: str) -> bool:
        """Get the lease of a target, or prolong one's own. False if somebody else has it."""
        async with self._connection() as connection:
            return bool(await connection.fetchval(_LEASE, url, token, LEASE_S))

    async def release(self, url: str, token: str) -> None:
        """Give the lease back."""
        async with self._connection() as connection:
            await connection.execute(_RELEASE, url, token)

    async def take(self, url: str) -> Delivery | None:
        """The next delivery of a target that is leased, counted as attempted; None where nothing is due."""
        while True:
            async with self._connection() as connection, connection.transaction():
                head = await connection.fetchrow(_HEAD, url)
                if head is None:
                    return None
                if await self._fold(connection, url, head):
                    return await _take(connection, head) if head["due"] else None

    async def _fold(self, connection: Connection, url: str, head: asyncpg.Record) -> bool:
        """Supersede what the head's alert had in hold. False if the head is held too, or has no use any more."""
        if head["event"] not in _TELLING:
            await connection.execute(_END, head["id"], "superseded", "nothing to tell of")
            return False
        alert = (head["rule_id"], head["series_id"], head["offset"], head["alert_id"])
        older = await connection.fetchrow(_SUPERSEDE, url, *alert)
        assert older is not None  # noqa: S101 - an aggregate is one row
        self.superseded += older["count"]
        opens = head["opens"] or older["unheard"]
        if opens and head["event"] == "resolved":
            self.superseded += 1
            await connection.execute(_END, head["id"], "superseded", None)
            return False
        if head["held"]:
            await connection.execute(_HOLD, head["id"], opens)
        return not head["held"]

    async def end(self, delivery: Delivery, state: str, error: str | None) -> None:
        """It was delivered, or is dead."""
        async with self._connection() as connection:
            await connection.execute(_END, delivery.id, state, error)

    async def put_off(self, delivery: Delivery, delay_s: float, error: str | None) -> None:
        """Try it again after so many seconds; what comes behind it waits."""
        async with self._connection() as connection:
            await connection.execute(_AGAIN, delivery.id, error, delay_s)

    async def let_go(self) -> None:
        """Let go what is held and need not be any more, a batch of it."""
        async with self._connection() as connection:
            await connection.execute(_LET_GO, BATCH)

    async def prune(self) -> None:
        """Delete what is long done, a batch of it."""
        async with self._connection() as connection:
            await connection.execute(_PRUNE, KEEP_DAYS, KEEP_DEAD_DAYS, BATCH)

    async def backlog(self) -> Backlog:
        """Count what is waiting."""
        async with self._connection() as connection:
            found = await connection.fetchrow(_WAITING)
        assert found is not None  # noqa: S101 - an aggregate is one row
        return Backlog(found["count"], found["held"], found["oldest_s"])

    async def key(self) -> str:
        """The key of this installation, made where there is none."""
        async with self._connection() as connection:
            await connection.execute(_MAKE_KEY, secrets.token_urlsafe(32))
            key: str = await connection.fetchval(_KEY)
            return key


async def _take(connection: Connection, head: asyncpg.Record) -> Delivery:
    taken = await connection.fetchrow(_TAKE, head["id"])
    assert taken is not None  # noqa: S101 - the row is locked
    alert, annotations = json.loads(head["data"])["alert"], json.loads(head["annotations"] or "{}")
    return Delivery(head["id"], head["offset"], taken["attempts"], taken["waited_s"], alert, annotations)
