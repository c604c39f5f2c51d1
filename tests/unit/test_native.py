"""The native decoder: both layouts, arrays of them; whatever is sent is what is read."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.native import decode
from schemas.columns import canonical_labels
from schemas.errors import Fault, Invalid, TooLarge
from tests.unit.native import BOUNDS, MS, read, rows, table


def test_rows() -> None:
    body = rows({"metric": "b"}, {"ts": "2026-11-23T10:00:00.5Z", "metric": "a", "value": True}, {"metric": "b"})
    columns = read(body | {"labels": {"site": "A", "line": "3"}})
    labels = '{"line":"3","site":"A"}'
    assert table(columns) == [
        ("d", "b", labels, MS * 1_000, 0.0),
        ("d", "a", labels, (MS + 500) * 1_000, 1.0),
        ("d", "b", labels, (MS + 2) * 1_000, 2.0),
    ]
    assert len(columns.series) == 2
    assert columns.rejected == []


def test_columns_with_holes() -> None:
    columns = read(
        {"device": "d", "ts": [MS, MS + 1], "values": {"x": [0.5, 1], "y": [None, False], "z": [None, None]}}
    )
    assert table(columns) == [
        ("d", "x", "{}", MS * 1_000, 0.5),
        ("d", "x", "{}", (MS + 1) * 1_000, 1.0),
        ("d", "y", "{}", (MS + 1) * 1_000, 0.0),
    ]
    assert [key.metric for key in columns.series] == ["x", "y"], "a column of nulls must not leave a series behind"


def test_an_array_of_both_layouts_shares_its_series() -> None:
    columns = read([rows({}), {"device": "d", "ts": [MS + 9], "values": {"m": [9]}}, rows({}, device="e")])
    assert table(columns) == [
        ("d", "m", "{}", MS * 1_000, 0.0),
        ("d", "m", "{}", (MS + 9) * 1_000, 9.0),
        ("e", "m", "{}", MS * 1_000, 0.0),
    ]
    assert len(columns.series) == 2


@pytest.mark.parametrize(
    "body",
    [
        rows(),
        [],
        [rows(), rows()],
        {"device": "d", "ts": [], "values": {"x": []}},
        {"device": "d", "ts": [MS], "values": {}},
    ],
)
def test_no_readings_are_no_fault(body: Any) -> None:
    assert len(read(body)) == 0


@pytest.mark.parametrize("value", [-0.0, 5e-324, 1.7976931348623157e308, 21.5, 2**53 + 1, 0, -(10**15)])
def test_numbers_come_through_bit_by_bit(value: float) -> None:
    for body in (rows({"value": value}), {"device": "d", "ts": [MS], "values": {"m": [value]}}):
        assert struct.pack("d", read(body).value[0]) == struct.pack("d", float(value))


def test_labels_in_any_order_are_one_series() -> None:
    columns = read([rows({}, labels={"a": "1", "b": "ü"}), rows({}, labels={"b": "ü", "a": "1"})])
    assert len(columns.series) == 1
    assert json.loads(columns.series[0].labels) == {"a": "1", "b": "ü"}


def test_of_double_keys_the_last_wins() -> None:
    body = b'{"device":"a","device":"b","readings":[{"ts":%d,"metric":"m","value":1,"value":2}]}' % MS
    assert table(decode(body, BOUNDS)) == [("b", "m", "{}", MS * 1_000, 2.0)]
    body = body.replace(b'"value":1', b'"value":null').replace(b'"device":"a"', b'"labels":{"k":5,"k":"v"}')
    assert table(decode(body, BOUNDS)) == [("b", "m", '{"k":"v"}', MS * 1_000, 2.0)]


names = st.text("abü日 -", min_size=1, max_size=8).filter(lambda name: name == name.strip())
numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.integers(-(2**60), 2**60))
times = st.integers(MS - 86_400_000, MS + 600_000)
labels = st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=3)
row_batches = st.fixed_dictionaries(
    {
        "device": names,
        "readings": st.lists(st.fixed_dictionaries({"ts": times, "metric": names, "value": numbers}), max_size=8),
    },
    optional={"labels": labels},
)
column_batches = st.integers(0, 4).flatmap(
    lambda count: st.fixed_dictionaries(
        {
            "device": names,
            "ts": st.lists(times, min_size=count, max_size=count),
            "values": st.dictionaries(
                names, st.lists(st.one_of(st.none(), numbers), min_size=count, max_size=count), max_size=3
            ),
        },
        optional={"labels": labels},
    )
)
one_batch = st.one_of(row_batches, column_batches)


def meant(batch: dict[str, Any]) -> list[tuple[str, str, str, int, float]]:
    """The readings of a document, in order, said without arrays."""
    text = canonical_labels(batch.get("labels", {}))
    points = (
        [(row["ts"], row["metric"], row["value"]) for row in batch["readings"]]
        if "readings" in batch
        else [
            (ts, metric, cell)
            for metric, column in batch["values"].items()
            for ts, cell in zip(batch["ts"], column, strict=True)
        ]
    )
    return [(batch["device"], metric, text, ts * 1_000, float(v)) for ts, metric, v in points if v is not None]


@given(st.one_of(one_batch, st.lists(one_batch, max_size=3)), st.booleans())
def test_whatever_is_sent_is_what_is_read(body: Any, partial: bool) -> None:
    columns = decode(json.dumps(body, ensure_ascii=False).encode(), BOUNDS, partial=partial)
    batches = body if isinstance(body, list) else [body]
    assert table(columns) == [reading for batch in batches for reading in meant(batch)]
    assert len(set(columns.series)) == len(columns.series)
    if len(columns):
        assert sorted(set(columns.codes.tolist())) == list(range(len(columns.series)))
    assert columns.rejected == []


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), times),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["device", "readings", "ts", "values", "labels", "metric", "value", "x"]), inner, max_size=5
        ),
    ),
    max_leaves=15,
)


@given(anything, st.booleans())
def test_any_json_is_read_or_refused_by_the_contract(body: Any, partial: bool) -> None:
    try:
        columns = read(body, partial=partial)
    except TooLarge:
        return
    except Invalid as error:
        named = error.faults
    else:
        named = columns.rejected or [Fault((), "none", "")]
        assert len(columns.codes) == len(columns.ts) == len(columns.value)
    assert named, "refused without a reason"
