"""The packed limit of the benchmark: COPY's binary form, counted and cut."""

import io
import struct

import numpy as np

from ingest import runs
from load.bench.packed import parse
from schemas.columns import Rows


def rows(lengths: list[int]) -> Rows:
    """Series 1, 2, …, each with so many readings, a millisecond apart."""
    series = np.repeat(np.arange(1, len(lengths) + 1, dtype=np.int32), lengths)
    ticks = np.concatenate([np.arange(length) for length in lengths])
    ts = (ticks + 1_795_428_000_000) * 1_000
    return Rows(series, ts, ticks.astype(np.float64), ts)


def test_parse_counts_the_readings_of_runs_and_of_plain_rows() -> None:
    plain, packed = runs.encode(rows([1, 7, 1, 20, 3]))
    assert plain is not None
    assert packed is not None
    assert parse(packed).readings.tolist() == [7, 20]
    assert parse(plain).readings.tolist() == [1] * 5
    assert parse(plain).ends[-1] == len(plain) - 2
    assert len(parse(plain[:19] + plain[-2:]).ends) == 0


def test_parts_are_whole_inputs_that_hold_everything_once() -> None:
    _, packed = runs.encode(rows([10] * 12))
    assert packed is not None
    parts = parse(packed).cut(3)
    assert [parse(part).readings.tolist() for part in parts] == [[10] * 4] * 3
    assert {part[:19] for part in parts} == {packed[:19]}
    assert {part[-2:] for part in parts} == {b"\xff\xff"}
    assert b"".join(part[19:-2] for part in parts) == packed[19:-2]


def test_parts_without_tuples_are_empty() -> None:
    assert parse(io.BytesIO(b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff").getvalue()).cut(2) == [b"", b""]
    _, packed = runs.encode(rows([10]))
    assert packed is not None
    assert sorted(parse(packed).cut(3), key=len) == [b"", b"", packed]


def test_a_null_has_no_bytes() -> None:
    data = bytes(19) + struct.pack(">hi", 1, -1) + struct.pack(">hii", 1, 4, 7) + b"\xff\xff"
    assert parse(data).ends.tolist() == [25, 35]
