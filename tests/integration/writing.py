"""The write path and the alert engine on a real database, without a server: lanes, writer, rules."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import numpy as np
from prometheus_client import CollectorRegistry

from alerts.engine import Engine
from alerts.rulebook import RuleBook, RuleLoader
from ingest.group import Batch, arrange
from ingest.lane import HinderedError, Lane
from ingest.metrics import WriteMetrics
from ingest.partitions import Partitions
from ingest.series import SeriesTable
from ingest.store import Screening
from ingest.writer import Writer, WriterLimits
from schemas.columns import Int64s, Receipt, Rows, SeriesKey
from schemas.events import Event
from schemas.rules import RuleRequest
from schemas.times import to_datetime, to_micros

SECOND = 1_000_000
DAY = 86_400 * SECOND
NOW = 20_780 * DAY + DAY // 2  # microseconds; noon, so that a test's readings lie in one day

T = "temperature"
PLAIN: dict[str, Any] = {"condition": {"type": "threshold", "levels": [{"severity": "warning", "above": 70.0}]}}
"""What changes `rule_request` to one level without hysteresis."""

Point = tuple[str, float, float]
"""Metric, seconds after `NOW`, value."""


class NoRules:
    """A screening that finds nothing."""

    ready = True

    def screen(self, rows: Rows, hot: Sequence[int]) -> Int64s | None:
        """Nothing."""
        return None

    async def step(self, connection: asyncpg.pool.PoolConnectionProxy, rows: Rows, places: Int64s) -> Any:
        """Never called."""
        raise AssertionError

    def committed(self, outcome: Any) -> None:
        """Never called."""


class Workshop:
    """One worker's parts; `write` is one flush of one group."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.published: list[Event] = []
        self.engine = Engine(self.published.extend)
        self.series = SeriesTable(pool, max_cached=10_000, learn=self.engine.learn, unlearn=self.engine.unlearn)
        self.partitions = Partitions(pool)
        self.rulebook = RuleBook(pool, lambda: NOW + 999 * SECOND, self.published.extend, lambda: None)
        self.loader = RuleLoader(pool, self.engine, self.series.items)
        self.lanes = [Lane(pool, self.partitions, self.engine) for _ in range(2)]

    def lane(self, screening: Screening | None = None) -> Lane:
        """One more lane, by default without rules."""
        self.lanes.append(Lane(self.pool, self.partitions, screening or NoRules()))
        return self.lanes[-1]

    async def batch(
        self, *points: Point, device: str = "pump-1", arrived_s: float | None = None, replace: bool = False
    ) -> Batch:
        """A batch of a device's points, which arrives with the newest of them unless said otherwise."""
        keys = [SeriesKey(device, metric) for metric, _, _ in points]
        ids = await self.series.resolve(list(dict.fromkeys(keys)))
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        codes = np.array([places[key] for key in keys], np.int32)
        ts = np.array([NOW + round(seconds * SECOND) for _, seconds, _ in points], np.int64)
        value = np.array([value for _, _, value in points], np.float64)
        arrived = int(ts.max()) if arrived_s is None else NOW + round(arrived_s * SECOND)
        return Batch(ids[codes], ts, value, arrived, replace)

    async def flush(self, *batches: Batch, lane: Lane | None = None, patience_s: float = 5) -> Sequence[Receipt]:
        """Store a group."""
        deadline = asyncio.get_running_loop().time() + patience_s
        return await (lane or self.lanes[0]).flush(arrange(batches), deadline)

    async def write(self, *points: Point, lane: int = 0, **more: Any) -> Receipt:
        """Store one batch as a group of its own."""
        try:
            (receipt,) = await self.flush(await self.batch(*points, **more), lane=self.lanes[lane])
        except HinderedError:  # a series was deleted, and is made anew for whoever sends again
            known = dict(self.series.items())
            self.series.forget(list(known), np.fromiter(known.values(), np.int32))
            raise
        return receipt

    async def rule(self, **changes: Any) -> int:
        """A new rule, known to the engine."""
        rule = await self.rulebook.create(rule_request(**changes))
        await self.loader.refresh()
        return rule.id

    async def values(self) -> dict[tuple[str, float], float]:
        """Everything stored, by metric and seconds after `NOW`."""
        found = await self.pool.fetch(
            "SELECT metric, extract(epoch FROM ts)::float8 - $1 AS at, value FROM telemetry", NOW / SECOND
        )
        return {(record["metric"], round(record["at"], 6)): record["value"] for record in found}

    async def newest(self) -> dict[str, tuple[float, float]]:
        """The newest reading of each metric: seconds after `NOW`, and its value."""
        found = await self.pool.fetch(
            "SELECT metric, ts_us, value FROM newest JOIN series ON id = series_id WHERE ts_us > 0"
        )
        return {record["metric"]: ((record["ts_us"] - NOW) / SECOND, record["value"]) for record in found}

    async def between(self, metric: str, since: float, until: float) -> list[tuple[float, float]]:
        """`telemetry_between`, in seconds after `NOW`."""
        bounds = (to_datetime(NOW + round(seconds * SECOND)) for seconds in (since, until))
        found = await self.pool.fetch("SELECT ts, value FROM telemetry_between('pump-1', $1, $2, $3)", metric, *bounds)
        return [((to_micros(record["ts"]) - NOW) / SECOND, record["value"]) for record in found]

    async def sizes(self) -> tuple[int, int]:
        """How many plain readings and how many runs are stored."""
        found = await self.pool.fetchrow("SELECT (SELECT count(*) FROM readings), (SELECT count(*) FROM runs)")
        return tuple(found or ())

    async def clear(self) -> None:
        """Forget every reading."""
        await self.pool.execute("""
            TRUNCATE readings, runs, packed, rollup_minutes, rollup_hours, rollup_days, rollup_dirty,
                rollup_final;
            UPDATE newest SET ts_us = 0, before_us = 0;
            UPDATE rollup_gate SET closed_us = 0;
            UPDATE rollup_progress SET rolled_us = 0, until_us = 0, after_series = 0
            """)

    async def events(self) -> list[tuple[int, str, str, float]]:
        """The record: offset, event, severity, value."""
        found = await self.pool.fetch(
            """SELECT "offset", data->>'event' AS event, data->'alert'->>'severity' AS severity,
                      (data->'alert'->>'value')::float8 AS value FROM alert_events ORDER BY "offset" """
        )
        return [tuple(record) for record in found]

    async def told(self) -> list[str]:
        """The events in words."""
        return [f"{event} {severity}" for _, event, severity, _ in await self.events()]


