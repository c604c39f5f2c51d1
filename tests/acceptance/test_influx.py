"""InfluxDB's doors, request by request: what is stored, what is answered, and what never gets into a log."""

import gzip
import json
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import Server, StartServer

V2, V1 = "/api/v2/write?org=o&bucket=b&precision=ms", "/write?db=telegraf&precision=ms"
Headers = dict[str, str]


def now_ms() -> int:
    """Now, in the precision of these tests."""
    return time.time_ns() // 1_000_000


async def send(
    server: Server, path: str, body: bytes, headers: Headers | None = None, method: str = "POST"
) -> tuple[int, Any, Mapping[str, str]]:
    """Send line protocol; gives status, document (None where there is none) and headers."""
    given = server.headers() if headers is None else headers
    async with server.http.request(method, server.url + path, data=body, headers=given) as response:
        text = await response.text()
        return response.status, json.loads(text) if text else None, response.headers


async def stored(server: Server, device: str) -> list[tuple[str, str, float]]:
    """What SQL users see of a device: metric, labels, value."""
    query = "SELECT metric, labels::text, value FROM telemetry WHERE device = $1 ORDER BY metric, ts"
    return [tuple(record) for record in await server.fetch(query, device)]


@pytest.mark.parametrize("path", [V2, V1])
async def test_lines_are_stored_under_the_contracts_names_by_both_ways(shared_server: Server, path: str) -> None:
    device = f"a{len(path)}"
    wanted = []
    for turn in range(3):  # the first makes the series, on the long way; the others take the short one
        body = f"cpu,cpu=cpu0,host={device} usage_idle={turn}.5,up=t {now_ms() + turn}\nload,host={device} value=3i\n"
        status, answer, headers = await send(shared_server, path, body.encode())
        assert (status, answer) == (204, None)
        assert headers["X-Influxdb-Version"]
        wanted.append(turn + 0.5)
    found = await stored(shared_server, device)
    assert [
        value for metric, labels, value in found if (metric, labels) == ("cpu.usage_idle", '{"cpu": "cpu0"}')
    ] == wanted
    assert [value for metric, labels, value in found if metric == "load"] == [3.0] * 3


@pytest.mark.parametrize("path", [V2, V1])
async def test_a_partial_write_stores_the_good_lines_and_names_the_first_bad_one(
    shared_server: Server, path: str
) -> None:
    device = f"b{len(path)}"
    body = f"m,host={device} v=1 {now_ms()}\nm,host={device} v=nan\n\nm,host={device} w=2\nm,host={device} v=x\n"
    for _ in range(2):
        status, answer, _ = await send(shared_server, path, body.encode())
        assert (status, answer["code"], answer["line"]) == (400, "invalid", 2)
        text = answer["message"] if path == V2 else answer["error"]
        assert text.startswith("partial write: ")
        assert "line 2: a value must be finite (and 1 more)" in text
    assert {metric for metric, _, _ in await stored(shared_server, device)} == {"m.v", "m.w"}


async def test_a_body_with_a_bad_line_is_decoded_once_and_counted(start_server: StartServer) -> None:
    server = await start_server(workers=1)

    async def counters() -> dict[str, float]:
        async with server.http.get(f"{server.url}/metrics", headers=server.headers()) as response:
            lines = [line.rpartition(" ") for line in (await response.text()).splitlines() if line[0] != "#"]
        return {name: float(value) for name, _, value in lines}

    async def write(*lines: str) -> None:
        assert (await send(server, V2, "\n".join(lines).encode()))[0] == 400

    await write("m,host=once v=1", "m v=2")  # makes the series
    before = await counters()
    for turn in range(5):
        await write("m,host=once v=bad", 'm,host=once v="text"')
        await write(f"m,host=once v=1 {now_ms() + turn}", "m,host=once v=nan", "m v=2")
    after = await counters()
    decoded, rejected = 'sluice_decoded_total{format="influx"}', "sluice_readings_rejected_total"
    assert after[decoded] - before[decoded] == 10
    assert after[rejected] - before[rejected] == 15
    assert after['sluice_values_skipped_total{format="influx"}'] == 5
    assert len(await stored(server, "once")) == 6


