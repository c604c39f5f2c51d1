"""SenML: what each record becomes, what is left out and why, and which packs are refused whole."""

import json
import tracemalloc
from typing import Any

import pytest

from ingest.foreign import senml as door
from ingest.foreign.door import Head
from ingest.formats import senml
from ingest.formats.mapping import Mapping
from schemas.columns import PartReceipt, Receipt
from schemas.errors import Invalid, Malformed, Overloaded, TooLarge
from server.settings import Settings
from tests.unit.influx import table
from tests.unit.senml import NOW_S, as_cbor, codes, read, rows, terms

OW = "urn:dev:ow:10e2073a01080063"


@pytest.mark.parametrize(
    ("name", "device", "metric"),
    [
        (f"{OW}:voltage", OW, "voltage"), (OW, OW, "value"), (f"{OW}:", OW, "value"), (f"{OW}:a:b", OW, "a:b"),
        ("urn:dev:mac:0024befffe804ff1_temp", "urn:dev:mac:0024befffe804ff1", "temp"),
        ("urn:dev:mac:0024befffe804ff1/1/t_x", "urn:dev:mac:0024befffe804ff1", "1/t_x"),
        ("urn:dev:os:32473-7/3303/0/5700", "urn:dev:os:32473-7", "3303/0/5700"),
        ("urn:imei:356938035643809", "urn:imei:356938035643809", "value"),
        ("urn:imei:356938035643809:rssi", "urn:imei:356938035643809", "rssi"),
        ("urn:example:hall:3:temp", "urn:example:hall:3", "temp"), ("urn:dev:ow", "own", "urn:dev:ow"),
        ("pump-7/temperature", "pump-7", "temperature"), ("pump-7:temperature", "pump-7", "temperature"),
        ("hall/3/pump-7/t", "hall/3/pump-7", "t"), ("pump-7/", "pump-7", "value"), ("t_x.y", "own", "t_x.y"),
        ("/3303/0/5700", "own", "/3303/0/5700"), ("temperature", "own", "temperature"),
    ],
)  # fmt: skip
def test_names_become_a_device_and_a_metric(name: str, device: str, metric: str) -> None:
    assert rows(read([{"n": name, "v": 1}])) == [(device, metric, 0.0, 1.0)]
    for cut in (3, len(name) // 2, len(name)):  # wherever the base name ends
        assert rows(read([{"bn": name[:cut]}, {"n": name[cut:], "v": 1}])) == [(device, metric, 0.0, 1.0)]


def test_a_pattern_of_the_operators_reads_names_that_real_devices_have() -> None:
    mapping = Mapping(senml_name=r"(?P<device>.+)-(?P<metric>[^-]+)")
    assert rows(read([{"n": "00:24:be-temp", "v": 1}], mapping=mapping))[0][:2] == ("00:24:be", "temp")
    assert codes(read([{"n": "temp", "v": 1}], mapping=mapping)) == [((0, "n"), "name_invalid")]
    assert mapping.senml_name in mapping.describe_senml("senml")
    for wrong in ("(?P<device>.+)", "("):
        with pytest.raises(ValueError, match=r"expression|groups"):
            Settings(mapping_senml_name=wrong)


def test_base_fields_count_from_their_record_on() -> None:
    pack = [
        {"bn": "a/", "bt": NOW_S - 60, "bu": "Cel", "bv": 20, "n": "t", "v": 1.5},
        {"n": "t", "t": 5, "v": -1},
        {"n": "h", "u": "%RH", "t": -5, "v": 30.5},
        {"bn": "b/", "bv": 0, "bu": ""},
        {"n": "t", "v": 3, "bt": NOW_S - 10},
    ]
    columns = read(pack)
    assert table(columns) == [
        ("a", "t", '{"unit":"Cel"}', int((NOW_S - 60) * 1e6), 21.5),
        ("a", "t", '{"unit":"Cel"}', int((NOW_S - 55) * 1e6), 19.0),
        ("a", "h", '{"unit":"%RH"}', int((NOW_S - 65) * 1e6), 50.5),
        ("b", "t", "{}", int((NOW_S - 10) * 1e6), 3.0),
    ]
    assert columns.rejected == []


def test_times_below_two_to_the_28_are_from_now() -> None:
    pack = [{"n": "t", "v": 1}, {"n": "t", "t": -30.5, "v": 2}, {"n": "t", "t": 60, "v": 3}, {"bt": -100}]
    pack += [{"n": "t", "t": 40, "v": 4}, {"bt": 0, "n": "t", "t": NOW_S - 1.000001, "v": 5}]
    assert [row[2] for row in rows(read(pack))] == [0.0, -30.5, 60.0, -60.0, -1.000001]
    off = {2**28 - 1: "ts_in_future", 2**28: "ts_too_old", NOW_S * 1_000: "ts_unit", 1e300: "ts_in_future",
           -(2.0**40): "ts_too_old", NOW_S + 700: "ts_in_future", NOW_S - 90_000: "ts_too_old"}  # fmt: skip
    for time, code in off.items():
        assert codes(read([{"n": "t", "t": time, "v": 1}])) == [((0, "t"), code)], time


def test_sums_are_series_of_their_own_and_booleans_numbers() -> None:
    pack = [{"bn": "m/", "bs": 100, "bu": "W", "bv": 5}, {"n": "p", "v": 1, "s": 20}, {"n": "p", "s": 30, "t": 1}]
    pack += [{"n": "on", "u": "/", "vb": True}, {"n": "on", "u": "/", "vb": False, "t": 1}]
    assert [(key.metric, key.labels) for key in read(pack).series] == [
        ("p.sum", '{"unit":"W*s"}'), ("p", '{"unit":"W"}'), ("on", '{"unit":"/"}'),
    ]  # fmt: skip
    assert [row[3] for row in rows(read(pack))] == [120.0, 6.0, 130.0, 1.0, 0.0]


def test_texts_and_data_are_skipped_and_counted_and_fields_nobody_knows_are_passed_over() -> None:
    pack = [
        {"n": "a", "vs": "on"},
        {"n": "b", "vd": "AQID"},
        {"n": "c", "vs": "x", "s": 1},
        {"n": "d", "v": 1, "foo": []},
    ]
    columns = read([*pack, {"bver": 5, "ut": 60, "n": "e", "v": 1}, {"bver": 26, "note": "no fields"}])
    assert [row[1] for row in rows(columns)] == ["c.sum", "d", "e"]
    assert (columns.skipped, columns.rejected) == (3, [])


@pytest.mark.parametrize(
    ("record", "loc", "code"),
    [
        ({"n": "a"}, "v", "missing"), ({"n": "a", "v": "1"}, "v", "value_type"),
        ({"n": "a", "v": None}, "v", "value_type"),
        ({"n": "a", "v": True}, "v", "value_type"), ({"n": "a", "vb": 1}, "vb", "value_type"),
        ({"n": "a", "v": 1, "vs": "x"}, "vs", "value_type"), ({"n": "a", "vb": True, "vd": ""}, "vd", "value_type"),
        ({"n": "a", "s": "1"}, "s", "value_type"), ({"n": "a", "t": "now", "v": 1}, "t", "value_type"),
        ({"v": 1}, "n", "name_invalid"), ({"n": "a b", "v": 1}, "n", "name_invalid"),
        ({"n": "ü", "v": 1}, "n", "name_invalid"),
        ({"n": "-a", "v": 1}, "n", "name_invalid"), ({"n": 1, "v": 1}, "n", "text_type"),
        ({"n": "a", "u": 1, "v": 1}, "u", "text_type"),
        ({"n": "m" * 129, "v": 1}, "n", "name_invalid"), ({"n": "m" * 300, "v": 1}, "n", "name_invalid"),
        ({"n": "a", "u": "u" * 257, "v": 1}, "n", "label_invalid"), ({"n": "a", "v": 10**400}, "v", "not_finite"),
    ],
)  # fmt: skip
def test_a_bad_record_is_left_out_alone(record: Any, loc: str, code: str) -> None:
    pack = [{"n": "good", "v": 1}, record, {"n": "good", "v": 2, "t": 1}]
    columns = senml.decode_json(json.dumps(pack).encode(), terms())
    assert codes(columns) == [((1, loc), code)]
    assert [row[3] for row in rows(columns)] == [1.0, 2.0]
    assert len(columns.series) == 1
    if code != "not_finite":
        read(pack)


@pytest.mark.parametrize(
    ("pack", "code"),
    [
        ([{"bver": 11, "n": "a", "v": 1}], "version"), ([{"bver": 0}], "version"), ([{"bver": "10"}], "version"),
        ([{"n": "a", "v": 1, "must_": 1}], "not_understood"), ([{"bt": "x"}], "value_type"), ([{"bn": 5}], "text_type"),
        ({"n": "a", "v": 1}, "layout"), ([[]], "layout"), ([1], "layout"), ("x", "layout"), (None, "layout"),
    ],
)  # fmt: skip
def test_what_others_depend_on_is_refused_whole(pack: Any, code: str) -> None:
    for decode, raw in ((senml.decode_json, json.dumps(pack).encode()), (senml.decode_cbor, as_cbor(pack))):
        with pytest.raises(Invalid) as refused:
            decode(raw, terms())
        assert refused.value.faults[0].code == code


def test_nobodys_name_and_no_key_of_one_device_is_refused() -> None:
    assert codes(read([{"n": "t", "v": 1}], own=None)) == [((0, "n"), "device_missing")]
    assert rows(read([{"n": "t", "v": 1}], own=None, mapping=Mapping(default_device="house")))[0][0] == "house"
    assert rows(read([{"n": "p/t", "v": 1}], own=None))[0][0] == "p"


def test_values_that_are_not_finite_are_refused_also_by_their_base() -> None:
    raw = b'[{"n":"a","v":NaN},{"n":"a","v":1e999},{"bv":1e308,"n":"a","v":1e308},{"n":"a","s":-1e999}]'
    wanted = [((place, field), "not_finite") for place, field in enumerate("vvvs")]
    assert codes(read(raw)) == wanted


def test_too_much_is_413_and_what_is_no_json_400() -> None:
    assert len(read([{"n": "t", "t": n, "v": n} for n in range(50)])) == 50
    for pack in ([{"n": "t", "t": n, "v": n} for n in range(51)], [{"n": "t", "v": n, "s": n} for n in range(26)],
                 [{"n": "t", "s": 1, "vs": "x"}] * 26, b"[" + b"{}," * 400_000 + b"{}]"):  # fmt: skip
        with pytest.raises(TooLarge):
            read(pack)
    for raw in (b"", b"[", b"[]x", b"\xff", b"[" * 300):
        with pytest.raises(Malformed):
            read(raw)
    assert len(read([])) == 0


def test_the_door_reads_by_kind_and_answers_as_our_own_does() -> None:
    for kind in ("application/senml+json", "Application/SenML+JSON; charset=utf-8", "", "text/plain"):
        assert door.WRITE.decoder(Head(kind=kind)) is senml.decode_json
    assert door.WRITE.decoder(Head(kind="application/senml+cbor")) is senml.decode_cbor
    assert door.DIALECT.answer(Receipt(2, 1)).body == b'{"accepted":2,"duplicates":1}'
    answer = door.DIALECT.answer(PartReceipt(2, 1, skipped=3))
    assert (answer.body, answer.headers["X-Sluice-Skipped"]) == (b'{"accepted":2,"duplicates":1,"skipped":3}', "3")
    assert door.DIALECT.answer(Overloaded(retry_after=2)).headers["Retry-After"] == "2"


def test_a_long_base_name_is_not_copied_for_every_record() -> None:
    pack = [{"bn": "A" * 2_000_000}, *({"n": str(number), "v": 1} for number in range(45))]
    tracemalloc.start()
    try:
        with pytest.raises(Invalid) as refused:
            read(pack)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(fault.loc, fault.code) for fault in refused.value.faults] == [((0, "bn"), "name_invalid")]
    assert peak < 20 << 20
    assert codes(read([{"n": "A" * 2_000, "v": 1}, {"n": "b", "v": 2}])) == [((0, "n"), "name_invalid")]


def test_a_record_is_kept_whole_or_not_at_all() -> None:
    columns = read(b'[{"n": "a/b", "s": 1, "v": 1e999}, {"n": "a/c", "v": 2}]')
    assert [row[1] for row in rows(columns)] == ["c"]
    assert codes(columns) == [((0, "v"), "not_finite")]
