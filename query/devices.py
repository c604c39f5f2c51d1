"""Devices, their series, and the newest value of each series."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from query.reads import Reads
from schemas.cursor import decode_cursor, encode_cursor
from schemas.errors import Fault, Invalid, NotFound
from schemas.names import as_like
from schemas.times import to_datetime, to_text

MAX_NEWEST = 10_000  # of one answer: a megabyte, and some 50 ms of a worker
_ID = re.compile(r"\d{1,9}", re.ASCII)

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
SELECT id, metric, labels::text AS labels, created_at
FROM series
WHERE device = $1 AND ($2::text IS NULL OR (metric, id) > ($2, $3::int))
ORDER BY metric, id
LIMIT $4
"""
_LATEST = """
SELECT s.metric, s.labels::text AS labels, n.ts_us, n.value
FROM series s
JOIN newest n ON n.series_id = s.id
WHERE s.device = $1 AND n.ts_us > 0 AND ($2::text[] IS NULL OR s.metric = ANY($2))
ORDER BY s.metric, n.ts_us DESC
LIMIT $3
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


@dataclass(frozen=True, slots=True)
class SeriesPlace:
    """A series among those of its device: pages begin behind one."""

    metric: str
    series_id: int

    @classmethod
    def of(cls, cursor: str) -> "SeriesPlace":
        """The place in a cursor. Raises Invalid."""
        series_id, slash, metric = str(decode_cursor(cursor, str)).partition("/")
        if not slash or not _ID.fullmatch(series_id):
            raise Invalid([Fault(("query", "cursor"), "cursor_invalid", "use 'next' of the page before")])
        return cls(metric, int(series_id))

    @property
    def cursor(self) -> str:
        """The same, for whoever asked."""
        return encode_cursor(f"{self.series_id}/{self.metric}")


async def device_series(reads: Reads, device: str, behind: SeriesPlace | None, limit: int) -> dict[str, Any]:
    """One page of the series of a device, by metric. Raises NotFound."""
    place = (behind.metric, behind.series_id) if behind else (None, None)
    async with reads.connection() as connection:
        found = await connection.fetch(_SERIES, device, *place, limit + 1)
        if not found and not await connection.fetchval(_EXISTS, device):
            raise NotFound("no such device")
    shown = found[:limit]
    series = [
        {"metric": r["metric"], "labels": json.loads(r["labels"]), "created_at": to_text(r["created_at"])}
        for r in shown
    ]
    following = SeriesPlace(shown[-1]["metric"], shown[-1]["id"]).cursor if len(found) > limit else None
    return {"device": device, "series": series, "next": following}


async def latest(reads: Reads, device: str, wanted: Sequence[str] | None) -> dict[str, Any]:
    """The newest value of each metric of a device, or of those that are wanted; a list where it has several label sets.

    Raises NotFound, and Invalid where the device has more series than one answer holds.
    """
    async with reads.connection() as connection:
        found = await connection.fetch(_LATEST, device, wanted, MAX_NEWEST + 1)
        if not found and not await connection.fetchval(_EXISTS, device):
            raise NotFound("no such device")
    if len(found) > MAX_NEWEST:
        text = f"more than {MAX_NEWEST} series: choose among the metrics by metric=<name>, once or more"
        raise Invalid([Fault(("query", "metric"), "too_many_series", text)])
    metrics: dict[str, Any] = {}
    for record in found:
        item = {"ts": to_text(to_datetime(record["ts_us"])), "value": record["value"]}
        labels = json.loads(record["labels"])
        metrics.setdefault(record["metric"], []).append(item | ({"labels": labels} if labels else {}))
    single = {name: items[0] if len(items) == 1 else items for name, items in metrics.items()}
    return {"device": device, "metrics": single}
