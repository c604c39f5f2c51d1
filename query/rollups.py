"""Cells kept for later: many of one series in a tuple, read and written as the bytes of whole columns."""

import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from query.cells import LEVELS_US, Cells, joined
from query.partitions import Connection
from schemas.columns import Bools, Int64s
from schemas.times import to_datetime

HOUR_US, DAY_US = LEVELS_US[1:]

TUPLES_AT_ONCE = 300  # of one COPY: bounds the hold on the loop to a few milliseconds
_PG_EPOCH_US = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000-01-01
_HEADER, _TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_SMALL, _INTEGER, _BIG, _DOUBLE = (21, ">i2"), (23, ">i4"), (20, ">i8"), (701, ">f8")  # oids and formats of elements
_ARRAY = struct.Struct(">iiiiii")  # bytes that follow, dimensions, whether a null is in it, type, size, lower bound
_HEAD = np.dtype([("series", ">i4"), ("ts", ">i8"), ("count", ">i4"), ("several", ">i4")])
_COLUMNS = ("series_id", "ts", "places", "sums", "first_us", "counts", "mins", "maxs", "firsts", "lasts", "last_us")
_OF_ALL, _OF_SEVERAL = _COLUMNS[2:5], _COLUMNS[6:]  # cells; and cells of several readings
_NULLS = b"\xff\xff\xff\xff" * (1 + len(_OF_SEVERAL))

# The columns are in one order, as one scan makes them. 20 bytes are an array's head (`array_send`).
_READ = """
SELECT string_agg(int4send(series_id) || timestamptz_send(ts) || int4send(cardinality(places))
                  || int4send((counts IS NOT NULL)::int), '') AS heads, {columns}
FROM {table}
WHERE series_id = ANY($1::int[]) AND ts >= $2 AND ts < $3
"""
_SENT = ", ".join(f"string_agg(substr(array_send({name}), 21), '') AS {name}" for name in _COLUMNS[2:])
_DELETE = "DELETE FROM {table} WHERE series_id = ANY($1::int[]) AND ts >= $2 AND ts < $3"


@dataclass(frozen=True, slots=True)
class Level:
    """How cells of one width are kept."""

    table: str
    width_us: int
    tuple_us: int
    """What one tuple covers."""
    integer: tuple[int, str] = _BIG
    """In which counts and microseconds fit."""

    def format(self, column: str) -> tuple[int, str]:
        """The type of a column's elements: its oid, and how they are sent."""
        if column == "places":
            return _SMALL
        return self.integer if column in ("first_us", "last_us", "counts") else _DOUBLE


MINUTES = Level("rollup_minutes", LEVELS_US[0], HOUR_US, _INTEGER)
HOURS = Level("rollup_hours", HOUR_US, DAY_US)
DAYS = Level("rollup_days", DAY_US, 30 * DAY_US)
LEVELS = (MINUTES, HOURS, DAYS)


@dataclass(frozen=True, slots=True)
class Block:
    """Cells of several series, in order of (series, time)."""

    series: Int64s
    """(n,) ids."""
    cells: Cells

    def take(self, places: Int64s | Bools | slice) -> "Block":
        """Some of them."""
        return Block(self.series[places], self.cells.take(places))


def together(first: Block, second: Block) -> Block:
    """The cells of both, which have none in common."""
    series, cells = np.concatenate((first.series, second.series)), joined((first.cells, second.cells))
    return Block(series, cells).take(np.lexsort((cells.start, series)))


