"""The read side on a real database, beside the parts of a worker that write; and what a dictionary would answer."""

import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import numpy as np

from ingest.group import Batch
from query.buckets import Grid, Raw, Source, buckets
from query.readings import Place, Wanted, page
from query.reads import ReadLimits, ReadMetrics, Reads
from query.selection import Selection
from schemas.columns import SeriesKey, canonical_labels
from schemas.queries import Aggregate
from server.database import READING
from tests.integration.writing import NOW, SECOND, Workshop, workshop

SITES = ("A", "B", "C")
ALL = list(Aggregate)

Point = tuple[int, float, float]
"""Which of `SITES`, seconds after `NOW`, value."""


@dataclass
class Library:
    """What writes, what reads, and what is stored, by (site, microseconds)."""

    shop: Workshop
    reads: Reads
    stored: dict[tuple[int, int], float] = field(default_factory=dict)
    ids: dict[int, int] = field(default_factory=dict)

    async def clear(self) -> None:
        """Forget every reading."""
        await self.shop.clear()
        self.stored.clear()

    async def write(self, points: Sequence[Point], *, replace: bool = False, lane: int = 0) -> None:
        """Store a batch of `temperature` of `pump-1`."""
        for site in sorted({site for site, _, _ in points} - set(self.ids)):
            [self.ids[site]] = (await self.shop.series.resolve([key(site)])).tolist()
        ts = np.array([NOW + round(at * SECOND) for _, at, _ in points], np.int64)
        series = np.array([self.ids[site] for site, _, _ in points], np.int32)
        value = np.array([value for _, _, value in points])
        await self.shop.flush(Batch(series, ts, value, int(ts.max()), replace), lane=self.shop.lanes[lane])
        for (site, _, _), at, reading in zip(points, ts.tolist(), value.tolist(), strict=True):
            if replace or (site, at) not in self.stored:
                self.stored[site, at] = reading

    def expected(self, since: float, until: float, sites: Sequence[int] = ()) -> list[tuple[int, int, float]]:
        """(microseconds, series id, value) with since <= ts < until, in order."""
        low, high = NOW + round(since * SECOND), NOW + round(until * SECOND)
        return sorted(
            (at, self.ids[site], value)
            for (site, at), value in self.stored.items()
            if low <= at < high and (not sites or site in sites)
        )

    async def page(self, since: float, until: float, limit: int, cursor: str | None = None, **more: Any) -> Any:
        """One page, as it is sent."""
        behind = Place.of(cursor) if cursor else None
        span = NOW + round(since * SECOND), NOW + round(until * SECOND)
        wanted = Wanted(selection(more.pop("labels", {})), *span, behind=behind, **more)
        return json.loads(await page(self.reads, wanted, limit))

    async def buckets(
        self,
        since: float,
        until: float,
        bucket_s: int,
        labels: dict[str, str] | None = None,
        source: Source | None = None,
    ) -> list[dict[str, Any]]:
        """The buckets, as they are sent, of every aggregate."""
        grid = Grid(NOW + round(since * SECOND), NOW + round(until * SECOND), bucket_s * SECOND)
        answer = await buckets(self.reads, source or Raw(), selection(labels or {}), grid, ALL)
        found: list[dict[str, Any]] = json.loads(answer)["buckets"]
        return found


def key(site: int) -> SeriesKey:
    """The series of a site."""
    return SeriesKey("pump-1", "temperature", canonical_labels({"site": SITES[site]}))


def selection(labels: dict[str, str]) -> Selection:
    """Of the temperature of `pump-1`."""
    return Selection("pump-1", "temperature", labels)


def folded(readings: Sequence[tuple[int, int, float]], bucket_s: int) -> list[dict[str, Any]]:
    """Buckets of readings in order of (ts, series), by loops as plain as the definition."""
    answer = []
    for start in sorted({ts // SECOND // bucket_s for ts, _, _ in readings}):
        mine = [reading for reading in readings if reading[0] // SECOND // bucket_s == start]
        values = [value for _, _, value in mine]
        total = [in_levels([(ts, value) for ts, owner, value in mine if owner == each], bucket_s)
                 for each in sorted({owner for _, owner, _ in mine})]  # fmt: skip
        answer.append(
            {
                "us": start * bucket_s * SECOND,
                "count": len(mine),
                "sum": one_by_one(total),
                "avg": one_by_one(total) / len(mine),
                "min": min(values, key=signed),
                "max": max(values, key=signed),
                "first": values[0],
                "last": values[-1],
            }
        )
    return answer


def signed(value: float) -> tuple[float, float]:
    """By which -0.0 is less than 0.0."""
    return value, math.copysign(1, value)


def in_levels(readings: list[tuple[int, float]], bucket_s: int) -> float:
    """The sum of a bucket of one series: of minutes, of hours, of days, as far as they divide it."""
    terms = readings
    for width in [level for level in (60, 3_600, 86_400) if bucket_s % level == 0 and level != bucket_s]:
        spans = sorted({ts // SECOND // width for ts, _ in terms})
        terms = [
            (span * width * SECOND, one_by_one([value for ts, value in terms if ts // SECOND // width == span]))
            for span in spans
        ]
    return one_by_one([value for _, value in terms])


def one_by_one(values: Sequence[float]) -> float:
    """The sum, rounded after each term; `sum` would compensate, from Python 3.12 on."""
    total = -0.0
    for value in values:
        total += value
    assert math.isfinite(total)
    return total


@asynccontextmanager
async def library(database: str, **limits: Any) -> AsyncIterator[Library]:
    """One on a database of its own."""
    async with (
        workshop(database) as shop,
        asyncpg.create_pool(database, min_size=0, max_size=4, server_settings=READING) as pool,
    ):
        yield Library(shop, Reads(pool, ReadMetrics(None), ReadLimits(**limits)))
