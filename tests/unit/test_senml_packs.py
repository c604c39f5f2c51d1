"""Packs of any making: read as the RFC resolves them, in JSON and CBOR alike; and any other bytes refused or read."""

import json
import math
import random
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import senml
from ingest.formats.senml_pack import LABELS, read_cbor
from schemas.columns import Columns
from schemas.errors import Invalid, Malformed, TooLarge
from tests.unit.influx import BOUNDS, table
from tests.unit.senml import NOW_S, as_cbor, read, rows, terms

LONG_RUN = 1_000_000
NAMES = st.sampled_from(["t", "h", "a:b", "x/y", "0"])
QUARTERS = st.integers(-(2**20), 2**20).map(lambda n: n / 4)  # of which sums are exact
BASE_TIMES = st.sampled_from([0.0, -100.0, NOW_S - 1_000.25, NOW_S - 80_000.5])
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "bn": st.sampled_from(["", "p/", "urn:dev:ow:1:", "urn:dev:mac:2_"]), "bt": BASE_TIMES,
        "bv": QUARTERS, "bs": QUARTERS, "bu": st.sampled_from(["", "Cel", "W"]), "bver": st.just(10), "n": NAMES,
        "u": st.sampled_from(["m", "%RH"]),
        "t": st.integers(-400, 400).map(lambda n: n / 8), "s": QUARTERS, "ut": QUARTERS,
    },
)  # fmt: skip
VALUES = st.fixed_dictionaries({}, optional={"v": QUARTERS}) | st.fixed_dictionaries({"vb": st.booleans()}) | st.just({"vs": "x"})  # fmt: skip  # noqa: E501
PACKS = st.lists(st.builds(lambda record, value: {**record, **value}, RECORDS, VALUES), max_size=8)


