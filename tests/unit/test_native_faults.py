"""The native decoder is strict: each fault has its place and its code, and `partial` leaves out no more."""

import json
from typing import Any

import pytest

from ingest.formats.native import decode
from schemas.errors import Invalid, Malformed
from tests.unit.native import BOUNDS, MS, faults, read, rows, table

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
