"""Remote write: what each sample becomes, or why it is left out, and what becomes of the others."""

import json
import struct
from typing import Any

import pytest
from cramjam import snappy

from ingest.foreign import prometheus as door
from ingest.foreign.door import Head
from ingest.formats import prometheus
from ingest.formats.mapping import Mapping
from ingest.formats.prometheus_quick import read_quick
from ingest.inflate import unsnappy
from schemas.columns import PartReceipt, Receipt
from schemas.errors import (
    BodyTooSlow,
    Defect,
    Fault,
    Invalid,
    Malformed,
    Overloaded,
    QuotaExceeded,
    SluiceError,
    TooLarge,
    UnsupportedMediaType,
)
from tests.unit.influx import MS, table
from tests.unit.prometheus import STALE, body, read, request

UP = [("__name__", "up"), ("instance", "a:9100"), ("job", "node")]


def test_a_sample_becomes_a_reading_under_the_contracts_names() -> None:
    columns = read(body((UP, [(1.5, MS)]), ([*UP[:2], ("device", "pump"), ("empty", "")], [(0, MS + 1)])))
    assert table(columns) == [
        ("a:9100", "up", '{"job":"node"}', MS * 1_000, 1.5),
        ("pump", "up", '{"instance":"a:9100"}', (MS + 1) * 1_000, 0.0),
    ]


@pytest.mark.parametrize("value", [0.0, 5e-324, -1.5, 1.7976931348623157e308, 2.0**63, 0.1])
def test_values_are_kept_to_the_bit_by_both_readers(value: float) -> None:
    one, both = body((UP, [(value, MS)])), body((UP, [(value, MS), (value, MS + 1)]))
    assert read_quick(one, ()) is not None
    assert read_quick(both, ()) is None
    for raw, count in ((one, 1), (both, 2)):
        assert [struct.pack("d", row[4]) for row in table(read(raw))] == [struct.pack("d", value)] * count


@pytest.mark.parametrize("more", [[], [(1.0, MS + 9)]])  # with two samples, the strict reader reads it
def test_stale_markers_and_what_is_not_finite_are_skipped_and_counted(more: list[tuple[float, int]]) -> None:
    stale = struct.unpack("<d", STALE)[0]
    raw = body((UP, [(7.25, MS), *more]), *(([*UP, ("n", str(n))], [(v, MS)]) for n, v in enumerate(
        [stale, float("nan"), float("inf"), -float("inf")])))  # fmt: skip
    assert STALE in raw
    columns = read(raw)
    assert (len(columns), len(columns.series), columns.skipped, columns.rejected) == (1 + len(more), 1, 4, [])


def test_histograms_and_exemplars_are_counted_and_metadata_is_not() -> None:
    message = request((UP, [(1.0, MS)]), (UP, []))
    message.timeseries[1].histograms.add(value=1)
    message.timeseries[1].exemplars.add(value=1)
    message.metadata.add(value=1)
    columns = read(message.SerializeToString())
    assert (len(columns), columns.skipped, columns.rejected) == (1, 2, [])
    del message.timeseries[:]
    assert len(read(message.SerializeToString())) == len(read(b"")) == 0


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (UP[1:], "metric_missing"), ([*UP, UP[0]], "metric_missing"), ([("__name__", ""), *UP[1:]], "metric_missing"),
        ([UP[0], UP[2]], "device_missing"), ([*UP, UP[2]], "tag_repeated"), ([*UP, (b"\xff", "x")], "encoding"),
        ([*UP, ("x", "y" * 257)], "label_invalid"), ([*UP, *((f"l{n}", "x") for n in range(32))], "too_many_labels"),
        ([("__name__", "m" * 129), *UP[1:]], "name_invalid"), ([], "metric_missing"),
    ],
)  # fmt: skip
def test_a_series_that_cannot_be_mapped_is_left_out_alone(labels: Any, code: str) -> None:
    columns = read(body((UP, [(1.0, MS)]), (labels, [(2.0, MS), (3.0, MS)]), (UP, [(4.0, MS + 1)])))
    assert [(fault.loc, fault.code) for fault in columns.rejected] == [(("timeseries", 1), code)] * 2
    assert [row[4] for row in table(columns)] == [1.0, 4.0]
    assert len(columns.series) == 1, "a bad series leaves no name behind"
    assert "yyy" not in columns.rejected[0].message