async def test_asking_takes_a_request_of_the_quota(shared_server: Server) -> None:
    headers = shared_server.headers(await shared_server.key("ingest", quota_requests_per_s=1))
    answers = [await send(shared_server, "/query?q=SHOW+DATABASES", b"", headers) for _ in range(4)]
    assert {status for status, _, _ in answers} == {200, 429}
    assert all(int(told["Retry-After"]) >= 1 for status, _, told in answers if status == 429)


async def test_text_is_skipped_with_success_and_counted(shared_server: Server) -> None:
    for turn in range(2):
        body = f'm,host=c v={turn},state="a, b=c\nd",other="x" {now_ms() + turn}'
        status, _, headers = await send(shared_server, V2, body.encode())
        assert (status, headers["X-Sluice-Skipped"]) == (204, "2")
    assert [value for _, _, value in await stored(shared_server, "c")] == [0, 1]
    async with shared_server.http.get(f"{shared_server.url}/metrics", headers=shared_server.headers()) as response:
        text = await response.text()
    assert 'sluice_values_skipped_total{format="influx"} 4.0' in text
    assert 'sluice_decoded_total{format="influx"}' in text
    assert 'sluice_names_bytes{format="influx"}' in text


async def test_every_way_of_showing_a_key(shared_server: Server) -> None:
    key = await shared_server.key("ingest")
    basic = b64encode(f"anybody:{key}".encode()).decode()
    ways: list[tuple[str, Headers]] = [
        (V2, {"Authorization": f"Token {key}"}),
        (V2, {"Authorization": f"Bearer {key}"}),
        (V1, {"Authorization": f"Basic {basic}"}),
        (V1, {"Authorization": f"Token anybody:{key}"}),
        (f"{V1}&u=anybody&p={key}", {}),
    ]
    for path, headers in ways * 2:
        assert (await send(shared_server, path, b"m,host=d v=1", headers))[0] == 204, (path, headers)
    for path, headers in [
        (V2, {}),
        (f"{V2}&p={key}", {}),
        (f"{V1}&p=slk_a_wrong", {}),
        (V1, {"Authorization": "Basic !"}),
    ]:
        status, answer, _ = await send(shared_server, path, b"m,host=d v=1", headers)
        assert (status, answer["code"]) == (401, "unauthorized")
    assert (await send(shared_server, f"/v1/readings?p={key}", b"{}", {}))[0] == 401


async def test_the_keys_own_device_stands_in_and_others_are_forbidden(shared_server: Server) -> None:
    key = await shared_server.key("ingest", device_glob="boiler")
    headers = {"Authorization": f"Token {key}"}
    assert (await send(shared_server, V2, b"temperature value=1", headers))[0] == 204
    assert await stored(shared_server, "boiler") == [("temperature", "{}", 1.0)]
    status, answer, _ = await send(shared_server, V2, b"temperature,host=other value=1", headers)
    assert (status, answer["code"]) == (403, "forbidden")
    status, answer, _ = await send(shared_server, V2, b"temperature value=1")
    assert (status, answer["line"]) == (400, 1)
    assert "bind the key to a device" in answer["message"]


async def test_gzip_of_many_members_the_empty_body_and_what_is_refused_whole(shared_server: Server) -> None:
    members = b"".join(gzip.compress(f"m,host=e v={turn} {now_ms() + turn}\n".encode()) for turn in range(3))
    headers = shared_server.headers() | {"Content-Encoding": "gzip"}
    assert (await send(shared_server, V2, members, headers))[0] == 204
    assert len(await stored(shared_server, "e")) == 3
    for path in (V1, V2):
        assert (await send(shared_server, path, b""))[0] == 204  # Home Assistant asks so whether it may write
        for body, given, wanted in [
            (members[:-3], headers, (400, "invalid")),
            (b"m,host=e v=1", shared_server.headers() | {"Content-Encoding": "br"}, (415, "invalid")),
            (b"m,host=e v=1\n" * 10_001, None, (413, "request too large")),
        ]:
            status, answer, _ = await send(shared_server, path, body, given)
            assert (status, answer["code"]) == wanted
    status, answer, _ = await send(shared_server, "/write?precision=d", b"m,host=e v=1")
    assert (status, answer["error"].partition(" is one of ")[0]) == (400, "unable to parse: the precision")
    assert len(await stored(shared_server, "e")) == 3


