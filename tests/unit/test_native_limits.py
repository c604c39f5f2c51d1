"""The native decoder's bounds: how much it takes, and what it spends on what it refuses."""

import json
import math
import time
import tracemalloc
from typing import Any

import pytest

from ingest.formats.native import decode
from ingest.formats.times import Bounds
from schemas.errors import Invalid, TooLarge
from tests.unit.native import BOUNDS, MS, read, rows, table


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


@pytest.mark.parametrize("many", [False, True])
def test_a_large_body_with_many_colons_is_read_as_any_other(*, many: bool) -> None:
    batch = rows({}, {"metric": ":" * 99}, {"metric": "m:" * 60}) | {"labels": {str(n): ":" * 200 for n in range(9)}}
    body = json.dumps([batch, batch] if many else batch).encode()
    padded = body + b" " * (1 << 20)
    assert padded.count(b":") > 10 * BOUNDS.max_readings, "or it does not take the way that is meant here"
    assert table(decode(padded, BOUNDS)) == table(decode(body, BOUNDS))


MOST_S = 0.35


def keys(count: int, value: str = "1") -> bytes:
    """Members of an object, no two alike."""
    return ",".join(f'"{number}":{value}' for number in range(count)).encode()


CROWDED = {
    "fields of a reading": b'{"device":"d","readings":[{%b}]}' % keys(100_000),
    "one field of a reading, again and again": b'{"device":"d","readings":[{%b}]}' % b",".join([b'"x":1'] * 100_000),
    "fields of a batch": b'{"device":"d","readings":[],%b}' % keys(100_000),
    "labels": b'{"device":"d","readings":[],"labels":{%b}}' % keys(100_000),
    "one label, again and again": b'{"device":"d","readings":[],"labels":{%b}}' % b",".join([b'"x":1'] * 100_000),
    "columns that are no lists": b'{"device":"d","ts":[],"values":{%b}}' % keys(100_000),
    "columns without cells": b'{"device":"d","ts":[],"values":{%b}}' % keys(100_000, "[]"),
    "fields of all readings": b'{"device":"d","readings":[%b]}' % b",".join([b"{%b}" % keys(40)] * 3_000),
    "fields of all batches": b"[%b]" % b",".join([b"{%b}" % keys(40)] * 1_700),
    "labels of all batches": b"[%b]" % b",".join([b'{"device":"d","labels":{%b}}' % keys(32)] * 3_000),
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

    spent = math.inf
    for _ in range(3):  # the best counts: a processor that is shared computes more slowly
        started = time.process_time()
        assert refused()
        spent = min(spent, time.process_time() - started)
        if spent < MOST_S:
            break
    tracemalloc.start()
    try:
        refused()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # An error for every key took twice as long, and 70 bytes for each of the body.
    assert spent < MOST_S
    assert peak < 40 * len(body)
