"""OTLP: what each data point becomes, or why it is left out, and what the exporter is told."""

import json
import math
import struct
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from ingest.formats import otlp_kinds, otlp_points, wire
from schemas.errors import Malformed, TooLarge
from tests.unit.influx import MS, NOW_US, table
from tests.unit.otlp import NS, Request, gauge, histogram, read, request, scope_of


def kinds(columns: Any) -> list[tuple[str, str, float]]:
    """Metric, labels beside those of the resource, value."""
    return [
        (row[1], ",".join(f"{k}={v}" for k, v in json.loads(row[2]).items() if k != "service.name"), row[4])
        for row in table(columns)
    ]


def test_a_gauge_becomes_readings_of_the_device_that_the_resource_names() -> None:
    columns = read(request(21.5, -3, room="north"))
    assert table(columns) == [
        ("pump", "temperature", '{"room":"north","service.name":"plant"}', MS * 1_000, 21.5),
        ("pump", "temperature", '{"room":"north","service.name":"plant"}', (MS + 1) * 1_000, -3.0),
    ]
    assert (columns.skipped, columns.rejected, columns.notes) == (0, [], [])


def test_a_sum_is_stored_as_it_is_sent_whatever_it_is() -> None:
    made = Request()
    scope = scope_of(made)
    for monotonic in (True, False):
        for temporality in (
            AggregationTemporality.Value(f"AGGREGATION_TEMPORALITY_{kind}") for kind in ("DELTA", "CUMULATIVE")
        ):
            metric = scope.metrics.add(name=f"m{monotonic}{temporality}", unit="1", description="of a kind")
            metric.sum.is_monotonic, metric.sum.aggregation_temporality = monotonic, temporality
            metric.sum.data_points.add(time_unix_nano=NS, start_time_unix_nano=NS - 5, as_int=temporality)
    assert [row[4] for row in table(read(made))] == [1, 2, 1, 2]


def test_a_histogram_becomes_its_parts_and_cumulative_buckets() -> None:
    made, _ = histogram(min=0.25, max=11.0)
    assert kinds(read(made)) == [
        ("wait.count", "", 5), ("wait.sum", "", 9.5), ("wait.min", "", 0.25), ("wait.max", "", 11),
        ("wait.bucket", "le=0.5", 1), ("wait.bucket", "le=10", 4), ("wait.bucket", "le=+Inf", 5),
    ]  # fmt: skip
    made, point = histogram(bucket_counts=[5], explicit_bounds=[])
    point.ClearField("sum")
    assert kinds(read(made)) == [("wait.count", "", 5)]


@pytest.mark.parametrize(
    "more",
    [
        {"bucket_counts": [1, 2]}, {"explicit_bounds": [2.0, 1.0]}, {"explicit_bounds": [1.0, 1.0]},
        {"explicit_bounds": [1.0, math.nan]}, {"explicit_bounds": [1.0, math.inf]},
    ],
)  # fmt: skip
def test_a_histogram_whose_buckets_say_nothing_is_left_out_whole(more: Any) -> None:
    columns = read(histogram(**more)[0])
    assert (len(columns), [fault.code for fault in columns.rejected]) == (0, ["histogram_invalid"])


def test_bounds_are_remembered_only_where_they_are_few_and_fit_their_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def count(bounds: bytes) -> list[str] | None:
        asked.append(len(bounds))
        return []

    monkeypatch.setattr(otlp_kinds, "bound_texts", count)
    read(histogram(bucket_counts=[1], explicit_bounds=[float(n) for n in range(5_000)])[0])
    assert not asked, "bounds that do not fit their buckets are not even looked at"
    short, long = struct.pack("<2d", 0.125, 77), struct.pack("<257d", *range(257))
    assert otlp_points.bound_texts(short) == ["0.125", "77", "+Inf"]
    assert otlp_points.bound_texts(short) is otlp_points.bound_texts(short)
    assert len(otlp_points.bound_texts(long) or ()) == 258
    assert otlp_points.bound_texts(long) is not otlp_points.bound_texts(long), "it would hold much of the memory"


