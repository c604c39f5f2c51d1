"""A stock of readings, laid in before the clock starts, in the form and about the order in which they would have come.

Of five readings one is a plain row, four are in runs. Half of all lie in today's partitions, the others in those of the
days before.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from load.bench.subject import SubjectError, say

RUN_READINGS = 20  # of one run, as a batch of 100 readings of five series makes them
RUN_MS = RUN_READINGS  # a reading a millisecond: a quarter of an hour is a multiple of it, so that no run crosses one
PLAIN_SHARE = 5  # one reading in so many is a plain row
PAST_DAYS = 3
TODAY_SHARE = 2  # one reading in so many is of today
BYTES_PER_READING = 80.0  # on disk, at most: rows, runs, both keys, and the log until it is checkpointed
LEAST_S = 120  # of today, gone by: readings of today have to lie somewhere

_SERIES = "SELECT id FROM series WHERE device LIKE 'bench-%'"
# A moment each row, all series at it: the keys come as they do from a fleet, spread over the index. Plain rows lie
# between milliseconds, where no run has a reading.
_PLAIN = f"""
INSERT INTO readings (series_id, ts, value)
SELECT s.id, $1::timestamptz + floor(n * $2::float8) * interval '1 ms' + interval '500 us', n % 1000 / 10.0
FROM generate_series(0, $3::bigint - 1) n CROSS JOIN ({_SERIES} ORDER BY id) s
"""  # noqa: S608 - constants
_RUNS = f"""
INSERT INTO runs (series_id, ts, until, offsets, values)
SELECT s.id, r.ts, r.ts + {RUN_MS - 1} * interval '1 ms', o.offsets, o.values
FROM (SELECT $1::timestamptz + floor(n * $2::float8 / {RUN_MS}) * {RUN_MS} * interval '1 ms' AS ts
      FROM generate_series(0, $3::bigint - 1) n) r
CROSS JOIN ({_SERIES} ORDER BY id) s
CROSS JOIN (SELECT array_agg(k * 1000 ORDER BY k) AS offsets, array_agg(k / 10.0::float8 ORDER BY k) AS values
            FROM generate_series(0, {RUN_READINGS - 1}) k) o
"""  # noqa: S608 - constants
_NEWEST = f"""
UPDATE newest h
SET before_us = h.ts_us, ts_us = (extract(epoch FROM l.ts) * 1000000)::bigint, value = l.value
FROM ({_SERIES}) s CROSS JOIN LATERAL newest_stored(s.id) l
WHERE h.series_id = s.id AND (extract(epoch FROM l.ts) * 1000000)::bigint > h.ts_us
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is laid into the partitions of one day, of each series."""

    start: datetime
    span_ms: int
    plain: int
    runs: int

    @property
    def readings(self) -> int:
        """Of one series."""
        return self.plain + self.runs * RUN_READINGS


def shelves(readings: int, series: int, now: datetime) -> list[Shelf]:
    """How that many readings are spread; as many as divide evenly. Raises SubjectError where a day has no room."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    each, made = readings / series, []
    for back in range(PAST_DAYS, -1, -1):
        share = each / TODAY_SHARE if back == 0 else each * (1 - 1 / TODAY_SHARE) / PAST_DAYS
        start = midnight - timedelta(days=back)
        span_ms = int((min(now, start + timedelta(days=1)) - start).total_seconds() * 1_000)
        plain = round(share / PLAIN_SHARE)
        runs = round((share - plain) / RUN_READINGS)
        if span_ms < max(plain, runs * RUN_MS, LEAST_S * 1_000):
            raise SubjectError(f"{span_ms / 1_000:.0f} s after midnight (UTC) today has no room yet: start again later")
        made.append(Shelf(start, span_ms, plain, runs))
    return made


def room(folder: Path, readings: int) -> str:
    """Why the disk cannot hold them; empty where it can."""
    free, needed = shutil.disk_usage(folder).free, readings * BYTES_PER_READING
    return "" if free > needed else f"{free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB wanted"


async def lay_in(database: "asyncpg.Connection[asyncpg.Record]", readings: int, series: int) -> dict[str, float]:
    """Store them, of series that exist; returns how many of each kind, and seconds."""
    began, plain, runs = time.monotonic(), 0, 0
    for shelf in shelves(readings, series, datetime.now(UTC)):
        await ensure_partitions(database, shelf.start)
        plain += await _insert(database, _PLAIN, shelf, shelf.plain)
        runs += await _insert(database, _RUNS, shelf, shelf.runs)
        say(
            f"stored {plain + runs * RUN_READINGS:,} readings, up to {shelf.start:%F}, {time.monotonic() - began:.0f} s"
        )
    await database.execute(_NEWEST)
    # Else autovacuum would do it while the clock runs.
    await database.execute("VACUUM (ANALYZE) readings, runs, newest")
    await database.execute("CHECKPOINT")
    took = time.monotonic() - began
    return {
        "stored_plain": plain,
        "stored_runs": runs,
        "stored_readings": plain + runs * RUN_READINGS,
        "lay_in_s": took,
    }


async def _insert(database: "asyncpg.Connection[asyncpg.Record]", query: str, shelf: Shelf, count: int) -> int:
    if not count:
        return 0
    tag = await database.execute(query, shelf.start, shelf.span_ms / count, count)
    return int(tag.split()[-1])


async def ensure_partitions(database: "asyncpg.Connection[asyncpg.Record]", start: datetime) -> None:
    """Make a day's partitions of `readings` and `runs` as the server makes them."""
    for parent, name in _partitions(start):
        until = start + timedelta(days=1)
        await database.execute("SELECT ensure_partition($1::text::regclass, $2, $3, $4)", parent, name, start, until)


def _partitions(start: datetime) -> Iterator[tuple[str, str]]:
    for parent in ("readings", "runs"):
        yield parent, f"{parent}_{start:%Y%m%d}"
