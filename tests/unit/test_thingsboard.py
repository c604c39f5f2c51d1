"""ThingsBoard's telemetry: what each value becomes, what is skipped, what is refused, and that nothing is made up."""

import json
import math
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.foreign import thingsboard as door
from ingest.foreign.credentials import without_key
from ingest.formats import thingsboard
from ingest.formats.mapping import Mapping, cleaned
from ingest.formats.terms import Terms
from schemas.columns import Columns, PartReceipt, Receipt
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
    Unauthorized,
)
from tests.unit.influx import BOUNDS, MS, NOW_US, table

LONG_RUN = 1_000_000


def read(body: Any, *, attributes: bool = False, own: str | None = "pump-7", mapping: Mapping | None = None) -> Columns:
    """Decode a body, given as bytes or as what its JSON says."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return thingsboard.decode(raw, Terms(BOUNDS, NOW_US, mapping or Mapping(), own), attributes=attributes)


def rows(columns: Columns) -> list[tuple[str, int, float]]:
    """Metric, milliseconds, value."""
    return [(metric, ts // 1_000, value) for _, metric, _, ts, value in table(columns)]


def codes(columns: Columns) -> list[tuple[Any, str]]:
    """Where faults are, and which."""
    return [(fault.loc, fault.code) for fault in columns.rejected]


def test_every_layout_that_thingsboard_takes() -> None:
    assert table(read({"t": 21.5})) == [("pump-7", "t", "{}", NOW_US, 21.5)]
    dated = {"ts": MS - 5, "values": {"t": 1, "on": True}}
    assert rows(read(dated)) == [("t", MS - 5, 1.0), ("on", MS - 5, 1.0)]
    assert rows(read([dated, {"t": 2}, {"ts": str(MS - 6), "values": {"off": False}}])) == [
        ("t", MS - 5, 1.0), ("on", MS - 5, 1.0), ("t", MS, 2.0), ("off", MS - 6, 0.0),
    ]  # fmt: skip
    assert rows(read({"ts": float(MS), "values": {"t": 1}})) == [("t", MS, 1.0)]
    assert rows(read({"ts": MS, "t": 1})) == [("ts", MS, float(MS)), ("t", MS, 1.0)], "as ThingsBoard reads it"
    nothings: list[Any] = [{}, [], {"ts": MS, "values": {}}]
    for nothing in nothings:
        assert len(read(nothing)) == 0


def test_texts_that_are_numbers_are_numbers_and_all_else_is_counted() -> None:
    body = {"a": "21.5", "b": "-3", "c": ".5", "d": "1e3", "e": "", "f": " 1", "g": "٣", "h": "true", "i": None}
    columns = read(body | {"j": [1, 2], "k": "1.", "l": "+1", "m": "9" * 400})
    assert [(name, value) for name, _, value in rows(columns)] == [("a", 21.5), ("b", -3.0), ("c", 0.5)]
    assert (columns.skipped, codes(columns)) == (9, [(("m",), "not_finite")])


def test_objects_within_values_are_read_by_their_paths() -> None:
    columns = read({"motor": {"rpm": 1500, "phase": {"a": 1.5, "name": "x"}, "list": []}, "empty": {}})
    assert [(name, value) for name, _, value in rows(columns)] == [("motor.rpm", 1500.0), ("motor.phase.a", 1.5)]
    assert columns.skipped == 2
    assert rows(read({"a": {"b": 1}}, mapping=Mapping(separator="/")))[0][0] == "a/b"


def test_attributes_are_kept_apart_and_have_no_times_of_their_own() -> None:
    body = {"capacity": 2500, "version": "1.2.3", "ts": MS - 1, "values": {"x": 1}}
    columns = read(body, attributes=True)
    assert [row[0] for row in rows(columns)] == ["attributes.capacity", "attributes.ts", "attributes.values.x"]
    assert {row[1] for row in rows(columns)} == {MS}
    assert columns.skipped == 1
    with pytest.raises(Invalid):
        read([{"a": 1}], attributes=True)


def test_a_key_of_no_one_device_is_told_to_be_bound() -> None:
    assert codes(read({"t": 1}, own=None)) == [(("t",), "device_missing")]
    assert "bind the key" in read({"t": 1}, own=None).rejected[0].message
    assert read({"t": 1}, own=None, mapping=Mapping(default_device="house")).series[0].device == "house"


@pytest.mark.parametrize(
    ("body", "kept", "expected"),
    [
        ([{"a": 1}, {"ts": MS * 1_000, "values": {"a": 1}}], 1, [((1, "ts"), "ts_unit")]),
        ({"ts": MS // 1_000, "values": {"a": 1}}, 0, [(("ts",), "ts_unit")]),
        ({"ts": MS + 700_000, "values": {"a": 1}}, 0, [(("ts",), "ts_in_future")]),
        ({"ts": MS - 90_000_000, "values": {"a": 1}}, 0, [(("ts",), "ts_too_old")]),
        (b'{"a": NaN, "b": 1e999, "c": 1}', 1, [(("a",), "not_finite"), (("b",), "not_finite")]),
        ({"": 1, "m" * 129: 1, "c": 1}, 1, [(("",), "name_invalid"), (("m" * 129,), "name_invalid")]),
    ],
)
def test_what_is_bad_is_named(body: Any, kept: int, expected: Any) -> None:
    columns = read(body)
    assert codes(columns) == expected
    assert len(columns) == len(columns.series) == kept


@pytest.mark.parametrize(
    "body",
    [
        1, "x", None, [1], [[{"a": 1}]], {"ts": MS, "values": 1}, {"ts": MS, "values": [1]}, {"ts": True, "values": {}},
        {"ts": "soon", "values": {}}, {"ts": 1.5, "values": {}},
    ],
)  # fmt: skip
def test_what_has_no_layout_is_refused_whole(body: Any) -> None:
    with pytest.raises(Invalid):
        read(body)


def test_too_much_and_too_deep_is_refused() -> None:
    assert len(read([{"a": n} for n in range(50)])) == 50
    texts = {f"m{n}": "" for n in range(51)}
    for body in ([{"a": n} for n in range(51)], dict.fromkeys(texts, 1), texts, b"[" + b"{}," * 400_000 + b"{}]"):
        with pytest.raises(TooLarge):
            read(body)
    for raw in (b"", b"{", b"{}x", b"\xff", b'{"a":' * 250 + b"1" + b"}" * 250):
        with pytest.raises(Malformed):
            read(raw)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Receipt(2, 1), 200), (PartReceipt(2, 1, skipped=4), 200), (Overloaded(retry_after=3), 503),
        (QuotaExceeded("readings", 5, 2), 429), (BodyTooSlow(), 503), (Defect(), 504), (Unauthorized(), 401),
        (Invalid([Fault((2, "ts"), "x", "y"), Fault((), "x", "z")]), 400), (Malformed("no"), 400),
        (TooLarge("readings", 5), 413),
    ],
)  # fmt: skip
def test_answers(outcome: Receipt | SluiceError, status: int) -> None:
    answer = door.TELEMETRY.dialect.answer(outcome)
    assert answer.status == status
    if status == 200:
        assert answer.body == b""
        return
    document = json.loads(answer.body)
    assert document["status"] == status
    assert document["message"]
    if status in {429, 503}:
        assert int(answer.headers["Retry-After"]) >= 1
    if status == 400 and isinstance(outcome, Invalid):
        assert document["message"] == "2.ts: y (and 1 more)"


KEYS = st.text("abé.\0*", min_size=1, max_size=4)
LEAVES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60) | st.booleans() | st.none()
VALUES = st.dictionaries(KEYS, st.recursive(LEAVES | st.text(max_size=4), lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=2), max_leaves=4), max_size=5)  # fmt: skip  # noqa: E501
DATED = st.builds(lambda ts, values: {"ts": ts, "values": values}, st.integers(MS - 80_000_000, MS + 500_000), VALUES)
BODIES = DATED | st.lists(DATED | VALUES, max_size=4) | VALUES


def numbers(path: str, value: Any) -> list[tuple[str, float]]:
    """What has to be read of a value."""
    if isinstance(value, dict):
        return [each for name, inner in value.items() for each in numbers(f"{path}.{name}", inner)]
    if isinstance(value, int | float):
        return [(cleaned(path), float(value))]
    return [(cleaned(path), float(value))] if isinstance(value, str) and thingsboard._is_number(value) else []


@given(BODIES)
def test_what_was_written_is_read(body: Any) -> None:
    wanted = []
    for item in body if isinstance(body, list) else [body]:
        dated = "ts" in item and "values" in item
        ts, values = (item["ts"], item["values"]) if dated else (MS, item)
        wanted += [(name, ts, value) for key, each in values.items() for name, value in numbers(key, each)]
    assert rows(read(body)) == wanted


SEED = json.dumps([{"ts": MS, "values": {"t": 1.5, "on": True, "s": "12"}}, {"t": {"a": 2}}]).encode()
PIECES = [b"", b'"', b"{", b"}", b"[", b"]", b",", b":", b"1", b"-", b"e9", b"null", b"\\u0000", b"\xff", b'"ts"']


def survive(raw: bytes) -> bool:
    """Refused, or read: then finite values within bounds, of which the body has digits, or booleans."""
    try:
        columns = read(raw)
    except (Malformed, TooLarge, Invalid):
        return False
    for device, _, _, ts, value in table(columns):
        assert device == "pump-7"
        assert BOUNDS.oldest_us <= ts <= BOUNDS.newest_us
        assert math.isfinite(value)
    return len(columns) > 0


def mutated(chance: random.Random, raw: bytes) -> bytes:
    """A few bytes of it changed."""
    made = bytearray(raw)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(made) + 1)
        made[place : place + chance.randint(0, 2)] = chance.choice(PIECES) or bytes([chance.randrange(256)])
    return bytes(made)


def test_mutations_are_refused_or_read() -> None:
    chance = random.Random(8)
    assert sum(survive(mutated(chance, SEED)) for _ in range(2_000)) > 100


@pytest.mark.long
def test_a_million_mutations() -> None:
    chance = random.Random(9)
    assert sum(survive(mutated(chance, SEED)) for _ in range(LONG_RUN)) > LONG_RUN // 50


def test_a_long_name_is_not_copied_for_all_that_is_below_it() -> None:
    body = json.dumps({"k" * 2_000_000: {f"a{number}": 1 for number in range(45)}}).encode()
    tracemalloc.start()
    try:
        columns = read(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(columns) == 0
    assert {code for _, code in codes(columns)} == {"name_invalid"}
    assert peak < 20 << 20


def test_what_stands_beside_time_and_values_is_counted_as_skipped() -> None:
    columns = read({"ts": MS, "values": {"a": 1}, "b": 2, "c": 3})
    assert ([metric for metric, *_ in rows(columns)], columns.skipped) == (["a"], 2)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/api/v1/slk_abc_SECRET/telemetry", "/api/v1/{key}/telemetry"),
        ("/api/v1/slk_abc_SECRET", "/api/v1/{key}"),
        ("/api/v1/slk_abc_SECRET/", "/api/v1/{key}/"),
        ("/api/v1//slk_abc_SECRET/telemetry", "/api/v1/{key}/telemetry"),
        ("/api/v1/write", "/api/v1/write"),
        ("/v1/readings", "/v1/readings"),
    ],
)
def test_no_key_is_shown_wherever_its_sender_took_the_path_to_end(path: str, shown: str) -> None:
    assert without_key(path) == shown