def rule_request(**changes: Any) -> RuleRequest:
    """A rule about temperature: warning above 70 (clear 65), critical above 80 (clear 75)."""
    levels = [
        {"severity": "warning", "above": 70.0, "clear": 65.0},
        {"severity": "critical", "above": 80.0, "clear": 75.0},
    ]
    return RuleRequest.model_validate(
        {"name": "hot", "metric": "temperature", "condition": {"type": "threshold", "levels": levels}} | changes
    )


@asynccontextmanager
async def workshop(database: str) -> AsyncIterator[Workshop]:
    """A workshop on a database, and its end."""
    async with asyncpg.create_pool(database, min_size=0, max_size=12, command_timeout=5) as pool:
        shop = Workshop(pool)
        try:
            yield shop
        finally:
            for lane in shop.lanes:
                await lane.close()


def writer(shop: Workshop, **limits: Any) -> Writer:
    """A writer without rules."""
    metrics = WriteMetrics(CollectorRegistry())
    return Writer(shop.pool, shop.partitions, NoRules(), metrics, WriterLimits(**limits))


async def outcomes(writer: Writer, batches: list[Batch]) -> list[Receipt | BaseException]:
    """Write batches at the same time, so that they make one group."""
    waiting = [asyncio.create_task(writer.write(batch, asyncio.get_running_loop().time())) for batch in batches]
    await asyncio.sleep(0)
    running = asyncio.create_task(writer.run())
    try:
        return await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until_locked(pool: asyncpg.Pool) -> None:
    """Wait until somebody in this database waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(30):
        while not await pool.fetchval(query):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
