"""The native decoder: both layouts, arrays of them, strict; each fault with its place and its code."""

import json
import struct
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.native import decode
from ingest.formats.times import Bounds
from schemas.columns import Columns, canonical_labels
from schemas.errors import Fault, Invalid, Malformed, TooLarge

MS = 1_795_428_000_000
BOUNDS = Bounds(oldest_us=(MS - 86_400_000) * 1_000, newest_us=(MS + 600_000) * 1_000, max_readings=50)


def rows(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A batch in rows; each reading is complete but for what an item says otherwise."""
    full = [{"ts": MS + place, "metric": "m", "value": float(place)} | item for place, item in enumerate(items)]
    return {"device": "d", "readings": full} | more


def read(body: Any, *, partial: bool = False) -> Columns:
    """Decode a document."""
    return decode(json.dumps(body).encode(), BOUNDS, partial=partial)


def table(columns: Columns) -> list[tuple[str, str, str, int, float]]:
    """The readings with their names, as they stand."""
    keys = [columns.series[code] for code in columns.codes.tolist()]
    return [(*key, ts, value) for key, ts, value in zip(keys, columns.ts.tolist(), columns.value.tolist(), strict=True)]


def faults(body: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """Places and codes of what a body is refused for; with `partial` it must not be refused for less than that."""
    with pytest.raises(Invalid) as refused:
        read(body) if not isinstance(body, bytes) else decode(body, BOUNDS)
    assert refused.value.count >= len(refused.value.faults)
    return [(fault.loc, fault.code) for fault in refused.value.faults]


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


ROW_FAULTS: list[tuple[dict[str, Any], tuple[str | int, ...], str]] = [
    ({"value": "21.5"}, ("value",), "value_type"),
    ({"value": None}, ("value",), "value_type"),
    ({"value": [1]}, ("value",), "value_type"),
    ({"value": {}}, ("value",), "value_type"),
    ({"value": float("nan")}, ("value",), "not_finite"),
    ({"value": float("inf")}, ("value",), "not_finite"),
    ({"value": float("-inf")}, ("value",), "not_finite"),
    ({"extra": 1}, ("extra",), "unknown_field"),
    ({"ts": 1.5}, ("ts",), "ts_type"),
    ({"ts": True}, ("ts",), "ts_type"),
    ({"ts": None}, ("ts",), "ts_type"),
    ({"ts": "yesterday"}, ("ts",), "ts_invalid"),
    ({"ts": "2026-11-23T10:00:00"}, ("ts",), "ts_invalid"),
    ({"ts": str(MS)}, ("ts",), "ts_invalid"),
    ({"ts": MS // 1_000}, ("ts",), "ts_unit"),
    ({"ts": 10**40}, ("ts",), "ts_unit"),
    ({"ts": MS + 600_001}, ("ts",), "ts_in_future"),
    ({"ts": MS - 86_400_001}, ("ts",), "ts_too_old"),
    ({"metric": 5}, ("metric",), "string_type"),
    ({"metric": ""}, ("metric",), "name_invalid"),
    ({"metric": "a\u0000"}, ("metric",), "name_invalid"),
    ({"metric": "x" * 129}, ("metric",), "name_invalid"),
]


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(("item", "loc", "code"), ROW_FAULTS)
def test_a_bad_reading_refuses_the_batch_or_is_left_out(
    item: dict[str, Any], loc: tuple[str | int, ...], code: str, *, many: bool
) -> None:
    body: Any = rows({}, item, {"metric": "last"})
    prefix: tuple[str | int, ...] = (1, "readings", 1) if many else ("readings", 1)
    body = [rows({}, device="first"), body] if many else body
    assert faults(body) == [((*prefix, *loc), code)]
    columns = read(body, partial=True)
    assert [(fault.loc, fault.code) for fault in columns.rejected] == [((*prefix, *loc), code)]
    kept = [("d", "m", "{}", MS * 1_000, 0.0), ("d", "last", "{}", (MS + 2) * 1_000, 2.0)]
    assert table(columns) == [("first", "m", "{}", MS * 1_000, 0.0), *kept][not many :]


@pytest.mark.parametrize("field", ["ts", "metric", "value"])
def test_a_missing_field(field: str) -> None:
    body = rows({}, {})
    del body["readings"][1][field]
    assert faults(body) == [(("readings", 1, field), "missing")]
    assert len(read(body, partial=True)) == 1


@pytest.mark.parametrize("item", [None, 5, "x", []])
def test_a_reading_that_is_no_object(item: Any) -> None:
    body = rows({}, {})
    body["readings"][1] = item
    assert [loc for loc, _ in faults(body)] == [("readings", 1)]
    assert len(read(body, partial=True)) == 1


COLUMN_FAULTS: list[tuple[dict[str, Any], tuple[str | int, ...], str, int]] = [
    ({"values": {"x": [0, "1"], "y": [0, 1]}}, ("values", "x", 1), "value_type", 3),
    ({"values": {"x": [0, []], "y": [0, 1]}}, ("values", "x", 1), "value_type", 3),
    ({"values": {"x": [0, float("nan")], "y": [0, 1]}}, ("values", "x", 1), "not_finite", 3),
    ({"ts": [MS, None]}, ("ts", 1), "ts_type", 2),
    ({"ts": [MS, 1.5]}, ("ts", 1), "ts_type", 2),
    ({"ts": [MS, "never"]}, ("ts", 1), "ts_invalid", 2),
    ({"ts": [MS, 7]}, ("ts", 1), "ts_unit", 2),
    ({"ts": [MS, MS + 600_001]}, ("ts", 1), "ts_in_future", 2),
]


@pytest.mark.parametrize(("change", "loc", "code", "kept"), COLUMN_FAULTS)
def test_a_bad_cell_or_time_of_columns(
    change: dict[str, Any], loc: tuple[str | int, ...], code: str, kept: int
) -> None:
    body = {"device": "d", "ts": [MS, MS + 1], "values": {"x": [0, 1], "y": [0, 1]}} | change
    assert faults(body) == [(loc, code)]
    columns = read(body, partial=True)
    assert [(fault.loc, fault.code) for fault in columns.rejected] == [(loc, code)]
    assert len(columns) == kept


FATAL: list[tuple[Any, tuple[str | int, ...], str]] = [
    ({"readings": []}, ("device",), "missing"),
    (rows(device=5), ("device",), "string_type"),
    (rows(device=""), ("device",), "name_invalid"),
    (rows(device=" d"), ("device",), "name_invalid"),
    (rows(device="pump*"), ("device",), "name_invalid"),
    (rows(device="x" * 129), ("device",), "name_invalid"),
    (rows(device="a\u202eb"), ("device",), "name_invalid"),
    ({"device": "d"}, (), "layout"),
    ({"device": "d", "ts": [MS]}, (), "layout"),
    (rows({}, ts=[MS]), (), "layout"),
    (rows({}, ts=[MS], values={"x": [1]}), (), "layout"),
    (rows({}, unit="C"), ("unit",), "unknown_field"),
    (rows({}, labels={"a": 5}), ("labels", "a"), "string_type"),
    (rows({}, labels=[]), ("labels",), "dict_type"),
    (rows({}, labels={"": "x"}), ("labels", ""), "name_invalid"),
    (rows({}, labels={"a": "\u0000"}), ("labels", "a"), "label_invalid"),
    (rows({}, labels={"a": "x" * 257}), ("labels", "a"), "label_invalid"),
    (rows({}, labels={str(n): "x" for n in range(33)}), ("labels",), "too_many_labels"),
    (rows({}, labels={str(n): 5 for n in range(33)}), ("labels",), "too_many_labels"),
    ({"device": "d", "readings": {}}, ("readings",), "list_type"),
    ({"device": "d", "ts": MS, "values": {"x": [1]}}, ("ts",), "list_type"),
    ({"device": "d", "ts": [MS], "values": {"x": 1}}, ("values", "x"), "list_type"),
    ({"device": "d", "ts": [MS], "values": {"x": [1, 2]}}, ("values", "x"), "length_mismatch"),
    ({"device": "d", "ts": [MS], "values": {"": [1]}}, ("values", ""), "name_invalid"),
    ({"device": "d", "ts": [MS], "values": {"x?": [1]}}, ("values", "x?"), "name_invalid"),
]


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(("body", "loc", "code"), FATAL)
def test_a_fault_outside_readings_refuses_all_also_with_partial(
    body: Any, loc: tuple[str | int, ...], code: str, *, many: bool
) -> None:
    whole = [rows({}), body] if many else body
    wanted = ((1, *loc) if many else loc, code)
    assert faults(whole) == [wanted]
    with pytest.raises(Invalid) as refused:
        read(whole, partial=True)
    assert [(fault.loc, fault.code) for fault in refused.value.faults] == [wanted]


@pytest.mark.parametrize("body", [None, 5, "text", True, [None], [[rows({})]], [5]])
def test_what_is_no_batch_at_all(body: Any) -> None:
    for partial in (False, True):
        with pytest.raises(Invalid) as refused:
            read(body, partial=partial)
        assert refused.value.count == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[1",
        b"[]x",
        b"{'device': 1}",
        b'{"device":"d","readings":[],}',
        b"// comment\n{}",
        b"\xef\xbb\xbf[]",
        b'{"device":"\xff","readings":[]}',
        b'{"device":"\\ud800","readings":[]}',
        b'{"\\udc00":1}',
        b"[" * 100_000,
        b'{"x":' + b"[" * 201 + b"]" * 201 + b"}",
        b'{"device":"d","readings":[{"ts":' + b"1" * 5_000 + b',"metric":"m","value":1}]}',
        b'{"device":"d","readings":[{"ts":1,"metric":"m","value":' + b"1" * 5_000 + b"}]}",
    ],
)
def test_what_is_not_json(body: bytes) -> None:
    for partial in (False, True):
        with pytest.raises(Malformed):
            decode(body, BOUNDS, partial=partial)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1" * 400, b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_beyond_a_double_are_a_fault_of_their_reading(number: bytes) -> None:
    body = b'{"device":"d","readings":[{"ts":%d,"metric":"m","value":%b},{"ts":%d,"metric":"m","value":1}]}'
    body %= (MS, number, MS)
    assert [loc for loc, _ in faults(body)] == [("readings", 0, "value")]
    assert len(decode(body, BOUNDS, partial=True)) == 1


@pytest.mark.parametrize(
    "body",
    [
        rows(*[{}] * 51),
        [rows(*[{}] * 26), rows(*[{}] * 26)],
        {"device": "d", "ts": [MS] * 26, "values": {"x": [1] * 26, "y": [1] * 26}},
        {"device": "d", "ts": [MS] * 51, "values": {}},
        {"device": "d", "ts": [], "values": {str(n): [] for n in range(51)}},
        {"device": "d", "ts": [], "values": {str(n): 5 for n in range(51)}},
        {"device": "d", "ts": [MS] * 100_001, "values": {}},
        {"device": "d", "ts": [MS] * 100_001, "values": {"x": [1] * 100_001}},
        [rows()] * 52,
        [rows()] * 100_001,
        rows(*[{"value": None}] * 51),
        rows(*[{"value": None}] * 20_000),
    ],
    ids=lambda body: f"{type(body).__name__}-{len(json.dumps(body))}",
)
def test_more_than_the_limit_is_too_large_whatever_else_is_wrong_with_it(body: Any) -> None:
    for partial in (False, True):
        with pytest.raises(TooLarge) as refused:
            read(body, partial=partial)
        assert (refused.value.limit, refused.value.value) == ("readings", 50)


def test_the_limit_itself_is_taken() -> None:
    assert len(read(rows(*[{}] * 50))) == 50
    assert len(read({"device": "d", "ts": [MS] * 25, "values": {"x": [1] * 25, "y": [1] * 25}})) == 50
    assert len(read({"device": "d", "ts": [MS], "values": {str(n): [1] for n in range(50)}})) == 50
    assert len(read({"device": "d", "ts": [], "values": {str(n): [] for n in range(50)}})) == 0


def test_every_fault_is_counted_and_twenty_are_named() -> None:
    body = rows(*[{"value": None, "ts": None}] * 15)
    with pytest.raises(Invalid) as refused:
        read(body)
    assert (refused.value.count, len(refused.value.faults)) == (30, 20)
    columns = read(body, partial=True)
    assert len(columns) == 0
    assert columns.series == []
    assert len(columns.rejected) == 30


def test_faults_of_shape_and_of_sense_are_left_out_together() -> None:
    body = [
        rows({}, {"value": None}, {"ts": 5}, {"metric": ""}, {"metric": "", "value": None}, {"metric": "kept"}),
        {"device": "e", "ts": [MS, "x", None, MS + 3], "values": {"a": [1, 2, 3, "4"], "b": [None, 2, 3, 4]}},
    ]
    columns = read(body, partial=True)
    assert table(columns) == [
        ("d", "m", "{}", MS * 1_000, 0.0),
        ("d", "kept", "{}", (MS + 5) * 1_000, 5.0),
        ("e", "a", "{}", MS * 1_000, 1.0),
        ("e", "b", "{}", (MS + 3) * 1_000, 4.0),
    ]
    assert {(fault.loc, fault.code) for fault in columns.rejected} == {
        ((0, "readings", 1, "value"), "value_type"),
        ((0, "readings", 2, "ts"), "ts_unit"),
        ((0, "readings", 3, "metric"), "name_invalid"),
        ((0, "readings", 4, "value"), "value_type"),
        ((1, "ts", 1), "ts_invalid"),
        ((1, "ts", 2), "ts_type"),
        ((1, "values", "a", 3), "value_type"),
    }


def test_a_bad_reading_leaves_no_series_behind() -> None:
    columns = read(
        rows({"metric": "junk", "value": None}, {"metric": "old", "ts": 5}, {"metric": "good"}), partial=True
    )
    assert [key.metric for key in columns.series] == ["good"]
    assert columns.codes.tolist() == [0]


def test_nothing_of_the_input_is_repeated() -> None:
    secret = "s3cret"
    for body in (rows({"value": secret}), rows({"ts": secret}), rows({"metric": secret + "\0"}), rows(labels={"a": 1})):
        with pytest.raises(Invalid) as refused:
            read(body)
        assert secret not in json.dumps(refused.value.problem())


def test_of_many_unknown_fields_the_first_are_named_and_what_else_is_wrong() -> None:
    junk = {f"x{n}": 1 for n in range(40)}
    body = rows({}, junk | {"ts": None}, {})
    unknown = [(("readings", 1, f"x{n}"), "unknown_field") for n in range(3)]
    wanted = [(("readings", 1, "ts"), "ts_type"), *unknown]
    assert faults(body) == wanted
    columns = read(body, partial=True)
    assert [(fault.loc, fault.code) for fault in columns.rejected] == wanted
    assert columns.value.tolist() == [0.0, 2.0]
    assert faults([rows({}), rows({}, **junk)]) == [((1, f"x{n}"), "unknown_field") for n in range(3)]
    assert faults(rows(labels={f"x{n}": n for n in range(32)})) == [
        (("labels", f"x{n}"), "string_type") for n in range(3)
    ]


@pytest.mark.parametrize("many", [False, True])
def test_a_large_body_with_many_colons_is_read_as_any_other(*, many: bool) -> None:
    batch = rows({}, {"metric": ":" * 99}, {"metric": "m:" * 60}) | {"labels": {str(n): ":" * 200 for n in range(9)}}
    body = json.dumps([batch, batch] if many else batch).encode()
    padded = body + b" " * (1 << 20)
    assert padded.count(b":") > 10 * BOUNDS.max_readings, "or it does not take the way that is meant here"
    assert table(decode(padded, BOUNDS)) == table(decode(body, BOUNDS))


def keys(count: int, value: str = "1") -> bytes:
    """Members of an object, no two alike."""
    return ",".join(f'"{number}":{value}' for number in range(count)).encode()


CROWDED = {
    "fields of a reading": b'{"device":"d","readings":[{%b}]}' % keys(300_000),
    "one field of a reading, again and again": b'{"device":"d","readings":[{%b}]}' % b",".join([b'"x":1'] * 300_000),
    "fields of a batch": b'{"device":"d","readings":[],%b}' % keys(300_000),
    "labels": b'{"device":"d","readings":[],"labels":{%b}}' % keys(300_000),
    "one label, again and again": b'{"device":"d","readings":[],"labels":{%b}}' % b",".join([b'"x":1'] * 300_000),
    "columns that are no lists": b'{"device":"d","ts":[],"values":{%b}}' % keys(300_000),
    "columns without cells": b'{"device":"d","ts":[],"values":{%b}}' % keys(300_000, "[]"),
    "fields of all readings": b'{"device":"d","readings":[%b]}' % b",".join([b"{%b}" % keys(40)] * 9_000),
    "fields of all batches": b"[%b]" % b",".join([b"{%b}" % keys(40)] * 5_000),
    "labels of all batches": b"[%b]" % b",".join([b'{"device":"d","labels":{%b}}' % keys(32)] * 9_000),
}


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("kind", CROWDED)
def test_wrong_keys_cost_no_more_than_the_bytes_they_are(kind: str, *, partial: bool) -> None:
    body, bounds = CROWDED[kind], Bounds(BOUNDS.oldest_us, BOUNDS.newest_us)

    def refused() -> bool:
        try:
            return bool(decode(body, bounds, partial=partial).rejected)
        except (Invalid, TooLarge):
            return True

    started = time.process_time()
    assert refused()
    spent = time.process_time() - started
    tracemalloc.start()
    try:
        refused()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # An error for every key took two seconds, and 70 bytes for each of the body.
    assert spent < 1.0
    assert peak < 20 * len(body)


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
