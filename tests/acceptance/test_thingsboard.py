"""ThingsBoard's door, request by request: what is stored, what is answered, and that no key is written down."""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import Server, StartServer


def now_ms() -> int:
    """Now."""
    return time.time_ns() // 1_000_000


async def send(
    server: Server, key: str, body: Any, route: str = "telemetry", method: str = "POST"
) -> tuple[int, str, Mapping[str, str]]:
    """Send a body as a device does, with no more than its key in the path; gives status, text and headers."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"{server.url}/api/v1/{key}/{route}"
    async with server.http.request(method, url, data=raw, skip_auto_headers=["Content-Type"]) as response:
        return response.status, await response.text(), response.headers


async def stored(server: Server, device: str) -> list[tuple[str, float]]:
    """What SQL users see of a device."""
    query = "SELECT metric, value FROM telemetry WHERE device = $1 ORDER BY metric, ts, value"
    return [(record[0], record[1]) for record in await server.fetch(query, device)]


async def test_telemetry_is_the_keys_own_devices_by_both_ways(shared_server: Server) -> None:
    key, base = await shared_server.key("ingest", device_glob="a"), now_ms()
    for turn in range(3):  # the first makes the series, on the long way; the others take the short one
        body = [{"ts": base + turn, "values": {"t": turn, "on": True}}, {"ts": base + turn, "values": {"s": "2.5"}}]
        assert (await send(shared_server, key, body))[:2] == (200, "")
    assert await stored(shared_server, "a") == [("on", 1.0)] * 3 + [("s", 2.5)] * 3 + [
        ("t", float(n)) for n in range(3)
    ]
    for bad in ([{"t": 99}, {"ts": 5, "values": {"t": 99}}], b'{"t": 99, "on": NaN}'):  # also where all is known
        assert (await send(shared_server, key, bad))[0] == 400
    for _ in range(2):
        status, text, headers = await send(shared_server, key, {"t": 7, "name": "x", "list": [1]})
        assert (status, text, headers["X-Sluice-Skipped"]) == (200, "", "2")
    assert [value for metric, value in await stored(shared_server, "a") if metric == "t"] == [0.0, 1.0, 2.0, 7.0, 7.0]


async def test_attributes_are_metrics_of_their_own(shared_server: Server) -> None:
    key = await shared_server.key("ingest", device_glob="b")
    status, text, headers = await send(shared_server, key, {"capacity": 2500, "fw": "1.2.3"}, "attributes")
    assert (status, text, headers["X-Sluice-Skipped"]) == (200, "", "1")
    assert await stored(shared_server, "b") == [("attributes.capacity", 2500.0)]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ([{"t": 1}, {"ts": 5, "values": {"t": 1}}], 400, "1.ts: an integer time is milliseconds"),
        (b"{", 400, "Invalid JSON"), (b"", 400, "Invalid JSON"), ([1], 400, "0: send"),
        (b'{"t": NaN}', 400, "finite"), ([{"t": n} for n in range(10_001)], 413, "10000"),
    ],
    ids=["a bad time", "no JSON", "empty", "no object", "not finite", "too many"],
)  # fmt: skip
async def test_one_bad_value_refuses_all(shared_server: Server, body: Any, status: int, says: str) -> None:
    key = await shared_server.key("ingest", device_glob="c")
    answered, text, headers = await send(shared_server, key, body)
    assert (answered, headers["Content-Type"]) == (status, "application/json")
    document = json.loads(text)
    assert (document["status"], says in document["message"]) == (status, True), text
    assert await stored(shared_server, "c") == []


async def test_who_may_not_is_told_so_in_thingsboards_words(shared_server: Server) -> None:
    read, many = await shared_server.key("read"), await shared_server.key("ingest", device_glob="pump-*")
    for key, status, says in (
        ("A1_TEST_TOKEN", 401, "valid API key"),
        ("slk_zzzz_" + "A" * 32, 401, "valid API key"),
        (read, 403, "lacks the scope"),
        (many, 400, "bind the key to one"),
    ):
        answered, text, _ = await send(shared_server, key, {"t": 1})
        assert (answered, json.loads(text)["status"], says in text) == (status, status, True), text
    key = await shared_server.key("ingest", device_glob="d")
    routes = {"rpc": "GET", "claim": "POST", "attributes?sharedKeys=a": "GET", "attributes/updates": "GET",
              "firmware?title=x&version=1": "GET", "software": "GET"}  # fmt: skip
    for route, method in routes.items():
        answered, text, headers = await send(shared_server, key, b"", route, method)
        assert (answered, headers["Content-Type"]) == (404, "application/json"), route
        assert "telemetry and attributes by POST" in json.loads(text)["message"]
        assert (await send(shared_server, "nobody", b"", route, method))[0] == 401


async def test_a_quota_is_429_and_a_dry_run_reads_the_same(shared_server: Server) -> None:
    key = await shared_server.key("ingest", device_glob="e", quota_readings_per_s=1)
    answers = [await send(shared_server, key, {"t": 1}) for _ in range(4)]
    assert {status for status, _, _ in answers} == {200, 429}
    assert all(int(headers["Retry-After"]) >= 1 for status, _, headers in answers if status == 429)
    own = shared_server.headers(await shared_server.key("ingest", device_glob="dry"))
    url, body = f"{shared_server.url}/v1/dry-run?format=thingsboard", {"t": 1, "x": "y", "n": {"m": "2"}}
    async with shared_server.http.post(url, json=body, headers=own) as response:
        tried = await response.json()
        shown = [(each["device"], each["metric"], each["value"]) for each in tried["readings"]]
        assert (response.status, shown, tried["skipped"]) == (200, [("dry", "t", 1.0), ("dry", "n.m", 2.0)], 1)
    async with shared_server.http.post(url + "-attributes", json=body, headers=own) as response:
        assert (await response.json())["readings"][0]["metric"] == "attributes.t"
    async with shared_server.http.post(url, json=[{"ts": 5, "values": {"t": 1}}, {"t": 1}], headers=own) as response:
        tried = await response.json()
        assert (tried["count"], tried["rejected_count"], tried["rejected"][0]["loc"]) == (1, 1, [0, "ts"])
    assert await stored(shared_server, "dry") == []


async def test_the_key_is_written_down_nowhere(start_server: StartServer, capfd: pytest.CaptureFixture[str]) -> None:
    server = await start_server(workers=1, log_level="debug", log_format="json", receive_s=0.5)
    key, tokens = await server.key("ingest", device_glob="f"), ("A1_TEST_TOKEN_OF_SOMEBODY", "s3cret%2Ftoken~")
    answers = []
    for token in (key, key + "x", key.replace("_", "%5F", 1), *tokens):
        for route, method in (("telemetry", "POST"), ("rpc", "GET"), ("attributes", "POST"), ("nonsense", "GET")):
            answers.append(await send(server, token, b'{"t": ', route, method))
    assert {status for status, _, _ in answers} == {400, 401, 404}
    # What is answered below the app: a body that does not come, a URL that is too long, a head that is none.
    with_body = f"POST /api/v1/{key}/telemetry HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{{"
    assert b" 503 " in await raw(server, with_body)
    assert b" 414 " in await raw(server, f"POST /api/v1/{tokens[0]}/{'x' * 70_000} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b" 400 " in await raw(server, f"POST /api/v1/{tokens[0]}/telemetry HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    async with server.http.get(f"{server.url}/metrics", headers=server.headers()) as response:
        metrics = await response.text()
    assert 'sluice_requests_refused_total{code="malformed",status="400"}' in metrics
    out, err = capfd.readouterr()
    assert "/api/v1/{key}/telemetry" in err
    written = out + err + metrics + "".join(text for _, text, _ in answers)
    for secret in (key.split("_", 2)[2], "A1_TEST_TOKEN", "s3cret"):
        assert not re.search(re.escape(secret), written), secret


async def raw(server: Server, request: str) -> bytes:
    """The answer to bytes, until the other side hangs up."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode())
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer
