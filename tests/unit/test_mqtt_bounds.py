"""Messages that hold far more than they may: refused before they take time or memory."""

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from ingest.formats import mqtt
from ingest.formats.mapping import Mapping
from ingest.formats.terms import Terms
from ingest.formats.topics import Topics, read_templates
from schemas.columns import Columns
from schemas.errors import Invalid, TooLarge
from tests.unit.influx import BOUNDS, MS, NOW_US

MOST = BOUNDS.max_readings
TERMS = Terms(BOUNDS, NOW_US, Mapping(topics=Topics(read_templates(["s/{device}/{metric}", "any/#"]))))


def decode(payload: Any, topic: str = "s/p/t", most: int = MOST) -> Columns:
    """Decode a payload."""
    terms = replace(TERMS, bounds=replace(BOUNDS, max_readings=most))
    return mqtt.decode(json.dumps(payload).encode(), terms, topic)


@pytest.mark.parametrize(
    ("item", "topic", "named"),
    [
        ({}, "s/p/t", 0),
        ({"ts": MS}, "s/p/t", 0),
        ({"ts": "never", "a": 1}, "s/p/t", MOST),
        ({"a": 1}, "any/x", MOST),
        ({"a": {}, "b": []}, "s/p/t", 0),
    ],
)
def test_objects_without_readings_are_bounded_too(item: Any, topic: str, named: int) -> None:
    parts = max(1, len(item)) if not named and "ts" not in item else 1
    columns = decode([item] * (MOST // parts), topic)
    assert (len(columns), len(columns.rejected), columns.skipped) == (0, named, MOST - named)
    with pytest.raises(TooLarge):
        decode([item] * (MOST // parts + 1), topic)


def test_faults_and_readings_share_one_bound() -> None:
    bad, good = {"ts": "never", "a": 1}, {"a": 1}
    assert len(decode([bad, good] * (MOST // 2))) == MOST // 2
    with pytest.raises(TooLarge):
        decode([*[bad] * MOST, good])
    with pytest.raises(TooLarge):
        decode([{"a": 1, "b": 2}] * (MOST // 2) + [bad])
    with pytest.raises(TooLarge):
        decode([{"metric": "m", "value": 1}] * (MOST + 1))


def test_far_more_parts_than_readings_are_refused_before_they_are_parsed() -> None:
    payload = b"[" + b",".join([b"{}"] * 400_000) + b"]"
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge) as refused:
            mqtt.decode(payload, TERMS, "any/x")
        assert refused.value.limit == "json_parts"
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_key_of_a_megabyte_is_not_copied_for_each_value_below_it() -> None:
    payload = {"k" * 1_000_000: {f"a{number}": 1 for number in range(40)}}
    terms = replace(TERMS, mapping=replace(TERMS.mapping, separator=_Counting(".")))
    columns = mqtt.decode(json.dumps(payload).encode(), terms, "s/p/t")
    assert [fault.code for fault in columns.rejected] == ["name_invalid"] * 40
    assert 0 < _Counting.longest < 1_000
    longest = {"k" * 126: 1}
    assert len(decode(longest)) == 1, "with the topic's metric and the separator it fits just so"
    assert [fault.code for fault in decode({"k" * 127: 1}).rejected] == ["name_invalid"]


class _Counting(str):
    """A separator that remembers what was joined by it."""

    __slots__ = ()
    longest = 0

    def join(self, parts: Any, /) -> str:
        joined = super().join(parts)
        _Counting.longest = max(_Counting.longest, len(joined))
        return joined


def test_a_list_of_our_own_batches_is_bounded_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        decode([{"device": "p", "readings": []}] * (MOST + 1))
    with pytest.raises(Invalid):
        decode([{"device": "q", "readings": []}])
