"""The decoder of OTLP against its own library, on whatever is sent: alike, or refused."""

import math
import random
import struct
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.mapping import cleaned
from schemas.columns import Columns
from schemas.errors import Malformed, TooLarge
from tests.unit.influx import BOUNDS, MS, table
from tests.unit.otlp import NS, Request, describe, lenient, read, read_json, scope_of

Lenient = lenient()
TIMES = st.integers(MS - 86_400_000, MS + 600_000).map(lambda ms: ms * 1_000_000)
VALUES = st.floats() | st.integers(-(2**63), 2**63 - 1)
ATTRIBUTES = st.dictionaries(st.sampled_from(["a", "é", "b.c"]), st.text("x\0é+", max_size=90), max_size=3)
POINT = st.tuples(TIMES, st.none() | VALUES, ATTRIBUTES, st.booleans(), st.sampled_from([0, 0, 0, 1, 2]), st.booleans())
METRIC = st.tuples(st.sampled_from(["gauge", "sum"]), st.sampled_from("uvw"), st.lists(POINT, max_size=4))
METRICS = st.lists(METRIC, max_size=6)
LONG_RUN = 1_000_000
Row = tuple[str, int, bytes]


def written(metrics: list[Any], device: str = "x") -> Request:
    """A request with such gauges and sums."""
    made = Request()
    scope = scope_of(made, {"device": device})
    for kind, name, points in metrics:
        metric = scope.metrics.add(name=name, unit="1" * len(points))
        getattr(metric, kind).SetInParent()
        for time, value, attributes, started, flags, marked in points:
            point = describe(getattr(metric, kind).data_points.add(time_unix_nano=time, flags=flags), attributes)
            if value is not None:
                setattr(point, "as_int" if isinstance(value, int) else "as_double", value)
            point.start_time_unix_nano = time * started
            if marked and flags:
                point.exemplars.add(as_double=1.0)
    return made


def bits(value: float) -> bytes:
    """A value, to the bit."""
    return struct.pack("d", value)


def sent(message: Any) -> list[tuple[Any, Any]]:
    """Every data point with its metric."""
    return [
        (metric, point)
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.WhichOneof("data")
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    ]


def numbers(metric: Any, point: Any) -> list[float]:
    """What of a data point can be stored, finite or not, without the buckets of a histogram."""
    if metric.WhichOneof("data") in ("gauge", "sum"):
        kind = point.WhichOneof("value")
        return [float(getattr(point, kind))] if kind else []
    parts = [float(point.count), *(getattr(point, name) for name in ("sum", "min", "max") if hasattr(point, name))]
    return [*parts, *(each.value for each in getattr(point, "quantile_values", ()))]