async def read(connection: Connection, level: Level, series: Sequence[int], since: int, until: int) -> Block:
    """The cells of these series that begin since <= start < until, microseconds."""
    query = _READ.format(table=level.table, columns=_SENT)
    bounds = to_datetime(since // level.tuple_us * level.tuple_us), to_datetime(until)
    found: Any = await connection.fetchrow(query, series, *bounds)
    heads = np.frombuffer(found["heads"] or b"", _HEAD)
    counts = heads["count"].astype(np.int64)

    def column(name: str) -> Any:
        kind = np.dtype([("length", ">i4"), ("value", level.format(name)[1])])
        return np.frombuffer(found[name] or b"", kind)["value"].astype(kind["value"].newbyteorder("="))

    start = np.repeat(heads["ts"] + _PG_EPOCH_US, counts) + column("places").astype(np.int64) * level.width_us
    sums, first_us = column("sums"), column("first_us").astype(np.int64)
    count = np.ones(len(start), np.int64)
    count[np.repeat(heads["several"] != 0, counts)] = column("counts")
    several = count > 1

    def told(name: str, otherwise: Any) -> Any:
        values = otherwise.copy()
        values[several] = column(name)
        return values

    cells = Cells(
        start,
        count,
        sums,
        told("mins", sums),
        told("maxs", sums),
        told("firsts", sums),
        start + first_us,
        told("lasts", sums),
        start + told("last_us", first_us),
    )
    block = Block(np.repeat(heads["series"], counts).astype(np.int64), cells)
    block = block.take((start >= since) & (start < until))
    return block.take(np.lexsort((block.cells.start, block.series)))


async def write(
    connection: Connection, level: Level, series: Sequence[int], since: int, until: int, block: Block
) -> None:
    """Put cells in the place of all tuples of these series that begin since <= ts < until, microseconds."""
    await connection.execute(_DELETE.format(table=level.table), series, to_datetime(since), to_datetime(until))
    starts = _starts(level, block)[::TUPLES_AT_ONCE].tolist()
    for start, end in itertools.pairwise([*starts, len(block.series)]):
        # A memoryview, because asyncpg takes bytes for the path of a file.
        source: Any = memoryview(encode(level, block.take(slice(start, end))))
        await connection.copy_to_table(level.table, source=source, columns=_COLUMNS, format="binary")


def _starts(level: Level, block: Block) -> Int64s:
    """Places of the first cells of tuples."""
    ts = block.cells.start // level.tuple_us
    return np.flatnonzero((np.diff(block.series, prepend=-1) != 0) | (np.diff(ts, prepend=-1) != 0))


def encode(level: Level, block: Block) -> bytes:
    """COPY's input, in its binary format (see `ingest/runs.py` for that)."""
    cells = block.cells
    ts = cells.start // level.tuple_us * level.tuple_us
    starts = _starts(level, block)
    several = cells.count > 1
    before = np.append(0, np.cumsum(several))  # cells of several readings before each
    columns = {
        "places": (cells.start - ts) // level.width_us,
        "sums": cells.sum,
        "first_us": cells.first_us - cells.start,
        "mins": cells.min,
        "maxs": cells.max,
        "firsts": cells.first,
        "lasts": cells.last,
        "last_us": cells.last_us - cells.start,
    }
    of_all = [_Column(level.format(name), columns[name]) for name in _OF_ALL]
    counts = _Column(level.format("counts"), cells.count)
    of_several = [_Column(level.format(name), columns[name][several]) for name in _OF_SEVERAL]
    keys = zip(block.series[starts].tolist(), (ts[starts] - _PG_EPOCH_US).tolist(), strict=True)
    spans = np.append(starts, len(ts))
    bounds = zip(
        spans[:-1].tolist(), spans[1:].tolist(), before[spans[:-1]].tolist(), before[spans[1:]].tolist(), strict=True
    )
    parts: list[bytes | memoryview] = [_HEADER]
    for (series_id, at), (start, end, first, last) in zip(keys, bounds, strict=True):
        parts.append(struct.pack(">hiiiq", len(_COLUMNS), 4, series_id, 8, at))
        for each in of_all:
            parts += each.array(start, end)
        if first == last:
            parts.append(_NULLS)
            continue
        parts += counts.array(start, end)
        for each in of_several:
            parts += each.array(first, last)
    parts.append(_TRAILER)
    return b"".join(parts)


class _Column:
    """The elements of a column as they are sent, all tuples' one after the other."""

    def __init__(self, kind: tuple[int, str], values: NDArray[Any]) -> None:
        self._oid, code = kind
        element = np.dtype([("length", ">i4"), ("value", code)])
        elements = np.empty(len(values), element)
        elements["length"], elements["value"] = np.dtype(code).itemsize, values
        self._size, self._bytes = element.itemsize, memoryview(elements.tobytes())

    def array(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        yield _array_head(end - start, self._size, self._oid)
        yield self._bytes[start * self._size : end * self._size]


@lru_cache(1_000)
def _array_head(length: int, size: int, oid: int) -> bytes:
    return _ARRAY.pack(_ARRAY.size - 4 + length * size, 1, 0, oid, length, 1)
