"""Alerts and events, listed page by page."""

import json
from dataclasses import dataclass
from typing import Any

import asyncpg

from alerts.record import ACQUIRE_S, alert_of
from schemas.cursor import encode_cursor
from schemas.names import as_like

# Newest first; a glob of device names as a LIKE pattern, so that it is a parameter like any other.
_ALERTS = """
SELECT id, rule_id, series_id, rule_name, device, metric, labels::text AS labels, severity, state, value, threshold,
       started_at, fired_at, resolved_at, acknowledged_at, acknowledged_by
FROM alerts
WHERE ($1::text IS NULL OR state = $1)
  AND ($2::text IS NULL OR severity = $2)
  AND ($3::text IS NULL OR device LIKE $3)
  AND ($4::text IS NULL OR device LIKE $4)
  AND ($5::int IS NULL OR rule_id = $5)
  AND ($6::bigint IS NULL OR id < $6)
ORDER BY id DESC
LIMIT $7
"""
_EVENTS = """
SELECT "offset", data::text AS data FROM alert_events
WHERE "offset" > $1 AND ($2::text IS NULL OR device LIKE $2)
ORDER BY "offset"
LIMIT $3
"""


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
    items = [alert_of(record).as_json() for record in found[:limit]]
    return {"items": items, "next": encode_cursor(items[-1]["id"]) if len(found) > limit else None}


async def list_events(pool: asyncpg.Pool, after: int, bound: str | None, limit: int) -> dict[str, Any]:
    """Events after an offset, oldest first."""
    async with pool.acquire(timeout=ACQUIRE_S) as connection:
        found = await connection.fetch(_EVENTS, after, as_like(bound), limit)
    return {"items": [{"offset": record["offset"], **json.loads(record["data"])} for record in found]}
