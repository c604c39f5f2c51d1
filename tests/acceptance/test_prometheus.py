"""Prometheus's door, request by request: what is stored, what is answered, in which words."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping

import pytest
import zstandard
from cramjam import snappy

from ingest.foreign.prometheus import MEDIA_TYPE, MESSAGE
from tests.conftest import Server, StartServer
from tests.unit.prometheus import Series, body

PATH = "/api/v1/write"
KIND = {
    "Content-Type": MEDIA_TYPE,
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
WRITTEN = "X-Prometheus-Remote-Write-Samples-Written"


def now_ms() -> int:
    """Now."""
    return time.time_ns() // 1_000_000


def up(device: str, value: float = 1.0, time: int | None = None) -> Series:
    """A sample."""
    return [("__name__", "up"), ("instance", device), ("job", "x")], [(value, time or now_ms())]


def packed(*series: Series) -> bytes:
    """A body as Prometheus sends it."""
    return bytes(snappy.compress_raw(body(*series)))


async def send(
    server: Server, raw: bytes, headers: Mapping[str, str] | None = None
) -> tuple[int, str, Mapping[str, str]]:
    """Send a body; gives status, text and headers."""
    given = KIND | server.headers() | dict(headers or {})
    shown = {name: value for name, value in given.items() if value}
    async with server.http.post(
        server.url + PATH, data=raw, headers=shown, skip_auto_headers=["Content-Type"]
    ) as response:
        return response.status, await response.text(), response.headers


async def stored(server: Server, device: str) -> list[tuple[str, str, float]]:
    """What SQL users see of a device."""
    query = "SELECT metric, labels::text, value FROM telemetry WHERE device = $1 ORDER BY metric, ts, value"
    return [tuple(record) for record in await server.fetch(query, device)]


async def test_samples_are_stored_by_both_ways_and_in_any_order(shared_server: Server) -> None:
    base = now_ms()
    for turn in (2, 1, 3):  # the first makes the series, on the long way; the others take the short one
        status, text, headers = await send(
            shared_server, packed(up("a:1", turn, base + turn), up("b:1", 0, base + turn))
        )
        assert (status, text, headers[WRITTEN]) == (204, "", "2")
    assert await stored(shared_server, "a:1") == [("up", '{"job": "x"}', float(value)) for value in (1, 2, 3)]
    assert await stored(shared_server, "b:1") == [("up", '{"job": "x"}', 0.0)] * 3
    status, _, headers = await send(shared_server, packed(up("a:1", 9, base + 1)))
    assert (status, headers[WRITTEN]) == (204, "1"), "a retry is written, says the protocol"


async def test_what_is_no_reading_is_skipped_and_what_is_bad_is_left_out(shared_server: Server) -> None:
    for turn in range(2):
        good, nan = up("c:1", turn), up("c:2", float("nan"))
        status, _, headers = await send(shared_server, packed(good, nan))
        assert (status, headers["X-Sluice-Skipped"], headers[WRITTEN]) == (204, "1", "1")
        nameless = ([("__name__", "up")], [(1.0, now_ms())])
        status, text, headers = await send(shared_server, packed(up("c:1", turn + 10), nameless, up("c:1", 1, 5)))
        assert (status, headers[WRITTEN], headers["Content-Type"]) == (400, "1", "text/plain; charset=utf-8")
        assert text.startswith("partial write: 1 samples stored, 2 not")
        assert "bind the key to a device" in text
    assert [value for _, _, value in await stored(shared_server, "c:1")] == [0.0, 10.0, 1.0, 11.0]
    assert (await send(shared_server, packed(up("c:2", float("inf")))))[0] == 204
    assert (await send(shared_server, b"\0"))[0] == 204  # as a request with nothing but metadata
    assert await stored(shared_server, "c:2") == []


async def test_ways_of_showing_a_key_and_other_encodings(shared_server: Server) -> None:
    key = await shared_server.key("ingest", device_glob="d:*")
    basic = b64encode(f"anybody:{key}".encode()).decode()
    ways = [
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"Basic {basic}"},
        {"Content-Encoding": "", "Content-Type": ""},
        {"Content-Type": f"{MEDIA_TYPE};proto={MESSAGE}"},
    ]
    for way in ways * 2:
        assert (await send(shared_server, packed(up("d:1")), way))[0] == 204, way
    zstd = zstandard.compress(body(up("d:1")))
    assert (await send(shared_server, zstd, {"Content-Encoding": "zstd"}))[0] == 204
    status, text, _ = await send(shared_server, packed(up("e:1")), ways[0])
    assert (status, text) == (403, "This key may not do that. (this key is bound to other devices)\n")


@pytest.mark.parametrize(
    ("raw", "headers", "status", "says"),
    [
        (packed(up("f:1")), {"Authorization": "Bearer slk_a_wrong"}, 401, "valid API key"),
        (packed(up("f:1")), {"Authorization": ""}, 401, "valid API key"),
        (packed(up("f:1")), {"Content-Encoding": "gzip"}, 415, "snappy or zstd"),
        (packed(up("f:1")), {"Content-Type": f"{MEDIA_TYPE};proto=io.prometheus.write.v2.Request"}, 415, "1.0"),
        (packed(up("f:1"))[:-1], {}, 400, "snappy"),
        (b"", {}, 400, "snappy"),
        (bytes(snappy.compress_raw(b"{}")), {}, 400, "Protocol Buffers"),
        (b"\xff\xff\xff\xff\x0f", {}, 413, "body_bytes"),
        (packed(*[up("f:1")] * 10_001), {}, 413, "readings"),
    ],
    ids=["wrong key", "no key", "gzip", "2.0", "cut", "empty", "no message", "a length that lies", "too many samples"],
)  # fmt: skip
async def test_refusals_are_a_line_of_text(
    shared_server: Server, raw: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    for _ in range(2):
        answered, text, given = await send(shared_server, raw, headers)
        assert (answered, given["Content-Type"]) == (status, "text/plain; charset=utf-8")
        assert (text.count("\n"), says in text) == (1, True), text
    assert await stored(shared_server, "f:1") == []


async def test_a_quota_is_503_as_prometheus_drops_on_429_and_a_dry_run_reads_the_same(shared_server: Server) -> None:
    key = await shared_server.key("ingest", quota_readings_per_s=1)
    answers = [await send(shared_server, packed(up("g:1")), shared_server.headers(key)) for _ in range(4)]
    assert {status for status, _, _ in answers} == {204, 503}
    assert all(int(headers["Retry-After"]) >= 1 for status, _, headers in answers if status == 503)
    labels, samples = up("dry:1")
    disk = [("device", "sda"), *labels], samples
    url = f"{shared_server.url}/v1/dry-run?format=prometheus"
    async with shared_server.http.post(url, data=packed(disk), headers=KIND | shared_server.headers()) as response:
        answer = await response.json()
    assert (response.status, answer["readings"][0]["device"]) == (200, "dry:1")
    assert answer["readings"][0]["labels"] == {"device": "sda", "job": "x"}, "a disk is a part of what was scraped"
    assert answer["mapping"].startswith("prometheus: metric = ")
    assert await stored(shared_server, "dry:1") == []
    async with shared_server.http.get(f"{shared_server.url}/metrics", headers=shared_server.headers()) as response:
        assert 'sluice_values_skipped_total{format="prometheus"}' in await response.text()


async def test_a_slow_body_is_503(start_server: StartServer) -> None:
    server = await start_server(workers=1, receive_s=0.5)
    assert (await send(server, packed(up("h:1"))))[0] == 204

    cut = asyncio.Event()

    async def trickle() -> AsyncIterator[bytes]:
        yield packed(up("h:1"))[:5]
        await cut.wait()

    async with server.http.post(server.url + PATH, data=trickle(), headers=KIND | server.headers()) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
    cut.set()
