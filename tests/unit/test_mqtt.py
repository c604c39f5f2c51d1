"""MQTT's messages: what each becomes, or why it is left out; and whatever is sent, nothing that was not."""

import json
import random
import struct
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import mqtt, native
from ingest.formats.mapping import DEVICE_TAGS, Mapping
from ingest.formats.terms import Terms
from ingest.formats.topics import Topics, read_templates
from ingest.mqtt.batch import body_of, read
from ingest.mqtt.window import Held
from schemas.columns import Columns
from schemas.errors import Invalid, Malformed, SluiceError, TooLarge
from tests.unit.influx import BOUNDS, MS, NOW_US, table

TEMPLATES = ["s/{device}/{metric}", "tele/{device}/SENSOR", "plant/{site}/{device}", "any/#"]
TOPICS = Topics(read_templates(TEMPLATES))
# As Tasmota's documentation shows it.
SENSOR = (
    '{"Time":"2026-11-23T10:39:07","AM2301":{"Temperature":21.4,"Humidity":53.1,"DewPoint":11.5},'
    '"ENERGY":{"TotalStartTime":"2020-01-01T00:00:00","Total":2.345,"Power":[12,0],"Factor":null},"TempUnit":"C"}'
)


def decode(payload: Any, topic: str = "s/p/t", topics: Topics = TOPICS, **mapping: Any) -> Columns:
    """Decode a payload; what is no text is sent as JSON."""
    text = payload if isinstance(payload, str | bytes) else json.dumps(payload)
    raw = text if isinstance(text, bytes) else text.encode()
    return mqtt.decode(raw, Terms(BOUNDS, NOW_US, Mapping(topics=topics, **mapping)), topic)


@pytest.mark.parametrize(
    ("payload", "value"),
    [("21.5", 21.5), (" 21.5\n", 21.5), ("-0.0", -0.0), ("+3", 3.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0),
     ("true", 1.0), ("False", 0.0), ("ON", 1.0), ("off", 0.0), ("9007199254740993", 9007199254740992.0)],
)  # fmt: skip
def test_a_plain_payload_is_one_reading(payload: str, value: float) -> None:
    [row] = table(decode(payload))
    assert row[:4] == ("p", "t", "{}", NOW_US)
    assert struct.pack("d", row[4]) == struct.pack("d", value)


@pytest.mark.parametrize(
    "payload", ["online", "", "nan", "inf", "21,5", "0x10", "1_0", "21.5 °C", b"\xff\xfe", '"ON"', "null"]
)
def test_text_is_no_reading(payload: str | bytes) -> None:
    columns = decode(payload)
    assert (len(columns), columns.skipped, columns.rejected) == (0, 1, [])


@pytest.mark.parametrize(
    ("topic", "payload", "rows"),
    [
        ("s/p/t", {"value": 1, "raw": 2}, [("t", 1.0), ("t.raw", 2.0)]),
        ("s/p/t", {"a": {"b": [1, {"c": True}]}, "x": "text"}, [("t.a.b.0", 1.0), ("t.a.b.1.c", 1.0)]),
        ("s/p/t", [1, 2], [("t.0", 1.0), ("t.1", 2.0)]),
        ("plant/A/p", "7", [("value", 7.0)]),
        ("plant/A/p", {"temp": 7}, [("temp", 7.0)]),
        ("plant/A/p", {"values": {"temp": 7}}, [("temp", 7.0)]),
        ("any/thing", {"device_id": "p", "temp": 7}, [("temp", 7.0)]),
        ("s/p/t", {"we*ird": 1}, [("t.we_ird", 1.0)]),
    ],
)
def test_keys_become_metrics(topic: str, payload: Any, rows: list[tuple[str, float]]) -> None:
    columns = decode(payload, topic)
    assert [(row[0], row[1], row[4]) for row in table(columns)] == [("p", *row) for row in rows]
    assert {row[2] for row in table(columns)} == {'{"site":"A"}' if topic.startswith("plant") else "{}"}