def resolved(pack: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pack with no base fields and no relative times, as chapter 4.6 has it; what has no value is not there."""
    base: dict[str, Any] = {}
    made = []
    for record in pack:
        base |= {key: record[key] for key in record if key[0] == "b"}
        now = base.get("bt", 0.0) + record.get("t", 0.0)
        each: dict[str, Any] = {"n": base.get("bn", "") + record.get("n", ""), "t": now + (NOW_S if now < 2**28 else 0)}
        if unit := record.get("u") or base.get("bu"):
            each["u"] = unit
        each |= {"v": base.get("bv", 0.0) + record["v"]} if "v" in record else {}
        each |= {"s": base.get("bs", 0.0) + record["s"]} if "s" in record else {}
        each |= {key: record[key] for key in ("vb", "vs") if key in record}
        made += [each] if each.keys() & {"v", "s", "vb", "vs"} else []
    return made


@given(PACKS)
def test_a_pack_and_its_resolved_records_are_the_same_readings(pack: list[dict[str, Any]]) -> None:
    columns, simple = read(pack), read(resolved(pack))
    assert table(columns) == table(simple)
    assert columns.skipped == simple.skipped
    values = [(each["n"], key, each[key]) for each in resolved(pack) for key in ("s", "v", "vb") if key in each]
    assert [row[3] for row in rows(columns)] == [float(value) for name, _, value in values if name]


@given(PACKS, st.sampled_from([cbor2.dumps, lambda pack: cbor2.dumps(pack, canonical=True)]))
def test_any_way_of_writing_cbor_is_read(pack: list[dict[str, Any]], write: Callable[[Any], bytes]) -> None:
    numbered = [{key: record[label] for key, label in LABELS.items() if label in record} for record in pack]
    wanted = table(read(pack))
    assert table(senml.decode_cbor(write(numbered), terms())) == wanted
    body = b"\x9f" + b"".join(b"\xbf" + write(record)[1:] + b"\xff" for record in numbered) + b"\xff"  # no lengths
    assert table(senml.decode_cbor(body, terms())) == wanted
    decimals = [{key: _decimal(value) for key, value in record.items()} for record in numbered]
    assert table(senml.decode_cbor(cbor2.dumps(decimals), terms())) == wanted


def _decimal(value: Any) -> Any:
    return Decimal(value) if type(value) is float else value


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x80\x80", b"\x81", b"\xff", b"\x81" * 4_000, b"\xc4" * 4_000 + b"\0", b"\x9b\x7f" + b"\xff" * 7,
        b"\xbb" + b"\xff" * 8, b"\x5b" + b"\x7f" * 8, b"\x7b" + b"\x7f" * 8, b"\x81\xa1\x00\x61\xff",
        b"\x81\xa2\x00\x61a\x00\x61b", b"\x81\xa2\x00\x61a\x61n\x61b", b"\x81\xa1\xa1\x00\x00\x00", b"\x81\xa1\x80\x00",
        b"\x81\xa1\x02\xc4\x82\x1a\x3b\x9a\xca\x00\x01", b"\x81\xa1\x02\xc4\x01", b"\x81\xa1\x02\xc4\x82\x61a\x00",
        b"\x81\xa1\x02\xc4\x83\x00\x00\x00", b"\x81\xa1\x18\x63" + b"\x81" * 4 + b"\x00", b"\xd8\x1c\x81\xd8\x1d\x00",
    ],
)  # fmt: skip
def test_hostile_cbor_is_refused_at_once(raw: bytes) -> None:
    began = time.process_time()
    with pytest.raises((Malformed, Invalid)):
        senml.decode_cbor(raw, terms())
    assert time.process_time() - began < 1


def test_no_tag_but_decimal_fractions_is_read() -> None:
    for tag in (*range(1_200), 43_000, 55_799, 2**32, 2**63):
        inner = [-1, 15] if tag == 4 else "(a+)+$"
        raw = cbor2.dumps([{0: "a", 2: cbor2.CBORTag(tag, inner)}])
        if tag == 4:
            assert rows(senml.decode_cbor(raw, terms()))[0][3] == 1.5
        else:
            with pytest.raises(Malformed):
                read_cbor(raw, 50)


def test_a_body_that_could_become_too_many_objects_is_413() -> None:
    with pytest.raises(TooLarge):
        senml.decode_cbor(b"\x80" * 5_001, terms())


SEED = [{"bn": "p/", "bt": NOW_S - 60, "bu": "Cel", "n": "t", "v": 1.5, "s": 3.0}, {"n": "h", "t": 1.0, "vb": True},
        {"n": "x", "vs": "a"}, {"n": "t", "t": 2.5, "v": -7}]  # fmt: skip
PIECES = [b"", b"\0", b"\x61n", b"\x81", b"\xa1", b"\xbf", b"\x9f", b"\xff", b"\xfb", b"\xf5", b"\xc4\x82", b"\x1b", b"\x20", b"{", b"}", b'"', b",", b"1", b"e9"]  # fmt: skip  # noqa: E501


def survive(decode: Callable[[bytes, Any], Columns], raw: bytes) -> bool:
    """Refused, or read: then finite values, within bounds."""
    try:
        columns = decode(raw, terms())
    except (Malformed, TooLarge, Invalid):
        return False
    for _, metric, _, ts, value in table(columns):
        assert metric
        assert BOUNDS.oldest_us <= ts <= BOUNDS.newest_us
        assert math.isfinite(value)
    return len(columns) > 0


def survived(runs: int, chance: random.Random) -> int:
    """How many of so many mutated packs were read."""
    seeds = [(senml.decode_json, json.dumps(SEED).encode()), (senml.decode_cbor, as_cbor(SEED))]
    count = 0
    for _ in range(runs):
        decode, seed = chance.choice(seeds)
        raw = bytearray(seed)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(raw) + 1)
            raw[place : place + chance.randint(0, 2)] = chance.choice(PIECES) or bytes([chance.randrange(256)])
        count += survive(decode, bytes(raw))
    return count


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read(raw: bytes) -> None:
    survive(senml.decode_json, raw)
    survive(senml.decode_cbor, raw)
    survive(senml.decode_cbor, b"\x82" + raw)


def test_mutations_are_refused_or_read() -> None:
    assert survived(3_000, random.Random(8)) > 100


@pytest.mark.long
def test_a_million_mutations() -> None:
    assert survived(LONG_RUN, random.Random(9)) > LONG_RUN // 50
