"""Alerts, events, silences and deliveries, listed page by page."""

import json
from dataclasses import dataclass
from typing import Any

import asyncpg

from alerts.record import ACQUIRE_S, DELIVERED, alert_of
from alerts.silences import covered, silence_json
from schemas import audit
from schemas.alert_errors import DeliveryNotDead, DeliveryOvertaken
from schemas.audit import SLUICE, Act, Actor
from schemas.cursor import encode_cursor
from schemas.errors import NotFound
from schemas.names import as_like
from schemas.times import to_text

# Newest first; a glob of device names as a LIKE pattern, so that it is a parameter like any other.
_ALERTS = f"""
SELECT id, rule_id, series_id, rule_name, device, metric, labels::text AS labels, severity, state, value, threshold,
       started_at, fired_at, resolved_at, acknowledged_at, acknowledged_by, acknowledged_comment,
       state = 'firing' AND {covered("alerts.device", "alerts.metric", "alerts.rule_id")} AS silenced
FROM alerts
WHERE ($1::text IS NULL OR state = $1)
  AND ($2::text IS NULL OR severity = $2)
  AND ($3::text IS NULL OR device LIKE $3)
  AND ($4::text IS NULL OR device LIKE $4)
  AND ($5::int IS NULL OR rule_id = $5)
  AND ($6::bigint IS NULL OR id < $6)
ORDER BY id DESC
LIMIT $7
"""  # noqa: S608 - constants
_EVENTS = """
SELECT "offset", data::text AS data FROM alert_events
WHERE "offset" > $1 AND ($2::text IS NULL OR device LIKE $2)
ORDER BY "offset"
LIMIT $3
"""
_SILENCES = """
SELECT id, device, metric, rule_id, comment, until, created_by, created_at, now() AS now
FROM silences
WHERE ($1::text IS NULL OR (ended_at IS NULL AND until > now()) = ($1 = 'active')) AND ($2::bigint IS NULL OR id < $2)
ORDER BY id DESC
LIMIT $3
"""
_DELIVERY_COLUMNS = """id, url, "offset", rule_id, state, held, attempts, next_at, last_error, created_at, done_at"""
_DELIVERIES = f"""
SELECT {_DELIVERY_COLUMNS} FROM webhook_deliveries
WHERE ($1::text IS NULL OR state = $1) AND ($2::bigint IS NULL OR id < $2)
ORDER BY id DESC
LIMIT $3
"""  # noqa: S608
# Told, or maybe: by a delivery that waits and was tried, or that was pruned since. By the event log, which keeps all.
_OVERTAKEN = """
SELECT EXISTS (
    SELECT FROM webhook_deliveries d
    JOIN alert_events e USING ("offset")
    JOIN alert_events n ON n.device = e.device AND n."offset" > e."offset"
    JOIN alerts a ON a.id = n.alert_id AND a.rule_id = d.rule_id AND a.series_id = d.series_id
    WHERE d.id = $1 AND n.data->>'event' = ANY($2::text[]) AND NOT EXISTS (
        SELECT FROM webhook_deliveries o
        WHERE o.url = d.url AND o."offset" = n."offset"
          AND (o.state = 'dead' OR o.state = 'waiting' AND o.attempts = 0)))
"""
_RETRY = f"""
UPDATE webhook_deliveries
SET state = 'waiting', attempts = 0, next_at = now(), waits_since = now(), last_error = NULL, done_at = NULL
WHERE id = $1 AND state = 'dead'
RETURNING {_DELIVERY_COLUMNS}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts; None: all."""

    state: str | None = None
    severity: str | None = None
    device: str | None = None
    rule_id: int | None = None
    before: int | None = None
    """Only alerts with a smaller id."""


async def list_alerts(pool: asyncpg.Pool, wanted: AlertFilter, bound: str | None, limit: int) -> dict[str, Any]:
    """One page of alerts. `bound` is the glob of devices that the key may see."""
    async with pool.acquire(timeout=ACQUIRE_S) as connection:
        found = await connection.fetch(
            _ALERTS,
            wanted.state,
            wanted.severity,
            as_like(wanted.device),
            as_like(bound),
            wanted.rule_id,
            wanted.before,
            limit + 1,
        )
    items = [
        alert_of(record).as_json()
        | {"acknowledged_comment": record["acknowledged_comment"], "silenced": record["silenced"]}
        for record in found[:limit]
    ]
    return _page(items, more=len(found) > limit)


async def list_events(pool: asyncpg.Pool, after: int, bound: str | None, limit: int) -> dict[str, Any]:
    """Events after an offset, oldest first."""
    async with pool.acquire(timeout=ACQUIRE_S) as connection:
        found = await connection.fetch(_EVENTS, after, as_like(bound), limit)
    return {"items": [{"offset": record["offset"], **json.loads(record["data"])} for record in found]}


async def list_silences(pool: asyncpg.Pool, state: str | None, before: int | None, limit: int) -> dict[str, Any]:
    """One page of silences; `state` is `active`, `ended`, or None for both."""
    async with pool.acquire(timeout=ACQUIRE_S) as connection:
        found = await connection.fetch(_SILENCES, state, before, limit + 1)
    return _page([silence_json(record, record["now"]) for record in found[:limit]], more=len(found) > limit)


async def list_deliveries(pool: asyncpg.Pool, state: str | None, before: int | None, limit: int) -> dict[str, Any]:
    """One page of the deliveries to webhooks; `state` None: all."""
    async with pool.acquire(timeout=ACQUIRE_S) as connection:
        found = await connection.fetch(_DELIVERIES, state, before, limit + 1)
    return _page([_delivery_json(record) for record in found[:limit]], more=len(found) > limit)


async def retry_delivery(pool: asyncpg.Pool, delivery_id: int, by: Actor = SLUICE) -> dict[str, Any]:
    """Have a dead delivery tried again. Raises NotFound, DeliveryNotDead, DeliveryOvertaken."""
    async with pool.acquire(timeout=ACQUIRE_S) as connection, connection.transaction():
        if await connection.fetchval(_OVERTAKEN, delivery_id, [event.value for event in DELIVERED]):
            raise DeliveryOvertaken
        found = await connection.fetchrow(_RETRY, delivery_id)
        if found is None:
            if not await connection.fetchval("SELECT id FROM webhook_deliveries WHERE id = $1", delivery_id):
                raise NotFound("no such delivery")
            raise DeliveryNotDead
        await connection.execute(audit.INSERT, *audit.row(by, Act.DELIVERY_RETRY, delivery_id))
    return _delivery_json(found)


def _page(items: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    return {"items": items, "next": encode_cursor(items[-1]["id"]) if more else None}


def _delivery_json(record: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": record["id"],
        "url": record["url"],
        "offset": record["offset"],
        "rule": record["rule_id"],
        "state": record["state"],
        "held": record["held"],
        "attempts": record["attempts"],
        "next_at": to_text(record["next_at"]) if record["state"] == "waiting" else None,
        "last_error": record["last_error"],
        "created_at": to_text(record["created_at"]),
        "done_at": to_text(record["done_at"]) if record["done_at"] else None,
    }
