"""Contract §3, 200: what is counted and what is stored after it, bit by bit."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import zstandard

from tests.acceptance.posting import batch, now_ms, post, stored
from tests.conftest import Server


async def test_200_counts_what_is_new_and_what_is_not(server: Server) -> None:
    before = await stored(server)
    good = batch(3)
    assert (await post(server, good))[:2] == (200, {"accepted": 3, "duplicates": 0})
    assert await stored(server) == before + 3
    for _ in range(3):
        assert (await post(server, good))[:2] == (200, {"accepted": 0, "duplicates": 3})
    longer = good | {"readings": [*good["readings"], *good["readings"][:1], *batch(1)["readings"]]}
    assert (await post(server, longer))[:2] == (200, {"accepted": 1, "duplicates": 4})
    assert await stored(server) == before + 4


async def test_200_the_first_value_stays_and_with_replace_the_last(server: Server) -> None:
    ts = now_ms()

    def valued(value: float) -> dict[str, Any]:
        return {"device": "pump-7", "ts": [ts], "values": {"temperature": [value]}}

    async def value() -> float:
        at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ts)
        return float((await server.fetch("SELECT value FROM telemetry WHERE ts = $1", at))[0]["value"])

    assert (await post(server, valued(1)))[1] == {"accepted": 1, "duplicates": 0}
    assert (await post(server, valued(2)))[1] == {"accepted": 0, "duplicates": 1}
    assert await value() == 1
    assert (await post(server, valued(3), on_conflict="replace"))[1] == {"accepted": 0, "duplicates": 1}
    assert await value() == 3
    two = {"device": "pump-7", "ts": [ts, ts], "values": {"temperature": [4, 5]}}
    assert (await post(server, two, on_conflict="replace"))[1] == {"accepted": 0, "duplicates": 2}
    assert await value() == 5


async def test_200_partial_leaves_out_what_is_invalid_and_says_so(server: Server) -> None:
    before = await stored(server)
    mixed = batch(3)
    mixed["readings"][1] |= {"value": "21.5"}
    mixed["readings"].append({"ts": now_ms() + 700_000, "metric": "temperature", "value": 1})
    status, answer, _ = await post(server, mixed, partial="true")
    assert (status, answer["accepted"], answer["duplicates"], answer["rejected_count"]) == (200, 2, 0, 2)
    assert {(tuple(fault["loc"]), fault["code"], fault["retryable"]) for fault in answer["rejected"]} == {
        (("readings", 1, "value"), "value_type", False),
        (("readings", 3, "ts"), "ts_in_future", True),
    }
    assert await stored(server) == before + 2


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "identity"])
async def test_200_in_every_encoding(server: Server, encoding: str) -> None:
    plain = json.dumps(batch(5)).encode()
    packed = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}.get(encoding, bytes)(plain)
    assert (await post(server, packed, {"Content-Encoding": encoding}))[1] == {"accepted": 5, "duplicates": 0}


async def test_200_bit_by_bit(server: Server) -> None:
    values = [-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2**53 + 1]
    start = now_ms()
    body = {"device": "exact", "ts": [start + place for place in range(5)], "values": {"v": values}}
    assert (await post(server, body))[0] == 200
    found = await server.fetch("SELECT value FROM telemetry WHERE device = 'exact' ORDER BY ts")
    assert [record["value"].hex() for record in found] == [float(value).hex() for value in values]
