"""A history laid into the tables: readings of many series over thirty days, as a fleet would have sent them.

`python -m load.history --readings 100000000 --database-url postgresql://…` takes a few minutes. Every device has one
series, `temperature`: a run each quarter of an hour and a plain reading each hour, written quarter after quarter, all
series at a time, so that the tuples of a series lie as far apart as they do in life. One more device, `hist-flood`, has
ten million readings alone, for exports.
"""

import asyncio
import struct
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import asyncpg
import numpy as np
import typer
from numpy.typing import NDArray

from load.bench.stock import ensure_partitions
from schemas.columns import Float64s, Int32s
from schemas.times import to_micros

DAYS = 30
QUARTER_US = 900_000_000
FLOOD, FLOOD_READINGS, FLOOD_RUN = "hist-flood", 10_000_000, 320
METRIC = "temperature"
AT_ONCE = 20_000  # tuples of one COPY
_PG_EPOCH_US = 946_684_800_000_000
_HEADER, _TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_INTEGER, _DOUBLE = 23, 701  # oids of the elements' types
_ARRAY_BYTES = struct.calcsize(">5i")
_HEAD = [("fields", ">i2"), ("series_length", ">i4"), ("series", ">i4"), ("ts_length", ">i4"), ("ts", ">i8")]
_PLAIN = np.dtype([*_HEAD, ("value_length", ">i4"), ("value", ">f8")])
_RUN_COLUMNS = ("series_id", "ts", "until", "offsets", "values")

_SERIES = """
WITH made AS (
    INSERT INTO devices (name, first_seen, last_seen)
    SELECT name, $2, $3 FROM unnest($1::text[]) AS d (name)
    RETURNING name
)
INSERT INTO series (device, metric) SELECT name, 'temperature' FROM made ORDER BY name RETURNING id
"""
_NEWEST = """
INSERT INTO newest (series_id, ts_us, value)
SELECT s.id, (extract(epoch FROM l.ts) * 1000000)::bigint, l.value
FROM unnest($1::int[]) AS s (id) CROSS JOIN LATERAL newest_stored(s.id) l
"""
# They came past the write path, which would have marked their hours.
_ROLL_UP = "UPDATE rollup_progress SET rolled_us = 0, until_us = 0, after_series = 0"


@dataclass(frozen=True, slots=True)
class History:
    """How much there shall be."""

    series: int
    readings: int
    """Of one run."""
    until: datetime
    """A quarter of an hour begins there, and the history ends."""

    @property
    def since(self) -> datetime:
        """When it begins."""
        return self.until - timedelta(days=DAYS)

    @property
    def total(self) -> int:
        """Readings, without the flood."""
        return self.series * DAYS * (96 * self.readings + 24)


