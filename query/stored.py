"""Stored readings as arrays, a chunk of bounded size at a time, whatever form they are stored in.

A chunk is read by the times it covers, in one statement: whatever moves readings from one form to another between two
chunks, none is missed and none comes twice. PostgreSQL sends the bytes of whole columns, so a reading costs no object:
0.1 µs here, against 1 µs for a row. Its end is found by index beforehand, as a cursor's sort would have no bound.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from asyncpg import Record

from query.reads import Connection
from schemas.columns import Bools, Float64s, Int32s, Int64s
from schemas.times import EPOCH, to_datetime, to_micros

DAY_US = 86_400_000_000
LONG_US = 40 * DAY_US  # spans beyond that are first cut to what there are partitions for
SLACK = 2  # times the last chunk, which was full, the next one may take
LEAST_GROWTH, MOST_GROWTH = 4, 64  # of the window, from one chunk that it did not fill to the next
LEAST_OF_SERIES = 32  # readings of each series that a chunk may hold, however many series there are
_PG_EPOCH_US = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000-01-01
_PLAIN = np.dtype([("series", ">i4"), ("ts", ">i8"), ("value", ">f8")])
_HEAD = np.dtype([("series", ">i4"), ("ts", ">i8"), ("count", ">i4")])
_PIECE = np.dtype([("series", ">i4"), ("base", ">i8"), ("unit", ">i4"), ("count", ">i4")])
_OFFSET = np.dtype([("length", ">i4"), ("us", ">i4")])
_VALUE = np.dtype([("length", ">i4"), ("value", ">f8")])

# Where a chunk that begins at $2 ends, $3 at the latest: before the reading, or the run, that would be too much of its
# series. Both are found by primary key; a run is counted without being unpacked.
_END = """
SELECT least($3::timestamptz, min(e.plain), min(e.packed), min(e.pieces))
FROM unnest($1::int[]) AS s (id)
CROSS JOIN LATERAL (
    SELECT
        (SELECT ts FROM readings
         WHERE series_id = s.id AND ts >= $2 AND ts < $3 ORDER BY ts OFFSET $4 LIMIT 1) AS plain,
        (SELECT ts FROM (
            SELECT ts, sum(cardinality(offsets)) OVER (ORDER BY ts ROWS UNBOUNDED PRECEDING) AS count
            FROM runs WHERE series_id = s.id AND ts >= $2 AND ts < $3
         ) counted WHERE count > $4 AND ts > $2 ORDER BY ts LIMIT 1) AS packed,
        (SELECT min(full_at.ts) FROM (VALUES (1000), (1)) AS u (us) CROSS JOIN LATERAL (
            SELECT ts FROM (
                SELECT ts, sum(cardinality(offsets)) OVER (ORDER BY ts ROWS UNBOUNDED PRECEDING) AS count
                FROM packed WHERE series_id = s.id AND unit_us = u.us AND ts >= $2 AND ts < $3
            ) counted WHERE count > $4 AND ts > $2 ORDER BY ts LIMIT 1) full_at) AS pieces
) e
"""
# Where one that goes back from $3 begins: with the reading, or the run, that makes it full.
_BEGIN = """
SELECT greatest($2::timestamptz, max(e.plain), max(e.packed), max(e.pieces))
FROM unnest($1::int[]) AS s (id)
CROSS JOIN LATERAL (
    SELECT
        (SELECT ts FROM readings
         WHERE series_id = s.id AND ts >= $2 AND ts < $3 ORDER BY ts DESC OFFSET $4 LIMIT 1) AS plain,
        (SELECT ts FROM (
            SELECT ts, sum(cardinality(offsets)) OVER (ORDER BY ts DESC ROWS UNBOUNDED PRECEDING) AS count
            FROM runs WHERE series_id = s.id AND ts >= $2 AND ts < $3
         ) counted WHERE count > $4 ORDER BY ts DESC LIMIT 1) AS packed,
        (SELECT max(full_at.ts) FROM (VALUES (1000), (1)) AS u (us) CROSS JOIN LATERAL (
            SELECT ts FROM (
                SELECT ts, sum(cardinality(offsets)) OVER (ORDER BY ts DESC ROWS UNBOUNDED PRECEDING) AS count
                FROM packed WHERE series_id = s.id AND unit_us = u.us AND ts >= $2 AND ts < $3
            ) counted WHERE count > $4 ORDER BY ts DESC LIMIT 1) full_at) AS pieces
) e
"""
# The three columns of runs are in one order, as one scan makes them. 20 bytes are an array's head (`array_send`).
_READ = """
SELECT (
    SELECT string_agg(int4send(series_id) || timestamptz_send(ts) || float8send(value), '')
    FROM readings
    WHERE series_id = ANY($1::int[]) AND ts >= $2 AND ts < $3
) AS plain, r.heads, r.offsets, r.values, p.heads AS piece_heads, p.offsets AS units, p.values AS piece_values
FROM (
    SELECT string_agg(int4send(series_id) || timestamptz_send(ts) || int4send(cardinality(offsets)), '') AS heads,
           string_agg(substr(array_send(offsets), 21), '') AS offsets,
           string_agg(substr(array_send(values), 21), '') AS values
    FROM runs
    WHERE series_id = ANY($1::int[]) AND ts >= quarter_of($2) AND ts < $3 AND until >= $2
) r, (
    SELECT string_agg(int4send(p.series_id) || timestamptz_send(p.base) || int4send(p.unit_us)
                      || int4send(cardinality(p.offsets)), '') AS heads,
           string_agg(substr(array_send(p.offsets), 21), '') AS offsets,
           string_agg(substr(array_send(p.values), 21), '') AS values
    FROM unnest($1::int[]) AS s (id) CROSS JOIN LATERAL packed_between(s.id, $2, $3) p
) p
"""

# The first and the last day that has a partition.
_REACH = """
SELECT min(day) AS first, max(day) AS last
FROM (SELECT to_date(substring(c.relname FROM '[0-9]{8}$'), 'YYYYMMDD') AS day
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent IN ('readings'::regclass, 'runs'::regclass, 'packed'::regclass)) days
"""

Lend = Callable[[], AbstractAsyncContextManager[Connection]]
"""Gives a connection for one chunk."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Stored readings, in one order of (ts, series)."""

    series: Int32s
    """(n,) ids."""
    ts: Int64s
    """(n,) microseconds since the Unix epoch."""
    value: Float64s
    """(n,)"""

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, places: Int64s | Bools | slice) -> "Chunk":
        """The readings at these places."""
        return Chunk(self.series[places], self.ts[places], self.value[places])