@pytest.mark.parametrize("beside", [[], [(5.0, MS)]])
def test_times_out_of_bounds_are_left_out_alone(beside: list[tuple[float, int]]) -> None:
    for time, code in [
        (MS + 700_000, "ts_in_future"), (MS - 90_000_000, "ts_too_old"), (0, "ts_too_old"), (-5, "ts_too_old"),
        (2**63 - 1, "ts_in_future"), (-(2**63), "ts_too_old"), (MS // 1_000, "ts_too_old"), (1, "ts_too_old"),
    ]:  # fmt: skip
        columns = read(body((UP, [(1.0, MS + 1)]), (UP, [(2.0, time), *beside])))
        assert [(fault.loc, fault.code) for fault in columns.rejected] == [(("timeseries", 1), code)]
        assert len(columns) == 1 + len(beside)


def test_a_label_may_be_long_and_characters_that_names_forbid_become_underscores() -> None:
    for _ in range(2):
        columns = read(body(([*UP, ("path", "p" * 200), ("a*", "\0")], [(1.0, MS)])))
        assert json.loads(columns.series[0].labels) == {"job": "node", "path": "p" * 200, "a_": "_"}


def test_the_mapping_and_the_key_name_a_device_where_no_label_does() -> None:
    raw = body(([("__name__", "sum"), ("job", "x")], [(1.0, MS)]))
    assert table(read(raw, own="mine"))[0][0] == "mine"
    assert table(read(raw, Mapping(default_device="house")))[0][0] == "house"
    disk = body(([*UP, ("device", "sda")], [(1.0, MS)]))
    assert table(read(disk, Mapping(device_tags=("instance",))))[0][:3] == (
        "a:9100", "up", '{"device":"sda","job":"node"}',
    )  # fmt: skip


def test_too_much_is_413_and_what_is_no_request_400() -> None:
    series = (UP, [(1.0, MS)])
    assert len(read(body(*[series] * 50))) == 50
    for raw in (body(*[series] * 51), body((UP, [(1.0, MS)] * 51)), b"\x0a\0" * 2_001, b"\x1a\0" * 2_001):
        with pytest.raises(TooLarge):
            read(raw)
    good = body(series)
    garbled = good.replace(b"\x12\x10\x09", b"\x12\x10\x08")
    labels_cut = b"\x0a\x04\x0a\x02\x0a\x09"  # in a series without a sample
    for raw in (
        good[:-1],
        good + b"\x0a",
        good + b"\x08\x01",
        b"\x0a\xff\xff\xff\xff\xff\xff",
        b"\x0b",
        b"{}",
        garbled,
        labels_cut,
    ):
        with pytest.raises(Malformed):
            read(raw)


def test_another_field_where_the_time_is_common_is_not_the_time() -> None:
    raw = body((UP, [(1.5, MS)]))
    at = len(raw) - 7
    assert raw[at] == 0x10
    columns = read(raw[:at] + b"\x18" + raw[at + 1 :])
    assert [fault.code for fault in columns.rejected] == ["ts_too_old"]


def test_snappy_is_inflated_under_the_limit_that_it_declares() -> None:
    packed = bytes(snappy.compress_raw(b"x" * 1_000))
    assert unsnappy(packed, 1_000) == b"x" * 1_000
    for lie in (b"\xff\xff\xff\xff\x0f", packed):
        with pytest.raises(TooLarge):
            unsnappy(lie, 999)
    for bad in (b"", packed[:-1], b"\x05" + packed[2:], b"\x80", bytes(snappy.compress(b"x")), b"hello"):
        with pytest.raises(Malformed):
            unsnappy(bad, 1_000)


@pytest.mark.parametrize(
    "kind", ["", "application/x-protobuf", 'Application/x-protobuf; proto="prometheus.WriteRequest"']
)
def test_kinds_that_are_read(kind: str) -> None:
    assert door.WRITE.decoder(Head(kind=kind)) is prometheus.decode


@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf;proto=io.prometheus.write.v2.Request"])
def test_kinds_that_are_not_hear_what_is(kind: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=r"remote write 1.0.*prometheus.WriteRequest"):
        door.WRITE.decoder(Head(kind=kind))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Receipt(2, 1), 204), (PartReceipt(2, 1, skipped=4), 204), (PartReceipt(3, 0, 0, [Fault((), "x", "y")]), 400),
        (Overloaded(), 503), (QuotaExceeded("readings", 5, 2), 503), (BodyTooSlow(), 503), (Defect(), 504),
        (Invalid([Fault((), "x", "y")]), 400), (Malformed(), 400), (TooLarge("readings", 5), 413),
    ],
)  # fmt: skip
def test_answers_are_those_that_prometheus_acts_rightly_on(outcome: Receipt | SluiceError, status: int) -> None:
    answer = door.WRITE.dialect.answer(outcome)
    assert answer.status == status
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == ("3" if isinstance(outcome, Receipt) else "0")
    if status == 204:
        assert answer.body == b""
    else:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.body.count(b"\n") == 1, "Prometheus logs the first line"
