"""Silences: what they cover does not page. Their beginning and their end are told, alert by alert.

Telling goes by pages, each in a transaction of its own with the place it has reached, so that it neither holds the
counter of offsets for long nor is lost with the process. The first page is told where the silence is made or ended,
the others by the elected evaluator, which also notices that a silence is over, and deletes it `KEEP_DAYS` later.
"""

import time
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from alerts import record
from alerts.alert import Alert
from alerts.record import ACQUIRE_S, Connection, alert_of
from schemas import audit
from schemas.alert_errors import TooManySilences
from schemas.audit import SLUICE, Act, Actor, Outcome
from schemas.errors import Fault, Invalid, NotFound
from schemas.events import Event, EventType
from schemas.silences import SilenceRequest
from schemas.times import to_text

MAX_IN_FORCE = 1_000  # bounds what it costs to ask whether an alert is silenced
MAX_DURATION = timedelta(days=366)
PAGE = 500  # alerts told of in one transaction
MAX_PAGES = 20  # of one tick, so that the evaluator gets to its other work
KEEP_DAYS = 30  # one that has ended
KEEP_HOUSE_S = 60.0  # between two looks for those

# One teller at a time: two silences that end together would each think that the other one still covers an alert.
_LOCK = "SELECT pg_advisory_xact_lock(1360846929)"
_NOW = "SELECT clock_timestamp()"  # after the lock: the transaction's own time is from before waiting for it
_COLUMNS = (
    "id, device, metric, device_like, metric_like, rule_id, comment, until, created_by, created_at, begun_at, told_id"
)
_ROOM = "SELECT count(*) < $1 FROM silences WHERE ended_at IS NULL"
_INSERT = f"""
INSERT INTO silences (device, metric, rule_id, until, comment, created_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}
"""  # noqa: S608 - a constant
_END = f"""
UPDATE silences SET until = $2 WHERE id = $1 AND ended_at IS NULL AND until > $2 RETURNING {_COLUMNS}
"""  # noqa: S608
# What was begun is finished first: who ends a silence counts on those that are still being told (`_UNTOLD`).
_NEXT = f"""
SELECT {_COLUMNS} FROM silences WHERE ended_at IS NULL AND (begun_at IS NULL OR until <= $1)
ORDER BY told_id > 0 DESC, id LIMIT 1
"""  # noqa: S608
_TOLD = "UPDATE silences SET told_id = $2, begun_at = $3, ended_at = $4 WHERE id = $1"
# At an end ($5): not those that another silence covers, in force or with an end that is still to be told.
_UNTOLD = """
SELECT a.id FROM alerts a
WHERE a.state = 'firing' AND a.id > $1 AND a.device LIKE $2 AND a.metric LIKE $3 AND ($4::int IS NULL OR a.rule_id = $4)
  AND ($5::int IS NULL OR NOT EXISTS (
      SELECT FROM silences o
      WHERE o.ended_at IS NULL AND o.id <> $5 AND (o.until > $6 OR o.id > $5)
        AND a.device LIKE o.device_like AND a.metric LIKE o.metric_like
        AND (o.rule_id IS NULL OR o.rule_id = a.rule_id)))
ORDER BY a.id
LIMIT $7
"""
_PRUNE = """
DELETE FROM silences WHERE id IN (
    SELECT id FROM silences WHERE ended_at < now() - $1 * interval '1 day' ORDER BY id LIMIT $2)
"""
_ALERT_COLUMNS = ", ".join(field.name for field in fields(Alert) if field.name != "labels")
_LOCK_FIRING = f"""
SELECT {_ALERT_COLUMNS}, labels::text AS labels FROM alerts
WHERE id = ANY($1::bigint[]) AND state = 'firing' ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608 - the columns are the fields of a class of ours


def covered(device: str, metric: str, rule_id: str) -> str:
    """Say in SQL whether a silence in force covers these; they are qualified columns of ours, never input."""
    return (
        "EXISTS (SELECT FROM silences s WHERE s.ended_at IS NULL AND s.until > now() "
        f"AND {device} LIKE s.device_like AND {metric} LIKE s.metric_like "
        f"AND (s.rule_id IS NULL OR s.rule_id = {rule_id}))"
    )


class Silences:
    """The table of silences. `publish` is called with committed events, as `Feed.committed` wants it."""

    def __init__(self, pool: asyncpg.Pool, publish: Callable[[list[Event]], None]) -> None:
        self._pool, self._publish = pool, publish
        self._keep_house_at = 0.0

    async def create(self, request: SilenceRequest, created_by: str, by: Actor = SLUICE) -> dict[str, Any]:
        """Make a silence. Raises Invalid for an end that is past or too far, or an unknown rule; TooManySilences."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            async with connection.transaction():
                now = await _alone(connection)
                await _check(connection, request, now)
                made = await connection.fetchrow(
                    _INSERT,
                    request.device,
                    request.metric,
                    request.rule,
                    request.until,
                    request.comment,
                    created_by,
                    now,
                )
                assert made is not None  # noqa: S101 - an INSERT that did not raise returns its row
                detail = request.model_dump(mode="json", exclude={"comment"})
                await connection.execute(audit.INSERT, *audit.row(by, Act.SILENCE_CREATE, made["id"], detail))
                events = await _tell(connection, made, now)
            self._publish(events)
        return silence_json(made, now)

    async def end(self, silence_id: int, by: Actor = SLUICE) -> None:
        """End a silence now; one that is over stays so. Raises NotFound."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            async with connection.transaction():
                now = await _alone(connection)
                ended = await connection.fetchrow(_END, silence_id, now)
                if not ended and not await connection.fetchval("SELECT id FROM silences WHERE id = $1", silence_id):
                    raise NotFound("no such silence")
                outcome = Outcome.DONE if ended else Outcome.UNCHANGED
                written = audit.row(by, Act.SILENCE_END, silence_id, outcome=outcome)
                await connection.execute(audit.INSERT, *written)
                events = await _tell(connection, ended, now) if ended else []
            self._publish(events)

    async def tick(self) -> None:
        """Tell what is still to be told, at most `MAX_PAGES`. For one evaluator; a second one does no harm."""
        if time.monotonic() >= self._keep_house_at:
            self._keep_house_at = time.monotonic() + KEEP_HOUSE_S
            async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                await connection.execute(_PRUNE, KEEP_DAYS, PAGE)
        for _ in range(MAX_PAGES):
            async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                async with connection.transaction():
                    now = await _alone(connection)
                    found = await connection.fetchrow(_NEXT, now)
                    events = await _tell(connection, found, now) if found else []
                self._publish(events)
            if found is None:
                return


async def _alone(connection: Connection) -> datetime:
    """Be the only teller until COMMIT; returns the time it is then."""
    await connection.execute(_LOCK)
    now: datetime = await connection.fetchval(_NOW)
    return now


async def _check(connection: Connection, request: SilenceRequest, now: datetime) -> None:
    if not now < request.until <= now + MAX_DURATION:
        raise Invalid([Fault(("body", "until"), "until_out_of_range", "a silence ends within a year from now")])
    known = "SELECT id FROM rules WHERE id = $1"
    if request.rule is not None and not await connection.fetchval(known, request.rule):
        raise Invalid([Fault(("body", "rule"), "rule_unknown", "no such rule")])
    if not await connection.fetchval(_ROOM, MAX_IN_FORCE):
        raise TooManySilences(f"at most {MAX_IN_FORCE} are in force at one time")


async def _tell(connection: Connection, silence: asyncpg.Record, now: datetime) -> list[Event]:
    """Tell one page of a silence's beginning, or of its end; COMMIT has to follow at once."""
    ending = silence["until"] <= now
    cut_short = ending and silence["begun_at"] is None  # over before its beginning was told to the last
    after = 0 if cut_short else silence["told_id"]
    where = (silence["device_like"], silence["metric_like"], silence["rule_id"], silence["id"] if ending else None)
    ids = [found["id"] for found in await connection.fetch(_UNTOLD, after, *where, now, PAGE)]
    last = len(ids) < PAGE
    await connection.execute(
        _TOLD,
        silence["id"],
        0 if last else ids[-1],
        now if silence["begun_at"] is None and (last or ending) else silence["begun_at"],
        now if last and ending else None,
    )
    alerts = [alert_of(found) for found in await connection.fetch(_LOCK_FIRING, ids)] if ids else []
    event = EventType.UNSILENCED if ending else EventType.SILENCED
    told = [(alert, alert.event(event, now) | {"silence": silence["id"]}) for alert in alerts]
    return await record.save_events(connection, told) if told else []


def silence_json(silence: asyncpg.Record, now: datetime) -> dict[str, Any]:
    """A silence as it is shown."""
    return {
        "id": silence["id"],
        "device": silence["device"],
        "metric": silence["metric"],
        "rule": silence["rule_id"],
        "until": to_text(silence["until"]),
        "comment": silence["comment"],
        "created_by": silence["created_by"],
        "created_at": to_text(silence["created_at"]),
        "state": "active" if silence["until"] > now else "ended",
    }
