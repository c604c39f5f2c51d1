"""Runs: where they begin and end, and bytes of COPY that decode back to the rows, bit by bit."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.runs import encode, find_runs
from schemas.columns import Rows
from schemas.runs import LONGEST, QUARTER_US, SHORTEST

PG_EPOCH_US = 946_684_800_000_000
START = 1_795_428_000_000_000 // QUARTER_US * QUARTER_US

Reading = tuple[int, int, bytes]
"""Series, microseconds, the value's bits."""

values = st.floats(allow_nan=False, allow_infinity=False)
points = st.dictionaries(
    st.tuples(st.integers(1, 3), st.integers(START - 3, START + 40) | st.integers(START, START + 3 * QUARTER_US)),
    values,
)


def rows_of(readings: dict[tuple[int, int], float]) -> Rows:
    """Rows in order of (series, ts)."""
    keys = sorted(readings)
    ts = np.array([ts for _, ts in keys], np.int64)
    return Rows(
        np.array([series for series, _ in keys], np.int32), ts, np.array([readings[key] for key in keys]), ts.copy()
    )


def tuples(data: bytes, fields: int) -> list[list[bytes]]:
    """COPY's binary format read as PostgreSQL's documentation words it: each tuple's fields, as bytes."""
    assert data.startswith(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    place, found = 19, []
    while (count := struct.unpack_from(">h", data, place)[0]) != -1:
        assert count == fields
        place += 2
        row = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", data, place)
            row.append(data[place + 4 : place + 4 + length])
            place += 4 + length
        found.append(row)
    assert place + 2 == len(data)
    return found


def array(data: bytes, kind: str, oid: int) -> list[Any]:
    """An array's elements, as `array_recv` would read them."""
    dimensions, nulls, element, size, lower = struct.unpack_from(">iiiii", data)
    assert (dimensions, nulls, element, lower) == (1, 0, oid, 1)
    step = 4 + struct.calcsize(kind)
    assert len(data) == 20 + size * step
    for place in range(size):
        assert struct.unpack_from(">i", data, 20 + place * step) == (step - 4,)
    return [struct.unpack_from(">" + kind, data, 24 + place * step)[0] for place in range(size)]


def decoded(rows: Rows) -> tuple[list[Reading], list[list[Reading]]]:
    """The plain readings, and those of each run."""
    plain, packed = encode(rows)
    readings = (
        [
            (*struct.unpack(">i", series), struct.unpack(">q", ts)[0] + PG_EPOCH_US, value[::-1])
            for series, ts, value in tuples(plain, 3)
        ]
        if plain
        else []
    )
    runs = []
    for series, ts, until, offsets, bits in tuples(packed, 5) if packed else []:
        first, last = (struct.unpack(">q", moment)[0] + PG_EPOCH_US for moment in (ts, until))
        times = [first + offset for offset in array(offsets, "i", 23)]
        assert (times[0], times[-1]) == (first, last)
        numbers = [struct.pack("<d", value) for value in array(bits, "d", 701)]
        runs.append([(*struct.unpack(">i", series), *pair) for pair in zip(times, numbers, strict=True)])
    return readings, runs


@given(points)
def test_every_reading_is_in_one_tuple_with_its_bits(readings: dict[tuple[int, int], float]) -> None:
    plain, runs = decoded(rows_of(readings))
    found = plain + [reading for run in runs for reading in run]
    assert sorted(found) == sorted((*key, struct.pack("<d", value)) for key, value in readings.items())
    for run in runs:
        assert SHORTEST <= len(run) <= LONGEST
        assert len({series for series, _, _ in run}) == 1
        assert len({ts // QUARTER_US for _, ts, _ in run}) == 1, "a run lies within a quarter of an hour"
        assert run == sorted(run)


@given(points)
def test_plain_are_only_those_too_few_for_a_run(readings: dict[tuple[int, int], float]) -> None:
    plain, _ = decoded(rows_of(readings))
    together: dict[tuple[int, int], int] = {}
    for series, ts in readings:
        together[series, ts // QUARTER_US] = together.get((series, ts // QUARTER_US), 0) + 1
    few = sum(count for count in together.values() if count < SHORTEST)
    assert len(plain) == few


@pytest.mark.parametrize(
    ("count", "lengths"),
    [(LONGEST, [LONGEST]), (LONGEST + 1, [LONGEST, 1]), (3 * LONGEST, [LONGEST] * 3), (1, [1]), (0, [])],
)
def test_a_run_is_never_longer_than_fits(count: int, lengths: list[int]) -> None:
    rows = rows_of({(1, START + place): 1.0 for place in range(count)})
    starts, found = find_runs(rows)
    assert found.tolist() == lengths
    assert starts.tolist() == [sum(lengths[:place]) for place in range(len(lengths))]
    assert encode(rows) == (None, None) or count


def test_bits_survive() -> None:
    kept = [-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, float(2**53 + 1)]
    for count in (len(kept), 2):  # as a run, and one by one
        rows = rows_of({(1, START + place): value for place, value in enumerate(kept[:count])})
        plain, runs = decoded(rows)
        found = plain + [reading for run in runs for reading in run]
        assert [bits for _, _, bits in found] == [struct.pack("<d", value) for value in kept[:count]]
