"""Readings as text, what a client accepts, and what stands in a query string."""

import csv
import io
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from query.lines import CSV, JSON, NDJSON, Scribe, time_texts
from query.negotiation import coding, preferred
from query.stored import Chunk
from schemas.moments import FIRST_MS, LAST_MS
from schemas.queries import QueryMoment
from schemas.times import to_datetime, to_text

times = st.integers(FIRST_MS * 1_000, LAST_MS * 1_000) | st.integers(FIRST_MS, LAST_MS).map(lambda ms: ms * 1_000)
values = st.floats(allow_nan=False, allow_infinity=False, width=64)
LABELS = {1: "{}", 2: '{"site":"A\\"b,c"}', 3: '{"é":"\\u0001"}'}


def chunk_of(readings: list[tuple[int, float, int]]) -> Chunk:
    ts, value, series = zip(*readings, strict=True) if readings else ((), (), ())
    return Chunk(np.array(series, np.int32), np.array(ts, np.int64), np.array(value, np.float64))


@given(st.lists(times))
def test_times_are_written_as_everywhere(moments: list[int]) -> None:
    texts = [text.decode() for text in time_texts(np.array(moments, np.int64))]
    assert texts == [to_text(to_datetime(moment)) for moment in moments]


@given(st.lists(st.tuples(times, values, st.sampled_from([1, 2, 3]))), st.booleans())
def test_every_layout_gives_the_bits_back(readings: list[tuple[int, float, int]], several: bool) -> None:
    readings = readings if several else [(ts, value, 1) for ts, value, _ in readings]
    series = LABELS if several else {1: "{}"}
    chunk = chunk_of(readings)
    wanted = [
        (to_text(to_datetime(ts)), value.hex(), json.loads(LABELS[place]) if several else None)
        for ts, value, place in readings
    ]
    scribe = Scribe(CSV, series)
    rows = list(csv.DictReader(io.StringIO((scribe.head + scribe.lines(chunk)).decode(), newline="")))
    found = [
        (row["ts"], float(row["value"]).hex(), json.loads(row["labels"]) if several else row.get("labels"))
        for row in rows
    ]
    assert found == wanted
    lines = Scribe(NDJSON, series).lines(chunk).decode().split("\n")[:-1]
    for items in ([json.loads(line) for line in lines], json.loads(b"[%b]" % Scribe(JSON, series).lines(chunk))):
        assert [(item["ts"], float(item["value"]).hex(), item.get("labels")) for item in items] == wanted


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None), ("", None), ("text/csv", "text/csv"), ("*/*", "application/json"), ("text/*", "text/csv"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"), ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv"), ("text/csv;q=0", None), ("text/csv;q=x", None),
        ("application/json, text/csv", "application/json"), ("image/png", None), (",;,;q=", None),
    ],
)  # fmt: skip
def test_the_form_that_a_client_prefers(header: str | None, wanted: str | None) -> None:
    assert preferred(header, ("application/json", "text/csv")) == wanted


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None), ("gzip, deflate, br", "gzip"), ("gzip, zstd", "zstd"), ("zstd;q=0.1, gzip", "gzip"),
        ("identity", None), ("gzip;q=0", None), ("*", "zstd"), ("deflate", None),
    ],
)  # fmt: skip
def test_the_compression_that_a_client_takes(header: str | None, wanted: str | None) -> None:
    assert coding(header) == wanted


def test_moments_in_a_query_string() -> None:
    adapter = TypeAdapter(QueryMoment)
    moment = datetime(2026, 11, 20, 10, tzinfo=UTC)
    for text in ("2026-11-20T10:00:00Z", "2026-11-20T11:00:00+01:00", "1795168800000"):
        assert adapter.validate_python(text) == moment
    for text in ("", "x", "2026-11-20", "2026-11-20T10:00:00", "1", "-1", "9" * 30, "1e12", "١٧٩٥١٦٨٨٠٠٠٠٠"):
        with pytest.raises(ValidationError):
            adapter.validate_python(text)
    with pytest.raises(ValidationError, match="%2B"):
        adapter.validate_python("2026-11-20T11:00:00 01:00")
