"""The decoder of remote write against Protocol Buffers' own runtime, on whatever is sent: alike, or refused."""

import math
import random
import struct
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import prometheus
from ingest.formats.mapping import cleaned
from ingest.formats.prometheus_quick import read_quick
from schemas.columns import Columns
from schemas.errors import Malformed, TooLarge
from tests.unit.influx import BOUNDS, MS, table
from tests.unit.prometheus import STALE, WriteRequest, body, read, rows_of

LABELS = st.dictionaries(st.sampled_from(["a", "b", "é", "le"]), st.text("x\0é+", max_size=90), max_size=4)
VALUES = st.floats() | st.sampled_from([0.0, struct.unpack("<d", STALE)[0]])
SAMPLES = st.lists(st.tuples(VALUES, st.integers(MS - 86_400_000, MS + 600_000)), max_size=3)
SERIES = st.tuples(st.sampled_from("uvw"), st.sampled_from(["h:1", "ü"]), LABELS, st.just([]) | SAMPLES)
SINGLE = st.tuples(st.just("u"), st.just("h:1"), LABELS, SAMPLES.map(lambda samples: (samples or [(0.0, MS)])[:1]))
REQUESTS = st.lists(SERIES, max_size=8) | st.lists(SINGLE, min_size=1, max_size=8)
LONG_RUN = 1_000_000


def written(series: list[Any]) -> bytes:
    """A body of such series."""
    return body(
        *(
            ([("__name__", metric), ("instance", device), *labels.items()], samples)
            for metric, device, labels, samples in series
        )
    )


def bits(rows: Any) -> list[Any]:
    """Rows with their values to the bit."""
    return [(*row[:4], struct.pack("d", row[4])) for row in rows]


def outcome(raw: bytes) -> Columns | None:
    """What the decoder makes of a body; None where it refuses it, as it may."""
    try:
        return read(raw)
    except (Malformed, TooLarge):
        return None


@given(REQUESTS)
def test_what_was_written_is_read(series: list[Any]) -> None:
    raw = written(series)
    columns, message = read(raw), WriteRequest.FromString(raw)
    assert bits(table(columns)) == [
        (*row[:2], row[2].replace("\\u0000", "_"), *row[3:]) for row in bits(rows_of(message))
    ]
    sent = [sample.value for each in message.timeseries for sample in each.samples]
    assert (columns.skipped, columns.rejected) == (sum(not math.isfinite(value) for value in sent), [])
    quick = read_quick(raw, ())
    if quick is not None:
        strict = prometheus.read_strictly(raw, 50)
        assert quick.heads == strict.heads
        for one, other in ((quick.value, strict.value), (quick.time, strict.time), (quick.place, strict.place)):
            assert one.tobytes() == other.tobytes()


def assert_nothing_was_made_up(raw: bytes) -> bool:
    """Whatever was read of it was sent, says the runtime, and all of that which is good was read."""
    columns = outcome(raw)
    if columns is None:
        return False
    try:
        message = WriteRequest.FromString(raw)
    except DecodeError:
        raise AssertionError("Protocol Buffers' own runtime refuses what was read") from None
    sent = {
        (cleaned(label.value.decode(errors="replace")), sample.timestamp * 1_000, struct.pack("d", sample.value))
        for series in message.timeseries
        for label in series.labels
        if label.name == b"__name__"
        for sample in series.samples
    }
    for _, metric, _, ts, value in table(columns):
        assert BOUNDS.oldest_us <= ts <= BOUNDS.newest_us
        assert (metric, ts, struct.pack("d", value)) in sent
    finite = sum(math.isfinite(sample.value) for series in message.timeseries for sample in series.samples)
    assert len(columns) + len(columns.rejected) == finite
    return True


PIECES = [b"", b"\0", b"\x0a", b"\x12\x10\x09", b"\x12\x07\x10", b"\x80", b"\xff", b"\x0a\x05", STALE]
PUT = st.sampled_from(PIECES) | st.binary(max_size=3)
EDITS = st.lists(st.tuples(st.integers(0, 400), PUT, st.integers(0, 3)), min_size=1, max_size=4)


@given(REQUESTS, EDITS)
def test_mutated_bytes_are_refused_or_read_as_what_they_are(
    series: list[Any], edits: list[tuple[int, bytes, int]]
) -> None:
    raw = written(series)
    for at, put, dropped in edits:
        place = at % (len(raw) + 1)
        raw = raw[:place] + put + raw[place + dropped :]
    assert_nothing_was_made_up(raw)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read_as_what_they_are(raw: bytes) -> None:
    assert_nothing_was_made_up(raw)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_a_million_mutations() -> None:
    chance = random.Random(8)
    seeds = [
        written([("u", "h:1", {"a": "x"}, [(1.5, MS)]), ("v", "h:1", {}, [(0.0, MS)])]),
        written([("u", "h:1", {"a": "x"}, [(1.5, MS), (2.5, MS + 1)]), ("w", "ü", {"é": "y" * 200}, [])]),
    ]
    read_of = 0
    for _ in range(LONG_RUN):
        raw = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(raw) + 1)
            raw[place : place + chance.randint(0, 2)] = chance.choice(PIECES) or bytes([chance.randrange(256)])
        read_of += assert_nothing_was_made_up(bytes(raw))
    assert read_of > LONG_RUN // 50
