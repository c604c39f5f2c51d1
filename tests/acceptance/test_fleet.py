"""`GET /v1/fleet`, and how whole answers are sent: ETag, 304, gzip and zstd."""

import json
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from tests.conftest import Server

NOW_MS = time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
async def fleet(shared_server: Server) -> Server:
    """A server with a small fleet."""
    for number in range(25):
        for site in ("A", "B"):
            batch = {"device": f"pump-{number:02}", "labels": {"site": site}, "ts": [NOW_MS - (site == "A")]}
            status, _ = await shared_server.write(batch | {"values": {"hum": [number + (site == "B") / 2]}})
            assert status == 200
        values = {name: [float(number)] for name in ("a", "b", "temperature", "z")}
        await shared_server.write({"device": f"pump-{number:02}", "ts": [NOW_MS], "values": values})
    await shared_server.write({"device": "valve-1", "ts": [NOW_MS], "values": {"open": [1.0]}})
    return shared_server


async def test_devices_come_by_pages_with_their_first_metrics(fleet: Server) -> None:
    seen: list[Any] = []
    cursor = ""
    while cursor is not None:
        _, page = await fleet.call("GET", f"/v1/fleet?limit=10{cursor and f'&cursor={cursor}'}")
        seen += page["items"]
        cursor = page["next"]
    assert [item["device"] for item in seen] == [f"pump-{number:02}" for number in range(25)] + ["valve-1"]
    seventh = seen[7]
    assert seventh["metrics"] == 5
    assert [(value["metric"], value["value"]) for value in seventh["latest"]] == [("a", 7.0), ("b", 7.0), ("hum", 7.5)]
    assert seventh["latest"][2]["labels"] == {"site": "B"}
    assert "spark" not in seventh["latest"][0]
    _, devices = await fleet.call("GET", "/v1/devices?prefix=pump-07")
    assert {name: seventh[name] for name in ("device", "first_seen", "last_seen", "metrics")} == devices["items"][0]


async def test_metrics_are_chosen_by_name_and_drawn_where_asked(fleet: Server) -> None:
    query = "/v1/fleet?prefix=pump-1&metric=temperature&metric=nothing&spark=1h&limit=100"
    status, page = await fleet.call("GET", query)
    assert (status, len(page["items"])) == (200, 10)
    [value] = page["items"][3]["latest"]
    assert (value["metric"], value["value"], len(value["spark"])) == ("temperature", 13.0, 30)
    assert [point for point in value["spark"] if point is not None] == [13.0]
    assert (page["spark"]["step_s"], page["spark"]["points"]) == (120, 30)


async def test_devices_are_asked_for_by_name(fleet: Server) -> None:
    named = "&device=pump-21&device=valve-1&device=pump-03&device=nobody&device=pump-03"
    _, page = await fleet.call("GET", f"/v1/fleet?spark=1h&limit=5000{named}")
    assert [item["device"] for item in page["items"]] == ["pump-03", "pump-21", "valve-1"]
    assert all(len(value["spark"]) == 30 for item in page["items"] for value in item["latest"])
    _, first = await fleet.call("GET", f"/v1/fleet?limit=1{named}")
    _, second = await fleet.call("GET", f"/v1/fleet?limit=5&prefix=pump&cursor={first['next']}{named}")
    assert [item["device"] for item in first["items"] + second["items"]] == ["pump-03", "pump-21"]
    key = await fleet.key("read", device_glob="pump-0*")
    _, page = await fleet.call("GET", f"/v1/fleet?{named}", key=key)
    assert [item["device"] for item in page["items"]] == ["pump-03"]


async def test_a_bound_key_sees_its_own_devices_only(fleet: Server) -> None:
    key = await fleet.key("read", device_glob="pump-?3")
    _, page = await fleet.call("GET", "/v1/fleet", key=key)
    assert [item["device"] for item in page["items"]] == ["pump-03", "pump-13", "pump-23"]
    assert (await fleet.call("GET", "/v1/fleet", key=await fleet.key("ingest")))[0] == 403


@pytest.mark.parametrize("query", ["limit=0", "limit=5001", "latest=11", "spark=2h", "metric=a%00", "cursor=x",
                                   "spark=1h&limit=501&latest=1", "&".join(["metric=a"] * 11), "device=a%00",
                                   "&".join(["device=a"] * 501)])  # fmt: skip
async def test_bad_parameters_are_422(shared_server: Server, query: str) -> None:
    status, answer = await shared_server.call("GET", f"/v1/fleet?{query}")
    assert (status, answer["error_count"]) == (422, 1), answer


@pytest.mark.parametrize("path", ["/v1/fleet?limit=20", "/v1/devices", "/v1/devices/pump-07/latest", "/v1/alerts"])
async def test_an_answer_that_the_client_has_is_304(fleet: Server, path: str) -> None:
    headers = fleet.headers() | {"Accept-Encoding": "identity"}
    async with fleet.http.get(fleet.url + path, headers=headers) as response:
        etag, body = response.headers["ETag"], await response.read()
    assert body
    for known in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
        async with fleet.http.get(fleet.url + path, headers=headers | {"If-None-Match": known}) as response:
            assert (response.status, await response.read()) == (304, b""), known
            assert response.headers["ETag"] == etag
    async with fleet.http.get(fleet.url + path, headers=headers | {"If-None-Match": 'W/"other"'}) as response:
        assert (response.status, await response.read()) == (200, body)


async def test_answers_of_some_length_are_compressed_where_that_is_accepted(fleet: Server) -> None:
    undone: dict[str, Callable[[bytes], bytes]] = {"gzip": _ungzip, "zstd": _unzstd, "identity": bytes}
    bodies = []
    for name, undo in undone.items():
        url, headers = f"{fleet.url}/v1/fleet", fleet.headers() | {"Accept-Encoding": name}
        async with fleet.http.get(url, headers=headers, auto_decompress=False) as response:
            body = await response.read()
            assert response.headers.get("Content-Encoding", "identity") == name
            assert "Accept-Encoding" in response.headers["Vary"]
            bodies.append((undo(body), response.headers["ETag"]))
            assert len(body) < 2_000 or name == "identity"
    assert len(set(bodies)) == 1
    assert len(json.loads(bodies[0][0])["items"]) == 26
    async with fleet.http.get(f"{fleet.url}/v1/fleet?limit=1", headers=fleet.headers()) as response:
        assert "Content-Encoding" not in response.headers


def _unzstd(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


def _ungzip(body: bytes) -> bytes:
    return zlib.decompress(body, 31)
