"""Traces, as a collector gets them by OTLP over HTTP from a real server: of what was asked to be traced."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.conftest import Server, StartServer

PATIENCE_S = 30
RULE = {
    "name": "hot",
    "device": "traced",
    "metric": "t",
    "condition": {"type": "threshold", "levels": [{"severity": "critical", "above": 50}]},
}


@dataclass
class Collector:
    """What a collector was sent."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """`POST /v1/traces`."""
        message = ExportTraceServiceRequest.FromString(await request.read())
        for resource in message.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert names["service.name"] == "sluice"
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response()

    async def of(self, trace_id: str, *names: str) -> dict[str, Any]:
        """The spans of a trace, by name, once all of these are there."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = {span.name: span for span in self.spans if span.trace_id.hex() == trace_id}
            if set(names) <= set(found):
                return found
            assert time.monotonic() < deadline, sorted(found)
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """One that listens, and that servers are told of."""
    taken = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", taken.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    taken.url = site.name
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", taken.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    yield taken
    await runner.cleanup()


def batch(value: float) -> dict[str, Any]:
    """One reading of now."""
    return {"device": "traced", "ts": [time.time_ns() // 1_000_000], "values": {"t": [value]}}


async def post(server: Server, value: float, *, trace_id: str, sampled: bool) -> str:
    """Write under a trace; returns the id of the sender's span."""
    span_id = secrets.token_hex(8)
    parent = {"traceparent": f"00-{trace_id}-{span_id}-{sampled:02d}"}
    async with server.http.post(
        f"{server.url}/v1/readings", json=batch(value), headers=server.headers() | parent
    ) as response:
        assert response.status == 200, await response.text()
    return span_id


async def test_a_batch_is_followed_from_its_door_to_the_sockets(
    start_server: StartServer, collector: Collector
) -> None:
    server = await start_server(workers=1, tracing=True)
    status, _ = await server.call("POST", "/v1/rules", RULE)
    assert status == 201
    while not (await server.fetch("SELECT FROM alert_events")):  # the worker hears of the rule a moment later
        await server.write(batch(99.0))
    await server.write(batch(10.0))
    assert not collector.spans, "nobody asked for these"
    trace_id = secrets.token_hex(16)
    await post(server, 11.0, trace_id=secrets.token_hex(16), sampled=False)
    sender = await post(server, 99.0, trace_id=trace_id, sampled=True)
    found = await collector.of(trace_id, "POST /v1/readings", "group", "publish", "commit")
    request, group = found["POST /v1/readings"], found["group"]
    assert request.parent_span_id.hex() == sender
    assert {each.key for each in request.attributes} >= {"http.route", "sluice.request_id"}
    assert group.parent_span_id == request.span_id
    assert [link.span_id for link in group.links] == [request.span_id]
    for name in ("claim", "copy", "step", "commit", "alert", "publish"):
        assert found[name].parent_span_id == group.span_id, name
        assert group.start_time_unix_nano <= found[name].start_time_unix_nano + 1_000_000
        assert found[name].end_time_unix_nano <= group.end_time_unix_nano
    assert found["claim"].end_time_unix_nano <= found["copy"].end_time_unix_nano <= found["commit"].end_time_unix_nano
    assert {span.trace_id.hex() for span in collector.spans} == {trace_id}


async def test_a_group_is_linked_to_every_request_in_it(start_server: StartServer, collector: Collector) -> None:
    server = await start_server(workers=1, tracing=True, lanes=1)
    await server.write(batch(1.0))
    deadline = time.monotonic() + PATIENCE_S
    while not any(len(span.links) > 1 for span in collector.spans):
        assert time.monotonic() < deadline, "never two of twenty requests in one group"
        traces = [secrets.token_hex(16) for _ in range(20)]
        await asyncio.gather(*(post(server, 1.0, trace_id=trace_id, sampled=True) for trace_id in traces))
        for trace_id in traces:
            await collector.of(trace_id, "POST /v1/readings")
    requests = {span.span_id for span in collector.spans if span.name == "POST /v1/readings"}
    [group, *_] = (span for span in collector.spans if len(span.links) > 1)
    assert {link.span_id for link in group.links} <= requests
    assert group.parent_span_id == group.links[0].span_id


async def test_without_a_collector_nothing_waits(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    server = await start_server(workers=1, tracing=True)
    for _ in range(20):
        await post(server, 1.0, trace_id=secrets.token_hex(16), sampled=True)
