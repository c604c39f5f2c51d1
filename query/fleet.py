"""The fleet at a glance: devices with their newest values and, where asked, the course of each as a few points."""

from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from query.buckets import Check
from query.lines import time_texts
from query.reads import Connection, Reads
from query.rollups import HOUR_US, HOURS, read
from query.stored import Span, chunks
from schemas.columns import Float64s, Int64s
from schemas.cursor import encode_cursor
from schemas.errors import Fault, Invalid
from schemas.names import as_like
from schemas.queries import MAX_COURSES, Spark

CHUNK = 100_000  # readings read at a time: bounds memory, and the hold on the loop to some milliseconds

# Of several label sets of a metric the one that was heard of last.
_PAGE = """
WITH page AS (
    SELECT name, first_seen, last_seen
    FROM devices
    WHERE name ^@ $1 AND ($2::text IS NULL OR name > $2) AND ($3::text IS NULL OR name LIKE $3)
    ORDER BY name
    LIMIT $4
), known AS (
    SELECT s.device, s.metric, s.id, s.labels, n.ts_us, n.value,
           row_number() OVER (PARTITION BY s.device, s.metric ORDER BY n.ts_us DESC, s.id) AS turn,
           dense_rank() OVER (PARTITION BY s.device ORDER BY s.metric) AS place
    FROM page p
    JOIN series s ON s.device = p.name
    JOIN newest n ON n.series_id = s.id
), told AS (
    SELECT device, max(place) AS metrics,
           array_agg(id ORDER BY place) FILTER (WHERE shown) AS ids,
           array_agg(metric ORDER BY place) FILTER (WHERE shown) AS names,
           array_agg(CASE WHEN labels <> '{}' THEN labels::text END ORDER BY place) FILTER (WHERE shown) AS labels,
           array_agg(ts_us ORDER BY place) FILTER (WHERE shown) AS times,
           array_agg(value ORDER BY place) FILTER (WHERE shown) AS values
    FROM (
        SELECT *, turn = 1 AND ts_us > 0
                  AND CASE WHEN $6::text[] IS NULL THEN place <= $5 ELSE metric = ANY($6) END AS shown
        FROM known
    ) k
    GROUP BY device
)
SELECT p.name, round(date_part('epoch', p.first_seen) * 1e6)::bigint AS first_us,
       round(date_part('epoch', p.last_seen) * 1e6)::bigint AS last_us, coalesce(t.metrics, 0) AS metrics,
       t.ids, t.names, t.labels, t.times, t.values
FROM page p
LEFT JOIN told t ON t.device = p.name
ORDER BY p.name
"""
_NAMED = _PAGE.replace("name ^@ $1", "name ^@ $1 AND name = ANY($7::text[])")  # its own text: planned by the names
_NOW = """
SELECT round(date_part('epoch', clock_timestamp()) * 1e6)::bigint AS now_us, rolled_us, hours_since_us
FROM rollup_progress
"""


@dataclass(frozen=True, slots=True)
class Glance:
    """What is asked for."""

    prefix: str
    after: str | None
    limit: int
    latest: int
    """Newest values of a device, at most; the first metrics by name …"""
    metrics: Sequence[str] | None
    """… or these."""
    spark: Spark | None
    devices: Sequence[str] | None = None
    """Of these only."""

    @property
    def courses(self) -> int:
        """How many there are at most."""
        each = self.latest if self.metrics is None else len(self.metrics)
        most = self.limit if self.devices is None else min(self.limit, len(set(self.devices)))
        return most * each if self.spark else 0


