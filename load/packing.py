"""`python -m load.packing`: what packing a day costs, and what a reading takes on the disk before and after.

A day of a fleet that sent its readings one by one, or some of a series together (`--run 20`), is laid into the database
of a server of its own, which packs it. Prints one JSON object.
"""

import argparse
import asyncio
import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from load.bench.sluice import Sluice, started
from load.bench.stock import ensure_partitions
from schemas.runs import SHORTEST

DAYS_AGO = 10
PATIENCE_S = 1_800.0
IDLE_S = 10.0  # at first nothing is done: what that costs has no part in packing
SETTINGS = {"storage_every_s": "1", "retention_days": "365"}

_SERIES = """
WITH device AS (
    INSERT INTO devices (name) SELECT 'packed-' || n FROM generate_series(1, $1::int / 10 + 1) n RETURNING name
), made AS (
    INSERT INTO series (device, metric) SELECT 'packed-' || s / 10 + 1, 'm' || s % 10 FROM generate_series(0, $1 - 1) s
    RETURNING id
)
SELECT array_agg(id) FROM made
"""
# A moment each row, all series at about it: as the readings of a fleet come in.
_LAY_IN = """
INSERT INTO {table}
SELECT s, $1::timestamptz + (n * 86400000::bigint / $2 + s % 100) * interval '1 ms', random() * 100
FROM generate_series(0, $2 - 1) n CROSS JOIN unnest($3::int[]) s
"""
# A quarter of an hour each run, as none may lie in two.
_LAY_IN_RUNS = """
INSERT INTO {table}
SELECT s, r.ts, r.ts + ($4::int - 1) * interval '500 ms', o.offsets, o.values
FROM (SELECT $1::timestamptz + n * 96 / ($2::int / $4::int) * interval '15 minutes' AS at
      FROM generate_series(0, $2::int / $4::int - 1) n) q
CROSS JOIN unnest($3::int[]) s
CROSS JOIN LATERAL (SELECT q.at + s % 100 * interval '1 ms' AS ts) r
CROSS JOIN (SELECT array_agg(k * 500000 ORDER BY k) AS offsets, array_agg(random() * 100 ORDER BY k) AS values
            FROM generate_series(0, $4::int - 1) k) o
"""
MOST_RUNS = 96  # of a series and a day
_SIZE = "SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0)"
_KEYS = "SELECT pg_indexes_size(to_regclass($1))"
_LEFT = "SELECT pg_relation_size(to_regclass($1))"
_LSN = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"


async def measure(series: int, each: int, run: int) -> dict[str, Any]:
    """Lay in `each` readings of that many series, `run` of them together, and see them packed."""
    with tempfile.TemporaryDirectory(prefix="sluice-packing-") as folder:
        async with started(Path(folder), 2, None, SETTINGS, rules=0) as sluice:
            return await _measure(sluice, series, each // run * run, run)


async def _measure(sluice: Sluice, series: int, each: int, run: int) -> dict[str, Any]:
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS_AGO)
    laid, packed = (f"{form}_{day:%Y%m%d}" for form in ("runs" if run > 1 else "readings", "packed"))
    database = sluice.database
    ids = await database.fetchval(_SERIES, series)
    idle = sluice.meter.read()
    await asyncio.sleep(IDLE_S)
    idle = sluice.meter.read().since(idle)
    async with database.transaction():
        await ensure_partitions(database, day)
        query, more = (_LAY_IN_RUNS, [run]) if run > 1 else (_LAY_IN, [])
        await database.execute(query.format(table=laid), day, each, ids, *more)
        before, keys = await database.fetchval(_SIZE, laid), await database.fetchval(_KEYS, laid)
        await sluice.settle()
    began, used, log = time.monotonic(), sluice.meter.read(), await database.fetchval(_LSN)
    while await database.fetchval(_LEFT, laid):
        if time.monotonic() - began > PATIENCE_S:
            raise TimeoutError(f"not packed after {PATIENCE_S:.0f} s")
        await asyncio.sleep(0.2)
    took, used = time.monotonic() - began, sluice.meter.read().since(used)
    log = await database.fetchval(_LSN) - log
    stored = await database.fetchval(f"SELECT sum(cardinality(values)) FROM {packed}")  # noqa: S608 - made above
    readings = series * each
    if stored != readings:
        raise AssertionError(f"{readings} were laid in, {stored} are packed")
    after = await database.fetchval(_SIZE, packed)
    return {
        "readings": readings,
        "series": series,
        "run": run,
        "bytes_per_reading_before": round(before / readings, 2),
        "bytes_of_keys_before": round(keys / readings, 2),
        "bytes_per_reading_packed": round(after / readings, 2),
        "wal_bytes_per_reading": round(log / readings, 2),
        "seconds": round(took, 1),
        "readings_per_s": round(readings / took),
        "cpu_us_per_reading": {
            part: round((cpu - idle.parts[part] / IDLE_S * took) / readings * 1e6, 3)
            for part, cpu in used.parts.items()
        },
        "idle_cores": {part: round(cpu / IDLE_S, 4) for part, cpu in idle.parts.items()},
        "postgres_cpu_us_by_role": {
            name: round(cpu / readings * 1e6, 3) for name, cpu in used.roles.items() if cpu > 0
        },
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=5_000)
    parser.add_argument("--each", type=int, default=667, help="readings of a series")
    parser.add_argument("--run", type=int, default=1, help="readings that came together: 1, or 4 and more")
    options = parser.parse_args()
    if options.run > 1 and not MOST_RUNS * options.run >= options.each >= options.run >= SHORTEST:
        parser.error(f"a run has {SHORTEST} readings at least, and a series {MOST_RUNS} runs a day at most")
    print(json.dumps(asyncio.run(measure(options.series, options.each, options.run)), indent=1))


if __name__ == "__main__":
    main()
