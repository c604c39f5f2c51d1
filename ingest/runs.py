"""Rows as PostgreSQL keeps them: readings of a series that came together as one run, the others one by one.

Both are written in COPY's binary format: each tuple is the number of its fields, then each field's length and bytes,
all big-endian; an array is its dimensions, then its elements in the same way. (PostgreSQL documentation, "COPY", Binary
Format; `array_recv` in arrayfuncs.c.)
"""

import struct
from functools import lru_cache

import numpy as np

from schemas.columns import Int64s, Rows
from schemas.runs import LONGEST, QUARTER_US, SHORTEST

_PG_EPOCH_US = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000-01-01
_INTEGER, _DOUBLE = 23, 701  # oids of the elements' types

_READING = np.dtype(
    [
        ("fields", ">i2"),
        ("series_id_length", ">i4"),
        ("series_id", ">i4"),
        ("ts_length", ">i4"),
        ("ts", ">i8"),
        ("value_length", ">i4"),
        ("value", ">f8"),
    ]
)
_RUN = np.dtype([*_READING.descr[:5], ("until_length", ">i4"), ("until", ">i8")])  # and two arrays
_OFFSET = np.dtype([("length", ">i4"), ("us", ">i4")])
_VALUE = np.dtype([("length", ">i4"), ("value", ">f8")])
_ARRAY = struct.Struct(">iiiiii")  # bytes that follow, dimensions, whether a null is in it, type, size, lower bound
_ARRAY_BYTES = _ARRAY.size - 4
_HEADER, _TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"


def encode(rows: Rows) -> tuple[bytes | None, bytes | None]:
    """COPY's input for `readings` and for `runs`, of rows in order of (series, ts); None where there is nothing."""
    if not len(rows):
        return None, None
    starts, lengths = find_runs(rows)
    long = lengths >= SHORTEST
    if not long.any():
        return _readings(rows), None
    runs = _runs(rows, starts[long], lengths[long])
    if long.all():
        return None, runs
    return _readings(rows.take(np.repeat(~long, lengths))), runs


def find_runs(rows: Rows) -> tuple[Int64s, Int64s]:
    """Where runs start, and how many rows each has; one row is a run too."""
    quarter = rows.ts // QUARTER_US
    first = np.ones(len(rows), np.bool_)
    first[1:] = (rows.series_id[1:] != rows.series_id[:-1]) | (quarter[1:] != quarter[:-1])
    starts = np.flatnonzero(first)
    lengths = np.diff(starts, append=len(rows))
    if len(lengths) and lengths.max() > LONGEST:
        place = np.arange(len(rows)) - np.repeat(starts, lengths)
        starts = np.flatnonzero(place % LONGEST == 0)
        lengths = np.diff(starts, append=len(rows))
    return starts, lengths


def _readings(rows: Rows) -> bytes:
    tuples = np.empty(len(rows), _READING)
    tuples["fields"] = 3
    tuples["series_id_length"], tuples["series_id"] = 4, rows.series_id
    tuples["ts_length"], tuples["ts"] = 8, rows.ts - _PG_EPOCH_US
    tuples["value_length"], tuples["value"] = 8, rows.value
    return b"".join((_HEADER, tuples.tobytes(), _TRAILER))


def _runs(rows: Rows, starts: Int64s, lengths: Int64s) -> bytes:
    heads = np.empty(len(starts), _RUN)
    heads["fields"] = 5
    heads["series_id_length"], heads["series_id"] = 4, rows.series_id[starts]
    heads["ts_length"], heads["ts"] = 8, rows.ts[starts] - _PG_EPOCH_US
    heads["until_length"], heads["until"] = 8, rows.ts[starts + lengths - 1] - _PG_EPOCH_US
    offsets, values = np.empty(len(rows), _OFFSET), np.empty(len(rows), _VALUE)
    offsets["length"], offsets["us"] = 4, _since_first(rows, starts, lengths)
    values["length"], values["value"] = 8, rows.value
    head, offset, value = (memoryview(part.tobytes()) for part in (heads, offsets, values))
    parts: list[bytes | memoryview] = [_HEADER]
    at = 0
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        until = start + length
        before_offsets, before_values = _array_heads(length)
        parts += (
            head[at : at + _RUN.itemsize],
            before_offsets,
            offset[start * _OFFSET.itemsize : until * _OFFSET.itemsize],
            before_values,
            value[start * _VALUE.itemsize : until * _VALUE.itemsize],
        )
        at += _RUN.itemsize
    parts.append(_TRAILER)
    return b"".join(parts)


def _since_first(rows: Rows, starts: Int64s, lengths: Int64s) -> Int64s:
    """(n,) microseconds after the first reading of the run; 0 for rows of no run."""
    offsets = np.zeros(len(rows), np.int64)
    places = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    offsets[places] = rows.ts[places] - np.repeat(rows.ts[starts], lengths)
    return offsets


@lru_cache(LONGEST)
def _array_heads(length: int) -> tuple[bytes, bytes]:
    return (
        _ARRAY.pack(_ARRAY_BYTES + length * _OFFSET.itemsize, 1, 0, _INTEGER, length, 1),
        _ARRAY.pack(_ARRAY_BYTES + length * _VALUE.itemsize, 1, 0, _DOUBLE, length, 1),
    )