async def test_what_clients_ask_before_they_write(shared_server: Server) -> None:
    for method in ("GET", "HEAD"):
        status, _, headers = await send(shared_server, "/ping", b"", {}, method)
        assert (status, "X-Influxdb-Version" in headers, "X-Influxdb-Build" in headers) == (204, True, True)
    assert (await send(shared_server, "/ping?verbose=true", b"", {}, "GET"))[0] == 200
    status, answer, _ = await send(shared_server, "/health", b"", {}, "GET")
    assert (status, answer["status"]) == (200, "pass")
    for method, path, body in [
        ("POST", "/query?q=CREATE+DATABASE+%22telegraf%22", b""),
        ("POST", "/query", b"q=create+database+telegraf"),
        ("GET", "/query?q=SHOW+DATABASES", b""),
    ]:
        headers = shared_server.headers() | {"Content-Type": "application/x-www-form-urlencoded"}
        status, answer, _ = await send(shared_server, path, body, headers, method)
        assert (status, answer["results"][0]["statement_id"]) == (200, 0)
    status, answer, _ = await send(shared_server, "/query?q=DROP+DATABASE+a", b"", None, "GET")
    assert (status, "only CREATE DATABASE" in answer["error"]) == (400, True)
    assert (await send(shared_server, "/query?q=SHOW+DATABASES", b"", {}, "GET"))[0] == 401


async def test_a_statement_is_bounded_and_a_bad_one_is_never_a_5xx(shared_server: Server) -> None:
    headers = shared_server.headers() | {"Content-Type": "application/x-www-form-urlencoded"}
    for path, body, wanted in [
        ("/query", b"&".join([b"a=1"] * 60), 400),  # more than a form of any client
        ("/query?" + "&".join(["a=1"] * 60), b"", 400),
        ("/query", b"q=%ff%00", 400),
        ("/query", b"q=" + b" " * 100_000, 413),
    ]:
        assert (await send(shared_server, path, body, headers))[0] == wanted, (path[:20], body[:20])


async def test_a_dry_run_says_how_lines_are_read_and_stores_nothing(shared_server: Server) -> None:
    body = f'm,host=dry,x=1 v=1,s="t",value=2 {now_ms()}\nm v=1\n'.encode()
    status, answer, _ = await send(shared_server, "/v1/dry-run?format=influx&precision=ms", body)
    assert status == 200
    assert [(each["device"], each["metric"], each["labels"], each["value"]) for each in answer["readings"]] == [
        ("dry", "m.v", {"x": "1"}, 1.0),
        ("dry", "m", {"x": "1"}, 2.0),
    ]
    assert (answer["count"], answer["skipped"], answer["rejected_count"], answer["forbidden"]) == (2, 1, 1, [])
    assert answer["rejected"][0]["loc"] == ["line", 2]
    assert await stored(shared_server, "dry") == []
    assert (await send(shared_server, "/v1/dry-run?format=pigeon", body))[0] == 422
    reader = await shared_server.key("read")
    assert (await send(shared_server, "/v1/dry-run?format=influx", body, shared_server.headers(reader)))[0] == 403


async def test_a_key_in_a_url_is_in_no_log(start_server: StartServer, capfd: pytest.CaptureFixture[str]) -> None:
    server = await start_server(workers=1, log_level="debug", log_format="json")
    key = await server.key("ingest")
    for secret in (key, "slk_abc_wrongwrongwrong", "plain-password"):
        for path in ("/write", "/query", "/write/none", "/ping"):
            for body in (b"m,host=a v=1", b"m v=x"):
                await send(server, f"{path}?db=a&q=x&u=anybody&p={secret}", body, {})
    out, err = capfd.readouterr()
    assert "refused" in err
    for secret in (key, key.rpartition("_")[2], "wrongwrongwrong", "plain-password"):
        assert secret not in out + err
