"""SenML at the native path, request by request: by both ways, in JSON and CBOR, whole or in part."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import Server
from tests.unit import test_senml_packs, test_thingsboard
from tests.unit.senml import as_cbor

JSON, CBOR = "application/senml+json", "application/senml+cbor"


async def send(
    server: Server, body: Any, kind: str = JSON, key: str | None = None, **params: str
) -> tuple[int, Any, Mapping[str, str]]:
    """Send a pack; gives status, document and headers."""
    raw = body if isinstance(body, bytes) else as_cbor(body) if kind == CBOR else json.dumps(body).encode()
    headers = server.headers(key) | {"Content-Type": kind}
    async with server.http.post(f"{server.url}/v1/readings", data=raw, headers=headers, params=params) as response:
        return response.status, await response.json(content_type=None), response.headers


async def stored(server: Server, device: str) -> list[tuple[str, str, float]]:
    """What SQL users see of a device."""
    query = "SELECT metric, labels::text, value FROM telemetry WHERE device = $1 ORDER BY metric, ts, value"
    return [(record[0], record[1], record[2]) for record in await server.fetch(query, device)]


def pack(device: str, turn: int, base: float) -> list[dict[str, Any]]:
    """Two records with a value, one with a text."""
    return [
        {"bn": f"urn:dev:ow:{device}:", "bt": base + turn, "bu": "Cel", "n": "t", "v": 20.5 + turn},
        {"n": "on", "u": "/", "vb": True},
        {"n": "state", "vs": "idle"},
    ]


@pytest.mark.parametrize("kind", [JSON, CBOR])
async def test_packs_are_stored_by_both_ways_and_say_what_was_skipped(shared_server: Server, kind: str) -> None:
    device, base = kind[-4:], time.time() - 60
    for turn in range(3):  # the first makes the series, on the long way; the others take the short one
        for duplicates in (0, 2):
            status, answer, headers = await send(shared_server, pack(device, turn, base), kind)
            wanted = {"accepted": 2 - duplicates, "duplicates": duplicates, "skipped": 1}
            assert (status, answer, headers["X-Sluice-Skipped"]) == (200, wanted, "1")
    assert await stored(shared_server, f"urn:dev:ow:{device}") == [
        *[("on", '{"unit": "/"}', 1.0)] * 3,
        *[("t", '{"unit": "Cel"}', 20.5 + turn) for turn in range(3)],
    ]


async def test_a_bad_record_refuses_all_unless_partial_is_asked_for(shared_server: Server) -> None:
    body = [{"n": "b/t", "v": 1}, {"n": "b/t", "v": "x"}, {"n": "b/t", "t": 5e9, "v": 2}]
    for kind in (JSON, CBOR):
        for _ in range(2):
            status, answer, _ = await send(shared_server, body, kind)
            assert (status, answer["error_count"]) == (422, 2)
            assert [(each["loc"], each["code"]) for each in answer["errors"]] == [
                ([1, "v"], "value_type"), ([2, "t"], "ts_in_future"),
            ]  # fmt: skip
    assert await stored(shared_server, "b") == []
    status, answer, _ = await send(shared_server, body, partial="true")
    assert (status, answer["accepted"], answer["rejected_count"]) == (200, 1, 2)
    assert (await send(shared_server, body))[0] == 422, "also where its series is known"
    assert await stored(shared_server, "b") == [("t", "{}", 1.0)]
    replaced = [{"n": "b/r", "t": time.time(), "v": 1}]
    assert (await send(shared_server, replaced))[1] == {"accepted": 1, "duplicates": 0}
    assert (await send(shared_server, [replaced[0] | {"v": 2}], on_conflict="replace"))[1]["duplicates"] == 1
    assert ("r", "{}", 2.0) in await stored(shared_server, "b")


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"[", JSON, 400, "malformed"), (b"\x81", CBOR, 400, "malformed"), (b"\x81" * 9_000, CBOR, 400, "malformed"),
        (b"\x9b" + b"\x7f" * 8, CBOR, 400, "malformed"), ({"n": "c/t", "v": 1}, JSON, 422, "invalid"),
        ([{"n": "c/t", "v": 1, "must_": 1}], CBOR, 422, "invalid"), ([{"bver": 11}], JSON, 422, "invalid"),
        ([{"n": "c/t", "t": -n, "v": 1} for n in range(10_001)], CBOR, 413, "too_large"),
        (b"[]", "application/sensml+json", 415, "unsupported_media_type"),
    ],
    ids=["cut", "cut CBOR", "deep", "lying", "an object", "not understood", "version", "too many", "a stream"],
)  # fmt: skip
async def test_refusals_are_the_native_ones(
    shared_server: Server, body: Any, kind: str, status: int, code: str
) -> None:
    for _ in range(2):
        answered, answer, headers = await send(shared_server, body, kind)
        assert (answered, answer["code"], headers["Content-Type"]) == (status, code, "application/problem+json")
    assert await stored(shared_server, "c") == []


async def test_devices_of_others_quotas_and_a_dry_run(shared_server: Server) -> None:
    key = await shared_server.key("ingest", device_glob="d", quota_readings_per_s=1)
    assert (await send(shared_server, [{"n": "e/t", "v": 1}], key=key))[0] == 403
    answers = [await send(shared_server, [{"n": "t", "v": 1}], CBOR, key) for _ in range(4)]
    assert {status for status, _, _ in answers} == {200, 429}
    assert all(int(headers["Retry-After"]) >= 1 for status, _, headers in answers if status == 429)
    assert {metric for metric, _, _ in await stored(shared_server, "d")} == {"t"}
    url = f"{shared_server.url}/v1/dry-run?format=senml"
    body = [{"bn": "urn:dev:mac:24befffe804ff1_", "n": "temp", "u": "Cel", "v": 1}, {"n": "x y", "v": 1}]
    for raw, kind in (
        (json.dumps(body).encode(), JSON),
        (as_cbor(body), CBOR),
        (json.dumps(body).encode(), "text/plain"),
    ):
        headers = shared_server.headers() | {"Content-Type": kind}
        async with shared_server.http.post(url, data=raw, headers=headers) as response:
            tried = await response.json()
            assert (response.status, tried["count"], tried["rejected"][0]["loc"]) == (200, 1, [1, "n"])
            shown = tried["readings"][0]
            assert (shown["device"], shown["metric"]) == ("urn:dev:mac:24befffe804ff1", "temp")
            assert shown["labels"] == {"unit": "Cel"}
    async with shared_server.http.get(f"{shared_server.url}/metrics", headers=shared_server.headers()) as response:
        assert 'sluice_values_skipped_total{format="senml"}' in await response.text()


async def test_thousands_of_mutated_bodies_are_never_a_5xx(shared_server: Server) -> None:
    chance, key = random.Random(10), await shared_server.key("ingest", device_glob="f")
    seeds = [(JSON, json.dumps(test_senml_packs.SEED).encode()), (CBOR, as_cbor(test_senml_packs.SEED))]
    seeds.append(("", test_thingsboard.SEED))
    met: Counter[int] = Counter()

    async def one(kind: str, seed: bytes) -> None:
        url = "/v1/readings" if kind else f"/api/v1/{key}/telemetry"
        headers = shared_server.headers(key) | {"Content-Type": kind} if kind else {}
        raw = test_thingsboard.mutated(chance, seed)
        async with shared_server.http.post(shared_server.url + url, data=raw, headers=headers) as response:
            assert len(await response.read()) <= 4_096
            met[response.status] += 1

    for _ in range(60):
        await asyncio.gather(*(one(*chance.choice(seeds)) for _ in range(50)))
    assert set(met) <= {200, 400, 403, 413, 422}, met
    assert (await send(shared_server, [{"n": "t", "v": 1}], key=key))[0] == 200