@given(METRICS)
def test_what_was_written_is_read(metrics: list[Any]) -> None:
    made = written(metrics)
    columns = read(made)
    wanted = [
        (metric.name, point.time_unix_nano // 1_000, bits(numbers(metric, point)[0]))
        for metric, point in sent(made)
        if not point.flags & 1 and numbers(metric, point) and math.isfinite(numbers(metric, point)[0])
    ]
    assert [(row[1], row[3], bits(row[4])) for row in table(columns)] == wanted
    assert len(columns) + len(columns.rejected) == sum(not point.flags & 1 for _, point in sent(made))
    assert all(row[0] == "x" for row in table(columns))


def outcome(raw: bytes) -> Columns | None:
    """What the decoder makes of a body; None where it refuses it, as it may."""
    try:
        return read(raw)
    except (Malformed, TooLarge):
        return None


def is_in(raw: bytes, value: float) -> bool:
    """Whether a number stands in these bytes, in one of the ways that the wire has for it; 0 may be left out."""
    windows = (raw[place : place + 8] for place in range(len(raw) - 7))
    return value == 0 or any(
        value in {float(each) for kind in "dqQ" for each in struct.unpack(f"<{kind}", window)} for window in windows
    )


def assert_nothing_was_made_up(raw: bytes) -> bool:
    """Whatever was read of it was sent, says the library, and what is not stored was named or counted."""
    columns = outcome(raw)
    if columns is None:
        return False
    try:
        message = Lenient.FromString(raw)
    except DecodeError:  # it reads also what cannot matter: a resource without a metric, the first of two kinds
        assert all(is_in(raw, row[4]) for row in table(columns) if not row[1].endswith(".bucket"))
        return True
    points = sent(message)
    known = {
        (cleaned(metric.name.decode(errors="replace")), point.time_unix_nano // 1_000)
        for metric, point in points
        if point.time_unix_nano
    }
    values = {bits(value) for metric, point in points for value in numbers(metric, point)}
    for _, metric, _, ts, value in table(columns):
        assert BOUNDS.oldest_us <= ts <= BOUNDS.newest_us
        assert metric.endswith(".bucket") or bits(value) in values
        name = metric if (metric, ts) in known else metric.rpartition(".")[0]
        assert ts == MS * 1_000 or (name, ts) in known
    assert len({fault.loc for fault in columns.rejected}) == len(columns.rejected) <= len(points)
    singles = [
        point for metric, point in points if metric.WhichOneof("data") in ("gauge", "sum") and not point.flags & 1
    ]
    if len(singles) == len(points):
        assert len(columns) + len(columns.rejected) == len(singles)
    return True


def seeds() -> list[bytes]:
    """Bodies to spoil."""
    plain = written([("gauge", "u", [(NS, 1.5, {"a": "x"}, True, 0, False), (NS, -1, {}, False, 0, False)])])
    odd = written([("sum", "v", [(NS, 2, {"é": "y" * 200}, False, 2, True), (NS, 0.0, {}, True, 1, False)])])
    scope = scope_of(odd, {"device": "y"})
    point = scope.metrics.add(name="h").histogram.data_points.add(time_unix_nano=NS, count=5, sum=9.5, min=1, max=7)
    point.bucket_counts.extend([2, 3])
    point.explicit_bounds.append(2.5)
    each = scope.metrics.add(name="e").exponential_histogram.data_points.add(time_unix_nano=NS, count=5, sum=2)
    each.positive.bucket_counts.append(5)
    summary = scope.metrics.add(name="q").summary.data_points.add(time_unix_nano=NS, count=2, sum=3)
    summary.quantile_values.add(quantile=0.5, value=1.5)
    return [plain.SerializeToString(), odd.SerializeToString()]


PIECES = [
    b"",
    b"\0",
    b"\x0a",
    b"\x12",
    b"\x19",
    b"\x21\0",
    b"\x31",
    b"\x3a\2",
    b"\x40\1",
    b"\x80",
    b"\xff",
    b"\x0a\x05",
]
PUT = st.sampled_from(PIECES) | st.binary(max_size=3)
EDITS = st.lists(st.tuples(st.integers(0, 600), PUT, st.integers(0, 3)), min_size=1, max_size=4)


@given(st.sampled_from(seeds()) | METRICS.map(lambda metrics: written(metrics).SerializeToString()), EDITS)
def test_mutated_bytes_are_refused_or_read_as_what_they_are(raw: bytes, edits: list[tuple[int, bytes, int]]) -> None:
    for at, put, dropped in edits:
        place = at % (len(raw) + 1)
        raw = raw[:place] + put + raw[place + dropped :]
    assert_nothing_was_made_up(raw)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read_as_what_they_are(raw: bytes) -> None:
    assert_nothing_was_made_up(raw)
    with suppress(Malformed, TooLarge):
        read_json(raw)


@pytest.mark.long
def test_a_million_mutations() -> None:
    chance = random.Random(8)
    bodies, read_of = seeds(), 0
    for _ in range(LONG_RUN):
        raw = bytearray(chance.choice(bodies))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(raw) + 1)
            raw[place : place + chance.randint(0, 2)] = chance.choice(PIECES) or bytes([chance.randrange(256)])
        read_of += assert_nothing_was_made_up(bytes(raw))
    assert read_of > LONG_RUN // 50