def test_of_an_exponential_histogram_the_buckets_are_not_kept_and_that_is_said() -> None:
    made = Request()
    metric = scope_of(made).metrics.add(name="wait")
    for number in range(3):
        point = metric.exponential_histogram.data_points.add(
            count=5, sum=9.5, min=1, max=3, time_unix_nano=NS + number * 1_000
        )
        point.positive.offset = 3
        if number:
            point.negative.bucket_counts.extend([0, 5])
    columns = read(made)
    assert kinds(columns)[:4] == [
        ("wait.count", "", 5),
        ("wait.sum", "", 9.5),
        ("wait.min", "", 1),
        ("wait.max", "", 3),
    ]
    assert (len(columns), columns.skipped, columns.rejected) == (12, 2, [])
    assert columns.notes == ["2 × the buckets of exponential histograms (their count, sum, min and max are stored)"]


def test_a_summary_becomes_count_sum_and_quantiles_of_which_those_of_nothing_are_skipped() -> None:
    made = Request()
    point = scope_of(made).metrics.add(name="wait").summary.data_points.add(count=5, sum=9.5, time_unix_nano=NS)
    for quantile, value in ((0.5, 2.0), (0.99, math.nan), (1.0, 7.0), (0.0, 0.0)):
        point.quantile_values.add(quantile=quantile, value=value)
    columns = read(made)
    assert kinds(columns) == [
        ("wait.count", "", 5), ("wait.sum", "", 9.5),
        ("wait", "quantile=0.5", 2), ("wait", "quantile=1", 7), ("wait", "quantile=0", 0),
    ]  # fmt: skip
    assert (columns.skipped, columns.rejected, len(columns.notes)) == (1, [], 1)


def test_what_has_no_value_at_its_time_is_skipped_and_exemplars_are() -> None:
    made = request(1.0, 2.0, 3.0)
    points = made.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    points[1].flags = 1
    points[2].exemplars.add(as_double=5.0, trace_id=b"\1" * 16)
    other, _ = histogram(flags=1)
    made.resource_metrics.extend(other.resource_metrics)
    columns = read(made)
    assert [row[4] for row in table(columns)] == [1.0, 3.0]
    assert (columns.skipped, columns.rejected, columns.notes) == (3, [], []), "nothing that its sender has to hear of"


def test_numbers_that_are_none_are_rejected_one_by_one() -> None:
    columns = read(request(1.0, math.nan, math.inf, -math.inf, None, 2.0))
    assert [(fault.loc, fault.code) for fault in columns.rejected] == [
        (("metric", "temperature", "data_point", place), code)
        for place, code in enumerate(["not_finite"] * 3 + ["value_missing"], 1)
    ]
    assert [row[4] for row in table(columns)] == [1.0, 2.0]


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1.7976931348623157e308, 0, 2**53 + 1, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("more", [{}, {"flags": 2}])  # with flags, the point is read field by field
def test_numbers_are_kept_as_the_nearest_double(value: float, more: Any) -> None:
    made = request(value)
    point = made.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0]
    for name, given in more.items():
        setattr(point, name, given)
    (row,) = table(read(made))
    assert (row[4], math.copysign(1, row[4])) == (float(value), math.copysign(1, value))


@pytest.mark.parametrize("flags", [0, 2])
def test_a_point_without_a_time_came_now_and_one_out_of_bounds_is_left_out(flags: int) -> None:
    late, early = "ts_in_future", "ts_too_old"
    times = {0: None, NS + 999: None, NS + 700 * 10**9: late, 2**64 - 1: late, 2**63: late}
    times |= {NS - 90_000 * 10**9: early, 1: early, MS: early}
    for time, code in times.items():
        made = request(1.0, time=time)
        made.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].flags = flags
        columns = read(made)
        assert [fault.code for fault in columns.rejected] == ([code] if code else [])
        assert columns.ts.tolist() == ([] if code else [MS * 1_000])
    assert NOW_US == MS * 1_000


