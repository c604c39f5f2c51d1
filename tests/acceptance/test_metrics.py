"""`/metrics` of a real server: every stage that a batch and an alert pass leaves its figures there."""

import asyncio
import json
import re
import time

from tests.conftest import Server, StartServer

PATIENCE_S = 30
RULE = {
    "name": "hot",
    "device": "metered",
    "metric": "t",
    "condition": {"type": "threshold", "levels": [{"severity": "critical", "above": 50}]},
}


async def figures(server: Server) -> dict[str, float]:
    """Every sample, by its name with its labels."""
    async with server.http.get(f"{server.url}/metrics", headers=server.headers()) as response:
        assert response.status == 200
        text = await response.text()
    return {name: float(value) for name, value in re.findall(r"^(sluice_\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}


async def test_every_stage_leaves_its_figures(start_server: StartServer) -> None:
    server = await start_server(workers=1)
    status, _ = await server.call("POST", "/v1/rules", RULE)
    assert status == 201
    hello = {"id": 1, "connect": {"token": server.admin_key}}
    subscribe = {"id": 2, "subscribe": {"channel": "alerts"}}
    async with server.http.ws_connect(f"{server.url}/ws") as socket:
        await socket.send_str(f"{json.dumps(hello)}\n{json.dumps(subscribe)}")
        told = ""
        while "firing" not in told:  # the worker hears of the rule a moment after it was made
            await server.write({"device": "metered", "ts": [time.time_ns() // 1_000_000], "values": {"t": [99.0]}})
            try:
                told += await socket.receive_str(timeout=0.2)
            except TimeoutError:
                continue
    await server.call("GET", "/v1/devices/metered/latest")
    await server.call("GET", "/v1/nothing/at/all")
    await server.call("POST", "/v1/rules", {"name": "broken"})
    wanted = {
        "sluice_batches_stored_total",
        'sluice_flush_stage_seconds_total{stage="claim"}',
        'sluice_flush_stage_seconds_total{stage="copy"}',
        'sluice_flush_stage_seconds_total{stage="step"}',
        'sluice_flush_stage_seconds_total{stage="commit"}',
        'sluice_pool_connections{pool="writing",state="at_work"}',
        "sluice_readings_stepped_total",
        'sluice_alert_events_total{event="firing"}',
        'sluice_event_deliveries_total{way="own"}',
        "sluice_evaluator_elected",
        'sluice_evaluator_seconds_total{task="absence"}',
        "sluice_queue_rows_limit",
        "sluice_http_connections",
        'sluice_http_seconds_count{route="GET /v1/devices/{device}/latest"}',
        'sluice_http_seconds_count{route="none"}',
        'sluice_http_errors_total{route="POST /v1/rules",status="422"}',
    }
    deadline = time.monotonic() + PATIENCE_S
    while missing := {name for name in wanted if (await figures(server)).get(name, 0.0) <= 0}:
        assert time.monotonic() < deadline, sorted(missing)
        await asyncio.sleep(0.1)
    found = await figures(server)
    spent = sum(value for name, value in found.items() if name.startswith("sluice_flush_stage_seconds"))
    assert 0 < spent <= found["sluice_flush_seconds_sum"]
    assert len({name for name in found if "http_seconds_count" in name}) < 20
