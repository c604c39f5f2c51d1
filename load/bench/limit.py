"""The limit: the same readings, COPYed bare in binary into a table like `readings`, by one connection."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import numpy as np

from load.bench.meter import Meter
from load.bench.plan import METRICS, Plan, device_name

TABLE = "bench_limit"
PG_EPOCH_US = 946_684_800_000_000  # PostgreSQL counts from 2000-01-01
_TUPLE = np.dtype(
    [("fields", ">i2"), ("l1", ">i4"), ("id", ">i4"), ("l2", ">i4"), ("ts", ">i8"), ("l3", ">i4"), ("value", ">f8")]
)
_HEADER, _TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"


@dataclass(frozen=True, slots=True)
class Limit:
    """What the bare COPY took."""

    us: float
    """PostgreSQL's CPU a reading."""
    rows_per_group: int
    readings_per_s: float


def days(count: int) -> list[str]:
    """Bounds of partitions, from today on."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [today + timedelta(days=number) for number in range(count + 1)]
    return [f"FROM ('{start:%FT%TZ}') TO ('{until:%FT%TZ}')" for start, until in pairwise(starts)]


async def make_table(database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """A table with the columns and the key that `readings` had at first, and daily partitions."""
    await database.execute(f"DROP TABLE IF EXISTS {TABLE}")
    await database.execute(
        f"CREATE TABLE {TABLE} (series_id integer NOT NULL, ts timestamptz NOT NULL, value double precision NOT NULL, "
        "PRIMARY KEY (series_id, ts)) PARTITION BY RANGE (ts)"
    )
    for number, bounds in enumerate(days(2)):
        await database.execute(f"CREATE TABLE {TABLE}_{number} PARTITION OF {TABLE} FOR VALUES {bounds}")


async def series_ids(database: "asyncpg.Connection[asyncpg.Record]", devices: int) -> "np.ndarray[Any, Any]":
    """The id of device × 5 + metric, as the server gave it."""
    records = await database.fetch("SELECT device, metric, id FROM series WHERE device LIKE 'bench-%'")
    known = {(record["device"], record["metric"]): record["id"] for record in records}
    wanted = [known.get((device_name(device), metric), 0) for device in range(devices) for metric in METRICS]
    return np.array(wanted, np.int32)


async def copy_bare(
    database: "asyncpg.Connection[asyncpg.Record]", meter: Meter, plan: Plan, first: int, until: int, group: int
) -> Limit:
    """COPY what the requests in places first … until hold, `group` rows a transaction, sorted by key within it."""
    series, ts, value = plan.columns(first, until)
    ids = (await series_ids(database, plan.devices))[series]
    groups = []
    for start in range(0, len(ids), group):
        part = slice(start, start + group)
        order = np.lexsort((ts[part], ids[part]))
        tuples = np.empty(len(order), _TUPLE)
        tuples["fields"], tuples["l1"], tuples["l2"], tuples["l3"] = 3, 4, 8, 8
        tuples["id"], tuples["ts"] = ids[part][order], ts[part][order] - PG_EPOCH_US
        tuples["value"] = value[part][order]
        groups.append(b"".join((_HEADER, tuples.tobytes(), _TRAILER)))
    await database.execute("CHECKPOINT")
    before, began = meter.read(), time.perf_counter()
    for data in groups:
        source: Any = memoryview(data)
        await database.copy_to_table(TABLE, source=source, columns=["series_id", "ts", "value"], format="binary")
    took = time.perf_counter() - began
    used = meter.read().since(before).parts.get("postgres", 0)
    return Limit(used / len(ids) * 1e6, group, len(ids) / took)