@pytest.mark.parametrize(
    ("said", "unit", "micros"),
    [(MS, "ms", MS * 1_000), (MS // 1_000, "s", MS * 1_000), (MS / 1_000 + 0.125, "s", MS * 1_000 + 125_000),
     (MS * 1_000 + 7, "us", MS * 1_000 + 7), (MS * 1_000_000 + 7_999, "ns", MS * 1_000 + 7),
     ("2026-11-23T10:00:00.000001Z", "ms", MS * 1_000 + 1), ("2026-11-23T11:00:00+01:00", "s", MS * 1_000)],
)  # fmt: skip
def test_times_of_every_unit(said: Any, unit: str, micros: int) -> None:
    topics = Topics(TOPICS.templates, unit=unit)
    assert [row[3] for row in table(decode({"ts": said, "value": 1}, topics=topics))] == [micros]
    assert [row[3] for row in table(decode([{"ts": said, "a": 1}, {"a": 2}], topics=topics))] == [micros, NOW_US]


@pytest.mark.parametrize(
    ("said", "code"),
    [(MS // 1_000, "ts_unit"), (5, "ts_unit"), (10**400, "ts_unit"), (True, "ts_invalid"), ([], "ts_invalid"),
     ("yesterday", "ts_invalid"), ("2026-11-23T10:00:00", "ts_zone"), (MS - 10**10, "ts_too_old"),
     (MS + 10**9, "ts_in_future")],
)  # fmt: skip
def test_a_time_that_is_none_spoils_its_own_object_only(said: Any, code: str) -> None:
    columns = decode([{"ts": said, "a": 1}, {"a": 2}])
    assert [row[4] for row in table(columns)] == [2.0]
    assert [(fault.loc, fault.code) for fault in columns.rejected] == [((0, "ts"), code)]


def test_tasmotas_telemetry_is_read_in_its_zone() -> None:
    at_home = Topics(TOPICS.templates, zone=ZoneInfo("Europe/Berlin"))
    columns = decode(SENSOR, "tele/lamp/SENSOR", at_home)
    assert {(row[1], row[4]) for row in table(columns)} == {
        ("AM2301.Temperature", 21.4), ("AM2301.Humidity", 53.1), ("AM2301.DewPoint", 11.5), ("ENERGY.Total", 2.345),
        ("ENERGY.Power.0", 12.0), ("ENERGY.Power.1", 0.0),
    }  # fmt: skip
    assert {row[3] for row in table(columns)} == {(MS - 3_600_000 + 2_347_000) * 1_000}
    assert (columns.skipped, columns.rejected) == (3, [])
    assert [fault.code for fault in decode(SENSOR, "tele/lamp/SENSOR").rejected] == ["ts_zone"]
    unset = SENSOR.replace("2026-11-23T10:39:07", "1970-01-01T00:00:09")  # before it knew the time
    assert [fault.code for fault in decode(unset, "tele/lamp/SENSOR", at_home).rejected] == ["ts_too_old"]


def test_our_own_readings_keep_their_names_and_the_topics_device_holds() -> None:
    one = {"ts": MS, "metric": "m", "value": 1.5}
    assert table(decode(one)) == [("p", "m", "{}", MS * 1_000, 1.5)]
    assert table(decode({"metric": "m", "value": True}))[0][3:] == (NOW_US, 1.0)
    batch = {"device": "p", "labels": {"a": "b"}, "readings": [one, one | {"value": "no"}]}
    columns = decode(batch, "plant/A/p")
    assert table(columns) == [("p", "m", '{"a":"b","site":"A"}', MS * 1_000, 1.5)]
    assert len(columns.rejected) == 1
    assert table(decode([batch | {"device": "q"}], "any/x"))[0][0] == "q"
    assert len(decode({"ts": [MS, MS + 1], "values": {"a": [1, None], "b": [2, 3]}})) == 3
    for payload, code in (
        ({"device": "q", "readings": [one]}, "device_mismatch"),
        (one | {"more": 1}, "unknown_field"),
    ):
        with pytest.raises(Invalid) as refused:
            decode(payload)
        assert code in {refused.value.faults[0].code, "unknown_field"}


@pytest.mark.parametrize("level", DEVICE_TAGS[1:])
def test_a_device_that_topic_or_payload_names_goes_before_a_level_that_could(level: str) -> None:
    topics = Topics(read_templates([f"a/{{{level}}}/{{device}}", f"b/{{{level}}}/#"]))
    own = {"ts": MS, "metric": "m", "value": 1}
    for topic, payload in (
        ("a/gw/p", 1), ("a/gw/p", {"x": 1}), ("a/gw/p", own), ("a/gw/p", own | {"device": "p"}),
        ("b/gw/x", own | {"device": "p"}), ("b/gw/x", {"device": "p", "x": 1}), ("b/gw/x", {"instance": "p", "x": 1}),
    ):  # fmt: skip
        assert [row[:3:2] for row in table(decode(payload, topic, topics))] == [("p", f'{{"{level}":"gw"}}')]
    for payload in (1, {"x": 1}, own):
        assert [row[:3:2] for row in table(decode(payload, "b/gw/x", topics))] == [("gw", "{}")], "as nothing else does"


def test_one_reading_beside_a_list_of_readings_is_refused_and_neither_is_dropped() -> None:
    one = {"ts": MS, "metric": "x", "value": 1}
    beside: list[Any] = [[one], [], {}]
    for readings in beside:
        with pytest.raises(Invalid) as refused:
            decode({"metric": "t", "value": 3, "readings": readings})
        assert {"unknown_field"} <= {fault.code for fault in refused.value.faults}


@pytest.mark.parametrize("readings", [5, None, True, "x", {}])
def test_readings_that_are_no_list_are_refused(readings: Any) -> None:
    batch = {"ts": [MS], "values": {"a": [1]}, "readings": readings}
    for payload in (batch, [batch]):
        with pytest.raises(Invalid):
            decode(payload)


def test_what_is_refused_as_a_whole() -> None:
    with pytest.raises(Malformed):
        decode("{not JSON")
    with pytest.raises(Malformed):
        decode("[" * 10_000)
    with pytest.raises(TooLarge):
        decode(list(range(51)))
    with pytest.raises(Invalid) as refused:
        decode("1", "other")
    assert refused.value.faults[0].code == "no_template"
    assert [fault.code for fault in decode("1", "any/x").rejected] == ["device_missing"]
    assert [fault.code for fault in decode("1", "s//t").rejected] == ["device_missing"]
    assert [fault.code for fault in decode('{"a": NaN, "b": 1e999, "c": 1}').rejected] == ["value_invalid"] * 2
    assert [fault.code for fault in decode({"k" * 200: 1}).rejected] == ["name_invalid"]


NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="*?/+#{}."), min_size=1, max_size=20)
VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.booleans()


