"""`python -m load.packing`: what packing a day costs, and what a reading takes on the disk before and after.

A day of a fleet that sent its readings one by one is laid into the database of a server of its own, which packs it.
Prints one JSON object.
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

DAYS_AGO = 10
PATIENCE_S = 1_800.0
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
_SIZE = "SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0)"
_LEFT = "SELECT pg_relation_size(to_regclass($1))"


async def measure(series: int, each: int) -> dict[str, Any]:
    """Lay in `each` readings of that many series, and see them packed."""
    with tempfile.TemporaryDirectory(prefix="sluice-packing-") as folder:
        async with started(Path(folder), 2, None, SETTINGS, rules=0) as sluice:
            return await _measure(sluice, series, each)


async def _measure(sluice: Sluice, series: int, each: int) -> dict[str, Any]:
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS_AGO)
    plain, packed = (f"{form}_{day:%Y%m%d}" for form in ("readings", "packed"))
    database = sluice.database
    ids = await database.fetchval(_SERIES, series)
    async with database.transaction():
        await ensure_partitions(database, day)
        await database.execute(_LAY_IN.format(table=plain), day, each, ids)
        before = await database.fetchval(_SIZE, plain)
        await sluice.settle()
    began, used = time.monotonic(), sluice.meter.read()
    while await database.fetchval(_LEFT, plain):
        if time.monotonic() - began > PATIENCE_S:
            raise TimeoutError(f"not packed after {PATIENCE_S:.0f} s")
        await asyncio.sleep(0.2)
    took, used = time.monotonic() - began, sluice.meter.read().since(used)
    stored = await database.fetchval(f"SELECT sum(cardinality(values)) FROM {packed}")  # noqa: S608 - made above
    readings = series * each
    if stored != readings:
        raise AssertionError(f"{readings} were laid in, {stored} are packed")
    after = await database.fetchval(_SIZE, packed)
    return {
        "readings": readings,
        "series": series,
        "bytes_per_reading_before": round(before / readings, 2),
        "bytes_per_reading_packed": round(after / readings, 2),
        "seconds": round(took, 1),
        "readings_per_s": round(readings / took),
        "cpu_us_per_reading": {part: round(cpu / readings * 1e6, 3) for part, cpu in used.parts.items()},
        "postgres_cpu_us_by_role": {
            name: round(cpu / readings * 1e6, 3) for name, cpu in used.roles.items() if cpu > 0
        },
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=5_000)
    parser.add_argument("--each", type=int, default=667, help="readings of a series")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.series, options.each)), indent=1))


if __name__ == "__main__":
    main()