def plan(readings: int, series: int, now: datetime) -> History:
    """The history that has about so many readings. Raises ValueError where that makes no runs."""
    each = round((readings / (series * DAYS) - 24) / 96)
    if not 4 <= each <= FLOOD_RUN:
        raise ValueError(f"{each} readings a quarter of an hour and series make no runs: change the number of series")
    return History(series, each, datetime.fromtimestamp(now.timestamp() // 900 * 900, UTC))


def device_name(number: int) -> str:
    """Of the devices, from 0 on."""
    return f"hist-{number:05}"


async def lay_in(database: "asyncpg.Connection[asyncpg.Record]", history: History) -> dict[str, float]:
    """Store it all; returns how many and how long that took."""
    began = time.monotonic()
    span = history.since, history.until
    names = [device_name(number) for number in range(history.series)]
    series = np.array([found[0] for found in await database.fetch(_SERIES, names, *span)], np.int32)
    flood = np.array([found[0] for found in await database.fetch(_SERIES, [FLOOD], *span)], np.int32)
    for day in range(DAYS + 1):
        await ensure_partitions(database, (history.since + timedelta(days=day)).replace(hour=0, minute=0))
    for quarter in range(DAYS * 96):
        start_us = to_micros(history.since) + quarter * QUARTER_US
        shift = series.astype(np.int64) % 997 * 1_000
        await _store_runs(database, series, start_us + shift, history.readings, QUARTER_US - 1_000_000)
        if quarter % 4 == 0:
            await _store(database, "readings", ("series_id", "ts", "value"), _plain(series, start_us + shift + 500))
        runs = FLOOD_READINGS // FLOOD_RUN // (DAYS * 96) + 1
        width_us = QUARTER_US // runs
        starts = start_us + np.arange(runs) * width_us
        await _store_runs(database, np.repeat(flood, runs), starts, FLOOD_RUN, width_us)
        if quarter % 96 == 95:
            say(f"{(quarter + 1) // 96} of {DAYS} days, {time.monotonic() - began:.0f} s")
    await database.execute(_NEWEST, [*series.tolist(), *flood.tolist()])
    await database.execute(_ROLL_UP)
    await database.execute("VACUUM (ANALYZE) readings, runs, newest, series, devices")
    await database.execute("CHECKPOINT")
    took = time.monotonic() - began
    return {
        "series": history.series,
        "readings": history.total,
        "flood": runs * FLOOD_RUN * DAYS * 96,
        "lay_in_s": took,
    }


async def _store_runs(
    database: "asyncpg.Connection[asyncpg.Record]", series: Int32s, start_us: NDArray[Any], count: int, width_us: int
) -> None:
    """A run of `count` readings for each of the series, evenly over its width."""
    offsets = (np.arange(count) * (width_us // count) // 1_000 * 1_000).astype(np.int32)
    tuples = np.zeros(len(series), _run_type(count))
    tuples["fields"], tuples["series_length"], tuples["series"] = 5, 4, series
    tuples["ts_length"], tuples["ts"] = 8, start_us - _PG_EPOCH_US
    tuples["until_length"], tuples["until"] = 8, start_us + int(offsets[-1]) - _PG_EPOCH_US
    for name, kind, size in (("offsets", _INTEGER, 8), ("values", _DOUBLE, 12)):
        tuples[f"{name}_head"] = (_ARRAY_BYTES + count * size, 1, 0, kind, count, 1)
        tuples[name]["length"] = size - 4
    tuples["offsets"]["item"] = offsets
    tuples["values"]["item"] = _values(series[:, None], start_us[:, None] + offsets)
    for first in range(0, len(tuples), AT_ONCE):
        await _store(database, "runs", _RUN_COLUMNS, tuples[first : first + AT_ONCE])


def _run_type(count: int) -> np.dtype[Any]:
    arrays = [("offsets_head", ">i4", 6), ("offsets", [("length", ">i4"), ("item", ">i4")], count)]
    arrays += [("values_head", ">i4", 6), ("values", [("length", ">i4"), ("item", ">f8")], count)]
    return np.dtype([*_HEAD, ("until_length", ">i4"), ("until", ">i8"), *arrays])


def _plain(series: Int32s, ts_us: NDArray[Any]) -> NDArray[Any]:
    tuples = np.zeros(len(series), _PLAIN)
    tuples["fields"], tuples["series_length"], tuples["series"] = 3, 4, series
    tuples["ts_length"], tuples["ts"] = 8, ts_us - _PG_EPOCH_US
    tuples["value_length"], tuples["value"] = 8, _values(series, ts_us)
    return tuples


def _values(series: NDArray[Any], ts_us: NDArray[Any]) -> Float64s:
    """A day's wave with two digits, as sensors have them."""
    waves: Float64s = np.round(20 + series % 7 + 5 * np.sin(ts_us / 86_400e6 * 2 * np.pi) + ts_us // 1_000 % 89 / 50, 2)
    return waves


async def _store(
    database: "asyncpg.Connection[asyncpg.Record]", table: str, columns: tuple[str, ...], tuples: NDArray[Any]
) -> None:
    source: Any = memoryview(b"".join((_HEADER, tuples.tobytes(), _TRAILER)))
    await database.copy_to_table(table, source=source, columns=columns, format="binary")


def say(text: str) -> None:
    """A line of progress."""
    print(f"history: {text}", file=sys.stderr, flush=True)


def main(
    database_url: Annotated[str, typer.Option(envvar="SLUICE_DATABASE_URL", help="A migrated database.")],
    readings: int = 100_000_000,
    series: int = 5_000,
) -> None:
    """Lay a history into a database that holds none yet."""

    async def run() -> dict[str, float]:
        database = await asyncpg.connect(database_url)
        try:
            return await lay_in(database, plan(readings, series, datetime.now(UTC)))
        finally:
            await database.close()

    print(asyncio.run(run()))


if __name__ == "__main__":
    typer.run(main)