def test_resources_and_scopes_keep_their_points_apart() -> None:
    made = Request()
    for device in ("a", "b"):
        for _ in range(2):
            gauge(scope_of(made, {"device": device}), "m", 1.0)
    columns = read(made)
    assert [row[0] for row in table(columns)] == ["a", "a", "b", "b"]
    assert len(columns.series) == 2


def test_too_much_is_413_and_what_is_no_request_400() -> None:
    assert len(read(request(*[1.0] * 50))) == 50
    many, _ = histogram(bucket_counts=[1] * 60, explicit_bounds=[float(n) for n in range(59)])
    for raw in (request(*[1.0] * 51), request(*[None] * 51), many, b"\x0a\0" * 2_001, b"\x0a\x04\x12\2\x12\0" * 1_001):
        with pytest.raises(TooLarge):
            read(raw)
    good = request(1.0, room="x").SerializeToString()
    for raw in (
        good[:-1],
        good + b"\x0a",
        good + b"\x08",
        b"\x08\x01",
        b"\x0b",
        b"{}",
        b"\x0a\xff\xff\xff\xff\xff\xff",
    ):
        with pytest.raises(Malformed):
            read(b"\x0a\x02\x08\x01" + raw if raw == b"\x08\x01" else raw)


def test_of_two_values_of_a_point_the_last_counts() -> None:
    raw = request(1.5, time=NS).SerializeToString()
    assert raw.count(b"\x21") == 1
    for more, value in ((b"\x31" + struct.pack("<q", 7), 7.0), (b"\x21" + struct.pack("<d", 7.5), 7.5)):
        assert [row[4] for row in table(read(longer(raw, more)))] == [value]


def longer(raw: bytes, more: bytes) -> bytes:
    """The bytes of `request(1.5)` with more at the end of its only point, which is at the end of everything."""
    made = Request.FromString(raw)
    metric = made.resource_metrics[0].scope_metrics[0].metrics[0]
    point = metric.gauge.data_points[0].SerializeToString() + more
    gauge_of = wire.field(5, wire.field(1, point))
    scope = wire.field(2, wire.field(2, wire.field(1, b"temperature") + gauge_of))
    return wire.field(1, wire.field(1, made.resource_metrics[0].resource.SerializeToString()) + scope)


def test_buckets_that_are_half_a_number_are_no_message() -> None:
    raw = request().SerializeToString()
    point = wire.fixed(3, struct.pack("<Q", NS)) + wire.field(6, b"\1" * 12)
    metric = wire.field(1, b"h") + wire.field(9, wire.field(1, point))
    body = wire.field(
        1, Request.FromString(raw).resource_metrics[0].SerializeToString() + wire.field(2, wire.field(2, metric))
    )
    with pytest.raises(Malformed):
        read(body)


def test_an_empty_request_is_one_without_readings() -> None:
    for raw in (b"", b"\x0a\0", Request().SerializeToString()):
        assert len(read(raw)) == 0


def test_of_two_kinds_of_one_metric_the_last_counts_as_the_schema_says() -> None:
    made = request(1.0)
    metric = made.resource_metrics[0].scope_metrics[0].metrics[0]
    other = Metric()
    other.sum.data_points.add(as_double=2.0, time_unix_nano=NS)
    raw = metric.SerializeToString() + other.SerializeToString()
    metric.CopyFrom(Metric.FromString(raw))
    merged = Request()
    scope_of(merged).metrics.add()
    body = merged.SerializeToString()
    assert body.endswith(b"\x12\0")
    size = len(raw)
    scope = b"\x12" + bytes([size + 2]) + b"\x12" + bytes([size]) + raw
    resource = merged.resource_metrics[0].resource.SerializeToString()
    whole = b"\x0a" + bytes([len(resource)]) + resource + scope
    assert len(whole) < 128 > size
    assert table(read(b"\x0a" + bytes([len(whole)]) + whole)) == table(read(made))
    assert [row[4] for row in table(read(made))] == [2.0]