@dataclass(frozen=True, slots=True)
class Span:
    """Which readings: of some series, since <= ts < until, microseconds."""

    series: Sequence[int]
    since: int
    until: int
    descending: bool = False


async def chunks(lend: Lend, span: Span, size: int) -> AsyncGenerator[Chunk]:
    """The readings of a span in its order, about `size` of them a chunk, by time and then by series.

    The window in which the end of a chunk is looked for is a day at first, then about as long as it takes to fill a
    chunk by what the last one held, so that neither a busy series nor a sparse one has much looked through.
    """
    since, until, window_us = span.since, span.until, DAY_US
    each = max(LEAST_OF_SERIES, size // max(1, len(span.series)))
    if until - since > LONG_US:
        async with lend() as connection:
            since, until = await _within_reach(connection, since, until)
    while since < until and span.series:
        async with lend() as connection:
            if span.descending:
                edge = max(since, until - window_us)
                begin = await _find(connection, _BEGIN, span, edge, until, each)
                chunk = await read(connection, span.series, begin, until)
                covered, until, filled = until - begin, begin, begin > edge
            else:
                edge = min(until, since + window_us)
                end = await _find(connection, _END, span, since, edge, each)
                chunk = await read(connection, span.series, since, end)
                covered, since, filled = end - since, end, end < edge
        window_us = SLACK * covered if filled else window_us * _growth(size, len(chunk))
        yield ordered(chunk, descending=span.descending)


def _growth(size: int, found: int) -> int:
    return min(MOST_GROWTH, max(LEAST_GROWTH, size // max(1, found)))


async def read(connection: Connection, series: Sequence[int], since: int, until: int) -> Chunk:
    """All readings of these series with since <= ts < until, microseconds, in no order."""
    found = await connection.fetchrow(_READ, series, to_datetime(since), to_datetime(until))
    assert found is not None  # noqa: S101 - an aggregate without GROUP BY is one row
    plain = np.frombuffer(found["plain"] or b"", _PLAIN)
    heads = np.frombuffer(found["heads"] or b"", _HEAD)
    counts = heads["count"]
    ts = np.repeat(heads["ts"].astype(np.int64), counts) + np.frombuffer(found["offsets"] or b"", _OFFSET)["us"]
    value = np.frombuffer(found["values"] or b"", _VALUE)["value"]
    runs = Chunk(np.repeat(heads["series"], counts), ts, value)
    pieces = _pieces(found)
    every = Chunk(
        np.concatenate((plain["series"], runs.series, pieces.series), dtype=np.int32),
        np.concatenate((plain["ts"].astype(np.int64), runs.ts, pieces.ts)) + _PG_EPOCH_US,
        np.concatenate((plain["value"], runs.value, pieces.value), dtype=np.float64),
    )
    return every.take((every.ts >= since) & (every.ts < until))


def _pieces(found: Record) -> Chunk:
    """The readings of old days, which are packed; times as PostgreSQL counts them."""
    heads = np.frombuffer(found["piece_heads"] or b"", _PIECE)
    counts = heads["count"]
    units = np.frombuffer(found["units"] or b"", _OFFSET)["us"].astype(np.int64)
    ts = np.repeat(heads["base"].astype(np.int64), counts) + units * np.repeat(heads["unit"].astype(np.int64), counts)
    value = np.frombuffer(found["piece_values"] or b"", _VALUE)["value"]
    return Chunk(np.repeat(heads["series"], counts), ts, value)


def ordered(chunk: Chunk, *, descending: bool) -> Chunk:
    """The same readings by time, then by series, or the other way round."""
    places = np.lexsort((chunk.series, chunk.ts))
    return chunk.take(places[::-1] if descending else places)


async def _find(connection: Connection, query: str, span: Span, since: int, until: int, each: int) -> int:
    found: datetime = await connection.fetchval(query, span.series, to_datetime(since), to_datetime(until), each)
    return to_micros(found)


async def _within_reach(connection: Connection, since: int, until: int) -> tuple[int, int]:
    """Who does not say from when to when wants no century looked through."""
    found = await connection.fetchrow(_REACH)
    if found is None or found["first"] is None:
        return since, since
    first, last = ((found[name] - EPOCH.date()).days * DAY_US for name in ("first", "last"))
    return max(since, first), min(until, last + DAY_US)