@given(NAMES, NAMES, st.dictionaries(NAMES, VALUES, min_size=1, max_size=8), st.integers(-80_000_000, 0) | st.none())
def test_what_is_sent_is_what_is_posted(device: str, metric: str, fields: dict[str, float], ago: int | None) -> None:
    """From the payload to the body for the server and back, to the bit."""
    own = {"ts", "Time", "readings", "metric", "values", "value", "device"}
    fields = {name: value for name, value in fields.items() if name not in own}
    payload = json.dumps(fields if ago is None else fields | {"ts": MS + ago}).encode()
    held = Held(1, 1, f"s/{device}/{metric}", payload, NOW_US - 1, 0.0, 1)
    message = read(held, Mapping(topics=TOPICS), 50)
    micros = NOW_US - 1 if ago is None else (MS + ago) * 1_000
    wanted = {(device, f"{metric}.{name}", "{}", micros, float(value)) for name, value in fields.items()}
    assert set(table(native.decode(body_of([message]), BOUNDS))) == wanted
    assert (message.readings, list(message.faults)) == (len(fields), [])


SEEDS = [
    SENSOR, "21.5", "ON", json.dumps({"ts": MS, "a": {"b": [1, 2.5, None, "x"]}}), json.dumps([{"ts": MS, "v": 1}] * 3),
    json.dumps({"device": "p", "readings": [{"ts": MS, "metric": "m", "value": 1}]}),
    json.dumps({"ts": [MS], "values": {"x": [1]}}), json.dumps({"metric": "m", "value": 1, "ts": MS}),
]  # fmt: skip
SPLICES = [b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"1e999", b"NaN", b"\\u0000", b"\xff", b"ts", b"9" * 30]


def fuzz(count: int, seed: int) -> None:
    """Mutated payloads: read or refused, and no reading whose number is not in the payload."""
    luck = random.Random(seed)
    for _ in range(count):
        raw = bytearray(luck.choice(SEEDS).encode())
        for _ in range(luck.randint(1, 4)):
            at = luck.randrange(len(raw) + 1)
            match luck.randrange(3):
                case 0:
                    raw[at : at + luck.randint(0, 5)] = luck.choice(SPLICES)
                case 1:
                    raw[at : at + 1] = bytes([luck.randrange(256)])
                case _:
                    del raw[at : at + luck.randint(1, 8)]
        try:
            columns = decode(bytes(raw), luck.choice(["s/p/t", "tele/l/SENSOR", "any/x", "plant//"]))
        except SluiceError:
            continue
        assert len(columns) <= BOUNDS.max_readings
        assert all(BOUNDS.oldest_us <= row[3] <= BOUNDS.newest_us for row in table(columns))
        assert not len(columns) or {row[4] for row in table(columns)} <= numbers_in(bytes(raw))


def numbers_in(payload: bytes) -> set[float]:
    """Every number, and truth value, that stands in a payload."""
    try:
        document = json.loads(payload)
    except ValueError:
        word = payload.strip(b" \t\r\n").lower()
        return {1.0} if word in {b"on", b"true"} else {0.0} if word in {b"off", b"false"} else {float(payload)}
    found: set[float] = set()
    waiting = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict | list):
            waiting += item.values() if isinstance(item, dict) else item
        elif isinstance(item, int | float):
            found.add(float(item) if abs(item) < 1e308 else 0.0)
    return found


def test_mutated_messages_are_read_or_refused() -> None:
    fuzz(3_000, 1)


@pytest.mark.long
def test_a_million_mutated_messages_are_read_or_refused() -> None:
    fuzz(1_000_000, 2)
