"""OTLP's door, request by request: what is stored, what is answered, in which encoding."""

import gzip
import itertools
import json
import math
import time
from collections.abc import Mapping
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse as Response

from ingest.foreign.otlp import JSON, ONLY_METRICS, PROTOBUF
from tests.conftest import Server
from tests.unit.otlp import Request, as_json, gauge, scope_of

PATH = "/v1/metrics"
KINDS = pytest.mark.parametrize("kind", [PROTOBUF, JSON])


# Nanoseconds, none twice: further apart than the points of any request here.
_times = itertools.count((time.time_ns() // 10**6 - 3_600_000) * 10**6, 20 * 10**9)


def measured(device: str, *values: float, at: int = 0, **attributes: Any) -> Request:
    """A request with a gauge `up`, its points a millisecond apart."""
    made = Request()
    gauge(scope_of(made, {"device": device}), "up", *values, time=at or next(_times), **attributes)
    return made


def written(message: Request, kind: str) -> bytes:
    """A request in an encoding."""
    return message.SerializeToString() if kind == PROTOBUF else json.dumps(as_json(message)).encode()


async def send(
    server: Server,
    raw: bytes | Request,
    kind: str = PROTOBUF,
    headers: Mapping[str, str] | None = None,
    path: str = PATH,
) -> tuple[int, Any, Mapping[str, str]]:
    """Send a body; gives status, answer and headers. An answer in Protocol Buffers is parsed as what it has to be."""
    body = raw if isinstance(raw, bytes) else written(raw, kind)
    given = {"Content-Type": kind} | server.headers() | dict(headers or {})
    shown = {name: value for name, value in given.items() if value}
    async with server.http.post(
        server.url + path, data=body, headers=shown, skip_auto_headers=["Content-Type"]
    ) as response:
        content = await response.read()
        if response.content_type == PROTOBUF:
            return (
                response.status,
                (Response if response.status == 200 else Status).FromString(content),
                response.headers,
            )
        return response.status, json.loads(content), response.headers


async def stored(server: Server, device: str) -> list[tuple[str, str, float]]:
    """What SQL users see of a device."""
    query = "SELECT metric, labels::text, value FROM telemetry WHERE device = $1 ORDER BY metric, ts, value"
    return [tuple(record) for record in await server.fetch(query, device)]


@KINDS
async def test_readings_are_stored_by_both_ways_and_once(shared_server: Server, kind: str) -> None:
    device, at = f"a {kind}", time.time_ns() // 10**6 * 10**6
    for turn in range(3):  # the first makes the series, on the long way; the others take the short one
        packed = {"Content-Encoding": "gzip"} if turn else {}
        body = written(measured(device, 1.5, turn, at=at, room="north"), kind)
        status, answer, headers = await send(shared_server, gzip.compress(body) if turn else body, kind, packed)
        assert (status, headers["Content-Type"]) == (200, kind)
        assert answer == (Response() if kind == PROTOBUF else {})
    assert await stored(shared_server, device) == [("up", '{"room": "north"}', value) for value in (1.5, 0.0)]


@KINDS
async def test_what_is_bad_is_left_out_and_told(shared_server: Server, kind: str) -> None:
    device = f"b {kind}"
    for turn in range(2):
        mixed = measured(device, turn, math.nan, turn)
        status, answer, _ = await send(shared_server, mixed, kind)
        partial = answer.partial_success if kind == PROTOBUF else answer["partialSuccess"]
        told = (partial.rejected_data_points, partial.error_message) if kind == PROTOBUF else tuple(partial.values())
        assert (status, int(told[0]), told[1]) == (200, 1, "metric 'up': a value must be finite (not_finite)")
        mixed = measured(device, turn)
        point = scope_of(mixed, {"device": device}).metrics.add(name="e").exponential_histogram.data_points.add(count=2)
        point.positive.bucket_counts.append(2)
        status, answer, headers = await send(shared_server, mixed, kind)
        assert (status, headers["X-Sluice-Skipped"]) == (200, "1")
        assert "not stored: 1 × the buckets of exponential histograms" in str(answer)
    nameless = Request()
    gauge(scope_of(nameless, {}), "up", 1.0, time=time.time_ns())
    status, answer, _ = await send(shared_server, nameless, kind)
    assert status == 400, "where nothing is stored it is no success"
    assert "bind the key to a device" in (answer.message if kind == PROTOBUF else answer["message"])
    assert len(await stored(shared_server, device)) == 8


async def test_a_key_bound_to_a_device_is_enough_to_name_it(shared_server: Server) -> None:
    bound = shared_server.headers(await shared_server.key("ingest", device_glob="c"))
    made = Request()
    gauge(scope_of(made, {"service.name": "s", "service.instance.id": "made-up"}), "up", 1.0, time=time.time_ns())
    assert (await send(shared_server, made, headers=bound))[0] == 200
    assert await stored(shared_server, "c") == [("up", '{"service.name": "s"}', 1.0)]
    status, answer, _ = await send(shared_server, measured("d", 1.0), headers=bound)
    assert (status, answer.code) == (403, 7)


@pytest.mark.parametrize(
    ("raw", "headers", "status", "says"),
    [
        (b"", {"Authorization": "Bearer slk_a_wrong"}, 401, "valid API key"),
        (b"", {"Authorization": ""}, 401, "valid API key"),
        (b"", {"Content-Encoding": "br"}, 415, "gzip"),
        (b"\x1f\x8b", {"Content-Encoding": "gzip"}, 400, "gzip"),
        (b"[" * 100_000, {}, 400, ""),
        (measured("f", *[1.0] * 10_001), {}, 413, "readings"),
        (b"\x0a\0" * 500_000, {}, 413, "protobuf_fields"),
    ],
    ids=["wrong key", "no key", "br", "cut", "no message", "too many points", "too many messages"],
)  # fmt: skip
@KINDS
async def test_refusals_are_a_status(
    shared_server: Server, raw: Any, headers: dict[str, str], status: int, says: str, kind: str
) -> None:
    if kind == JSON and status == 413 and isinstance(raw, bytes):
        raw, says = b"{" * 500_000, "json_objects"
    for _ in range(2):
        answered, told, given = await send(shared_server, raw, kind, headers)
        assert (answered, given["Content-Type"]) == (status, kind)
        assert says in (told.message if kind == PROTOBUF else told["message"])
    assert await stored(shared_server, "f") == []


async def test_other_kinds_and_other_signals_hear_what_is_taken(shared_server: Server) -> None:
    for kind in ("text/plain", ""):
        status, answer, headers = await send(shared_server, b"x", kind)
        assert (status, headers["Content-Type"], "application/x-protobuf" in answer["message"]) == (415, JSON, True)
    for path in ("/v1/logs", "/v1/traces"):
        status, answer, _ = await send(shared_server, b"\x0a\0" * 100, PROTOBUF, path=path)
        assert (status, answer.code, ONLY_METRICS in answer.message) == (404, 5, True)
        status, answer, _ = await send(shared_server, b"{}", JSON, path=path)
        assert (status, answer["code"], ONLY_METRICS in answer["message"]) == (404, 5, True)


async def test_a_quota_is_429_and_a_dry_run_reads_the_same(shared_server: Server) -> None:
    key = await shared_server.key("ingest", quota_readings_per_s=1)
    answers = [await send(shared_server, measured("g", 1.0), headers=shared_server.headers(key)) for _ in range(4)]
    assert {status for status, _, _ in answers} == {200, 429}
    assert all(
        int(headers["Retry-After"]) >= 1 and answer.code == 8 for status, answer, headers in answers if status == 429
    )
    status, answer, _ = await send(shared_server, measured("dry", 1.0, math.nan), JSON, path="/v1/dry-run?format=otlp")
    assert (status, answer["readings"][0]["device"], answer["rejected_count"]) == (200, "dry", 1)
    assert "host.name" in answer["mapping"]
    assert await stored(shared_server, "dry") == []
    async with shared_server.http.get(f"{shared_server.url}/metrics", headers=shared_server.headers()) as response:
        assert 'sluice_decoded_bytes_total{format="otlp"}' in await response.text()
