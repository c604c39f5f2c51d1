"""The other limit: what the server stored, in the form it stored it, COPYed bare once more into tables like its own.

Tuples of `readings` and `runs` only. What the server also writes, `newest` and the alerts, is not in it.
"""

import io
import struct
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import asyncpg
import numpy as np

from load.bench.limit import Limit, days
from load.bench.meter import Meter
from load.bench.plan import Plan
from schemas.columns import Int64s
from schemas.times import to_datetime

TABLES = {"readings": "bench_packed_readings", "runs": "bench_packed_runs"}
"""The server's tables, and those that are like them."""

_COLUMNS = {
    "readings": ("series_id", "ts", "value"),
    "runs": ("series_id", "ts", "until", "offsets", "values"),
}
# In the order in which they came, so that groups are again what they were.
_STORED = """
SELECT {columns}
FROM series s JOIN {table} r ON r.series_id = s.id
WHERE s.device LIKE 'bench-%' AND r.ts >= $1 AND r.ts < $2
ORDER BY r.tableoid, r.ctid
"""
_HEADER_BYTES, _TRAILER = 19, b"\xff\xff"
_COUNT, _LENGTH = struct.Struct(">h"), struct.Struct(">i")
_ARRAY_FIELD, _ARRAY_LENGTH_AT = 3, 12  # of a run: its fourth field is an array, whose length stands in its head


@dataclass(frozen=True, slots=True)
class Tuples:
    """COPY's binary input, and what is where in it."""

    data: bytes
    ends: Int64s
    """(n,) the byte after each tuple."""
    readings: Int64s
    """(n,) how many readings each tuple holds."""

    def part(self, first: int, until: int) -> bytes:
        """Input of these tuples alone; empty where there are none."""
        if first >= until:
            return b""
        begin = int(self.ends[first - 1]) if first else _HEADER_BYTES
        return b"".join((self.data[:_HEADER_BYTES], self.data[begin : int(self.ends[until - 1])], _TRAILER))

    def cut(self, parts: int) -> list[bytes]:
        """As many inputs, in order, each with its share of the readings as nearly as whole tuples allow."""
        told = np.cumsum(self.readings)
        total = int(told[-1]) if len(told) else 0
        places = [int(np.searchsorted(told, total * part / parts, "right")) for part in range(parts)] + [len(told)]
        return [self.part(first, until) for first, until in pairwise(places)]


def parse(data: bytes) -> Tuples:
    """Find the tuples of COPY's binary output; a fourth field is taken for the array that a run's readings are in."""
    ends, readings, at = [], [], _HEADER_BYTES
    while at < len(data) and (fields := _COUNT.unpack_from(data, at)[0]) >= 0:
        at += _COUNT.size
        count = 1
        for field in range(fields):
            length = _LENGTH.unpack_from(data, at)[0]
            at += _LENGTH.size
            if field == _ARRAY_FIELD:
                count = _LENGTH.unpack_from(data, at + _ARRAY_LENGTH_AT)[0]
            at += max(0, length)  # -1 is null
        ends.append(at)
        readings.append(count)
    return Tuples(data, np.array(ends, np.int64), np.array(readings, np.int64))


async def make_tables(database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Empty tables like the server's, keys, storage and partitions as theirs, for today and tomorrow."""
    await drop_tables(database)
    for table, ours in TABLES.items():
        await database.execute(f"CREATE TABLE {ours} (LIKE {table} INCLUDING ALL) PARTITION BY RANGE (ts)")
        for number, bounds in enumerate(days(2)):
            await database.execute(f"CREATE TABLE {ours}_{number} (LIKE {table} INCLUDING ALL)")
            await database.execute(f"ALTER TABLE {ours} ATTACH PARTITION {ours}_{number} FOR VALUES {bounds}")


async def drop_tables(database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Remove them."""
    await database.execute(f"DROP TABLE IF EXISTS {', '.join(TABLES.values())}")


async def copy_packed(
    database: "asyncpg.Connection[asyncpg.Record]", meter: Meter, plan: Plan, first: int, until: int, group: int
) -> Limit:
    """COPY what the server stored in the time of the requests in places first … until, `group` readings a transaction.

    Whole ticks are taken, so some readings of the requests before and after may be among them. Only the CPU of writing
    counts, none of reading.
    """
    stored = {table: parse(await _read(database, table, *plan.window(first, until))) for table in TABLES}
    total = sum(int(tuples.readings.sum()) for tuples in stored.values())
    if not total:
        return Limit(float("nan"), group, 0.0)
    parts = max(1, round(total / group))
    groups = list(zip(*(stored[table].cut(parts) for table in TABLES), strict=True))
    await database.execute("CHECKPOINT")
    before, began = meter.read(), time.perf_counter()
    for inputs in groups:
        async with database.transaction():
            for table, data in zip(TABLES, inputs, strict=True):
                if data:
                    source: Any = memoryview(data)
                    await database.copy_to_table(TABLES[table], source=source, columns=_COLUMNS[table], format="binary")
    took = time.perf_counter() - began
    used = meter.read().since(before).parts.get("postgres", 0)
    return Limit(used / total * 1e6, group, total / took)


async def _read(database: "asyncpg.Connection[asyncpg.Record]", table: str, first_us: int, until_us: int) -> bytes:
    columns = ", ".join(f"r.{column}" for column in _COLUMNS[table])
    query = _STORED.format(columns=columns, table=table)
    output = io.BytesIO()
    await database.copy_from_query(query, to_datetime(first_us), to_datetime(until_us), output=output, format="binary")
    return output.getvalue()
