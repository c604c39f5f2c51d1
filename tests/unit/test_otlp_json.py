"""OTLP in JSON: the same as in Protocol Buffers, in every spelling that the mapping of proto3 allows."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Malformed, TooLarge
from tests.unit.influx import MS, table
from tests.unit.otlp import NS, Request, as_json, describe, gauge, read, read_json, request, scope_of

EVERY = {"s": "ü", "b": True, "i": -(2**60), "d": 0.5, "y": b"\0\xfb\xff", "l": ["x", 2], "m": {"k": False}}


def everything() -> Request:
    """A request with every kind of metric, and every kind of attribute."""
    made = Request()
    scope = scope_of(made, {"device": "x", **EVERY})
    describe(scope.scope, {"lib": "l"})
    gauge(scope, "double", 1.5, -0.0, float("nan"), float("inf"), float("-inf"), room="north")
    gauge(scope, "integer", 2**53 + 1, -1, None)
    point = scope.metrics.add(name="sum", unit="1").sum.data_points.add(as_int=5, time_unix_nano=NS, flags=2)
    point.exemplars.add(as_double=1.0)
    scope.metrics[-1].sum.aggregation_temporality, scope.metrics[-1].sum.is_monotonic = 2, True
    scope.metrics.add(name="h").histogram.data_points.add(
        time_unix_nano=NS, count=5, sum=9.5, min=1, max=7, bucket_counts=[2, 3], explicit_bounds=[2.5]
    )
    each = scope.metrics.add(name="e").exponential_histogram.data_points.add(time_unix_nano=NS, count=5, scale=-1)
    each.positive.bucket_counts.append(5)
    summary = scope.metrics.add(name="q").summary.data_points.add(time_unix_nano=NS, count=2, sum=3)
    summary.quantile_values.add(quantile=0.5, value=1.5)
    gauge(scope, "flagged", 1.0).gauge.data_points[0].flags = 1
    return made


@pytest.mark.parametrize("proto_names", [False, True])
def test_both_encodings_mean_the_same(proto_names: bool) -> None:
    made = everything()
    binary, written = read(made), read_json(as_json(made, proto_names=proto_names))
    assert table(written) == table(binary)
    assert (written.skipped, written.notes) == (binary.skipped, binary.notes) == (3, binary.notes)
    assert [fault.as_json() for fault in written.rejected] == [fault.as_json() for fault in binary.rejected]
    assert len(binary.rejected) == 4
    assert len(table(binary)) == 15


NAMES = st.text(max_size=12)
VALUES = st.floats() | st.integers(-(2**63), 2**63 - 1)
ATTRIBUTES = st.dictionaries(NAMES, NAMES | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(), max_size=3)


@given(NAMES, st.lists(VALUES, max_size=4), ATTRIBUTES, st.booleans())
def test_whatever_is_written_is_read_alike(name: str, values: list[Any], attributes: Any, proto_names: bool) -> None:
    made = Request()
    describe(gauge(scope_of(made), name, *values).gauge.data_points.add(time_unix_nano=NS, as_double=1), attributes)
    binary, written = read(made), read_json(as_json(made, proto_names=proto_names))
    assert repr(table(written)) == repr(table(binary))
    assert written.rejected == binary.rejected


def with_point(**point: Any) -> dict[str, Any]:
    """JSON with one data point of a gauge."""
    metrics = [{"name": "m", "gauge": {"dataPoints": [{"timeUnixNano": str(NS)} | point]}}]
    device = {"attributes": [{"key": "device", "value": {"stringValue": "x"}}]}
    return {"resourceMetrics": [{"resource": device, "scopeMetrics": [{"metrics": metrics}]}]}


@pytest.mark.parametrize(
    ("point", "value"),
    [
        ({"asDouble": 1}, 1), ({"asDouble": "1.5"}, 1.5), ({"asDouble": 1e3}, 1000), ({"as_double": -0.5}, -0.5),
        ({"asInt": "5"}, 5), ({"asInt": 5}, 5), ({"asInt": 5.0}, 5), ({"asInt": "-7"}, -7), ({"as_int": "1e2"}, 100),
        ({"asInt": "5", "timeUnixNano": NS}, 5), ({"asInt": 5, "time_unix_nano": str(NS)}, 5),
        ({"asDouble": 1, "unknown": {"a": [1]}, "flags": None, "attributes": None, "exemplars": None}, 1),
        ({"asDouble": 1, "exemplars": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "5"}]}, 1),
    ],
)  # fmt: skip
def test_spellings_of_one_number(point: Any, value: float) -> None:
    assert [row[3:] for row in table(read_json(with_point(**point)))] == [(MS * 1_000, value)]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", 1e999])
def test_numbers_that_are_none_are_texts_and_rejected(text: Any) -> None:
    raw = json.dumps(with_point(asDouble=text)).replace("Infinity", "1e999" if text == 1e999 else "Infinity").encode()
    assert [fault.code for fault in read_json(raw).rejected] == ["not_finite"]


@pytest.mark.parametrize(
    "point",
    [
        {"asDouble": "x"}, {"asDouble": True}, {"asDouble": []}, {"asDouble": " 1"}, {"asInt": "1.5"}, {"asInt": True},
        {"asInt": str(2**63)}, {"asInt": {}}, {"asInt": "1_0"}, {"asInt": ""}, {"asInt": "٣"}, {"asInt": "1e400"},
        {"asDouble": 10**400}, {"timeUnixNano": -1}, {"timeUnixNano": str(2**64)}, {"flags": -1}, {"flags": 2**32},
        {"attributes": {}}, {"attributes": [1]}, {"attributes": [{"key": 1}]},
        {"attributes": [{"key": "a", "value": {"boolValue": 1}}]}, {"attributes": [{"key": "a", "value": "b"}]},
        {"attributes": [{"key": "a", "value": {"bytesValue": "!"}}]},
        {"attributes": [{"key": "a", "value": {"intValue": str(2**63)}}]},
        {"attributes": [{"key": "a", "value": {"arrayValue": [1]}}]},
    ],
)  # fmt: skip
def test_what_is_no_value_of_its_field_is_400_and_not_repeated(point: Any) -> None:
    with pytest.raises(Malformed, match="not an ExportMetricsServiceRequest") as caught:
        read_json(with_point(**({"asDouble": 1} | point)))
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"1", b"{} {}", b"\xef\xbb\xbf{}", b'{"a":"\xff"}',
        b'{"resourceMetrics":{}}',
        b'{"a":"\\ud800"}', b"[" * 100_000, b'{"a":' * 300, b'{"a":NaN}', b'{"a":1,}', b'{"a":' + b"1" * 5_000 + b"}",
        b'{"resourceMetrics":[[]]}', b'{"resourceMetrics":["x"]}', b'{"resourceMetrics":"x"}',
    ],
)  # fmt: skip
def test_what_is_no_json_of_this_kind_is_400(raw: bytes) -> None:
    with pytest.raises((Malformed, TooLarge)):
        read_json(raw)


def test_far_more_objects_or_texts_than_readings_are_refused_before_they_are_parsed() -> None:
    for raw in (b'{"a":[' + b"{}," * 2_000 + b"{}]}", b'{"a":[' + b'"bc",' * 3_000 + b'""]}'):
        with pytest.raises(TooLarge):
            read_json(raw)
    assert len(read_json(as_json(request(*[1.0] * 50, a="1", b="2")))) == 50
    assert len(read_json({})) == len(read_json({"resourceMetrics": []})) == 0