@dataclass(frozen=True, slots=True)
class Window:
    """The points of all courses of an answer: each the mean of `step_us`, from `since` on. Microseconds."""

    since: int
    step_us: int
    points: int

    @classmethod
    def at(cls, now_us: int, spark: Spark) -> "Window":
        """The last one that holds `now_us`: steps begin at multiples of their length."""
        step_us = spark.step_s * 1_000_000
        return cls((now_us // step_us + 1 - spark.points) * step_us, step_us, spark.points)

    @property
    def until(self) -> int:
        """Where the last step ends."""
        return self.since + self.step_us * self.points


async def glance(reads: Reads, wanted: Glance, bound: str | None) -> bytes:
    """The answer, as JSON. `bound` is the glob of devices that the key may see. Raises Invalid, or as `Reads`."""
    if wanted.courses > MAX_COURSES:
        text = f"{wanted.courses} courses, of {MAX_COURSES} at most: ask for fewer devices or values a page"
        raise Invalid([Fault(("query", "spark"), "too_many_courses", text)])
    check = reads.deadline()
    page: tuple[Any, ...] = wanted.prefix, wanted.after, as_like(bound), wanted.limit + 1, wanted.latest, wanted.metrics
    statement = _PAGE
    if wanted.devices is not None:
        statement, page = _NAMED, (*page, wanted.devices)
    async with reads.connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        found = await connection.fetch(statement, *page)
        shown = found[: wanted.limit]
        window, courses = None, None
        if wanted.spark:
            ids = sorted(series_id for record in shown for series_id in record["ids"] or ())
            window, courses = await _courses(connection, ids, wanted.spark, check)
    answer: dict[str, Any] = {
        "items": _items(shown, courses),
        "next": encode_cursor(shown[-1]["name"]) if len(found) > wanted.limit else None,
    }
    if window:
        [since] = time_texts(np.array([window.since]))
        answer["spark"] = {"from": since.decode(), "step_s": window.step_us // 1_000_000, "points": window.points}
    return to_json(answer, inf_nan_mode="null")


def _items(records: Sequence[asyncpg.Record], courses: Mapping[int, list[float]] | None) -> list[Any]:
    seen = _texts([us for record in records for us in (record["first_us"], record["last_us"])])
    times = iter(_texts([us for record in records for us in record["times"] or ()]))
    items = []
    for place, record in enumerate(records):
        values = []
        for series_id, metric, labels, value in zip(
            *(record[name] or () for name in ("ids", "names", "labels", "values")), strict=True
        ):
            item: dict[str, Any] = {"metric": metric, "ts": next(times), "value": value}
            if labels is not None:
                item["labels"] = from_json(labels)
            if courses is not None:
                item["spark"] = courses[series_id]
            values.append(item)
        items.append(
            {
                "device": record["name"],
                "first_seen": seen[2 * place],
                "last_seen": seen[2 * place + 1],
                "metrics": record["metrics"],
                "latest": values,
            }
        )
    return items


def _texts(moments: list[int]) -> list[str]:
    return [text.decode() for text in time_texts(np.array(moments, np.int64))]


async def _courses(
    connection: Connection, series: list[int], spark: Spark, check: Check
) -> tuple[Window, dict[int, list[float]]]:
    """The points of each series: hours from rollups as far as they go, the fresh edge from readings."""
    found: Any = await connection.fetchrow(_NOW)
    window = Window.at(found["now_us"], spark)
    tally = _Tally(np.array(series, np.int64), window)
    edge = window.since
    if window.step_us % HOUR_US == 0 and found["hours_since_us"] <= window.since:
        edge = min(max(edge, found["rolled_us"]), window.until)
        block = await read(connection, HOURS, series, window.since, edge)
        tally.add(block.series, block.cells.start, block.cells.sum, block.cells.count)

    @asynccontextmanager
    async def lend() -> Any:
        yield connection

    async for chunk in chunks(lend, Span(series, edge, window.until), CHUNK):
        check()
        tally.add(chunk.series, chunk.ts, chunk.value, np.ones(len(chunk), np.int64))
    return window, dict(zip(series, tally.means(), strict=True))


class _Tally:
    """Sums and counts of the points of n series."""

    def __init__(self, series: Int64s, window: Window) -> None:
        self._series, self._window = series, window
        size = len(series) * window.points
        self._sum, self._count = np.zeros(size), np.zeros(size)

    def add(self, series: NDArray[np.integer[Any]], ts: Int64s, value: Float64s, count: Int64s) -> None:
        """Add readings of these series at these times, or what was added up of several."""
        step = (ts - self._window.since) // self._window.step_us
        place = np.searchsorted(self._series, series) * self._window.points + step
        with np.errstate(over="ignore", invalid="ignore"):
            self._sum += np.bincount(place, value, len(self._sum))
            self._count += np.bincount(place, count, len(self._count))

    def means(self) -> list[list[float]]:
        """The points of each series; no number where there was no reading, or where the sum is no float any more."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            means: list[list[float]] = (self._sum / self._count).reshape(-1, self._window.points).tolist()
        return means
