"""Devices, their series, and the newest value of each series."""

import json
from typing import Any

from query.reads import Reads
from schemas.cursor import encode_cursor
from schemas.errors import NotFound
from schemas.names import as_like
from schemas.times import to_datetime, to_text

_DEVICES = """
SELECT d.name, d.first_seen, d.last_seen, count(DISTINCT s.metric) AS metrics
FROM (
    SELECT * FROM devices
    WHERE name ^@ $1 AND ($2::text IS NULL OR name > $2) AND ($3::text IS NULL OR name LIKE $3)
    ORDER BY name
    LIMIT $4
) d
LEFT JOIN series s ON s.device = d.name
GROUP BY d.name, d.first_seen, d.last_seen
ORDER BY d.name
"""
_SERIES = """
SELECT metric, labels::text AS labels, created_at FROM series WHERE device = $1 ORDER BY metric, id
"""
_LATEST = """
SELECT s.metric, s.labels::text AS labels, n.ts_us, n.value
FROM series s
JOIN newest n ON n.series_id = s.id
WHERE s.device = $1 AND n.ts_us > 0
ORDER BY s.metric, n.ts_us DESC
"""
_EXISTS = "SELECT 1 FROM devices WHERE name = $1"


async def list_devices(reads: Reads, prefix: str, after: str | None, bound: str | None, limit: int) -> dict[str, Any]:
    """One page of devices, by name. `bound` is the glob of devices that the key may see."""
    async with reads.connection() as connection:
        found = await connection.fetch(_DEVICES, prefix, after, as_like(bound), limit + 1)
    items = [
        {
            "device": record["name"],
            "first_seen": to_text(record["first_seen"]),
            "last_seen": to_text(record["last_seen"]),
            "metrics": record["metrics"],
        }
        for record in found[:limit]
    ]
    return {"items": items, "next": encode_cursor(items[-1]["device"]) if len(found) > limit else None}


async def device_series(reads: Reads, device: str) -> dict[str, Any]:
    """The series of a device. Raises NotFound."""
    async with reads.connection() as connection:
        found = await connection.fetch(_SERIES, device)
        if not found and not await connection.fetchval(_EXISTS, device):
            raise NotFound("no such device")
    series = [
        {"metric": r["metric"], "labels": json.loads(r["labels"]), "created_at": to_text(r["created_at"])}
        for r in found
    ]
    return {"device": device, "series": series}


async def latest(reads: Reads, device: str) -> dict[str, Any]:
    """The newest value of each metric of a device; a metric with several label sets is a list. Raises NotFound."""
    async with reads.connection() as connection:
        found = await connection.fetch(_LATEST, device)
        if not found and not await connection.fetchval(_EXISTS, device):
            raise NotFound("no such device")
    metrics: dict[str, Any] = {}
    for record in found:
        item = {"ts": to_text(to_datetime(record["ts_us"])), "value": record["value"]}
        labels = json.loads(record["labels"])
        metrics.setdefault(record["metric"], []).append(item | ({"labels": labels} if labels else {}))
    single = {name: items[0] if len(items) == 1 else items for name, items in metrics.items()}
    return {"device": device, "metrics": single}
