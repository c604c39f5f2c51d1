"""DELETE of a device through a real server: gone for everybody at once, and what goes on sending begins anew."""

import asyncio
import time
from typing import Any

from tests.conftest import Server

PATHS = ("/v1/devices/pump-1", "/v1/devices/pump-1/latest", "/v1/readings?device=pump-1&metric=temperature",
         "/v1/series?device=pump-1&metric=temperature&from=2026-01-01T00:00:00Z&bucket_s=86400")  # fmt: skip
QUARTER_MS = 900_000


def a_moment() -> int:
    """Now, or a little before: what a batch holds of a series is one run then, since all lies in one quarter."""
    now_ms = time.time_ns() // 1_000_000
    return now_ms - now_ms % QUARTER_MS - 1 if now_ms % QUARTER_MS < 60_000 else now_ms


def batch(device: str, now_ms: int, count: int = 50) -> dict[str, Any]:
    """Readings, one a second up to now, the last of them hot."""
    ts = [now_ms - 1_000 * (count - 1 - place) for place in range(count)]
    return {"device": device, "ts": ts, "values": {"temperature": [20.0] * (count - 1) + [90.0], "m": [1.0] * count}}


async def send(server: Server, document: dict[str, Any]) -> dict[str, int]:
    """As a device does: again, where it is told to."""
    deadline = time.monotonic() + 30
    while True:
        status, answer = await server.write(document)
        if status == 200:
            found: dict[str, int] = answer
            return found
        assert status == 503, answer
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_deleted_device_is_gone_and_may_come_back(running_server: Server) -> None:
    server, now_ms = running_server, a_moment()
    levels = [{"severity": "warning", "above": 70}]
    rule = {"name": "hot", "metric": "temperature", "condition": {"type": "threshold", "levels": levels}}
    assert (await server.call("POST", "/v1/rules", rule))[0] == 201
    for device in ("pump-1", "pump-2"):
        await send(server, batch(device, now_ms))
    before = [await server.call("GET", path.replace("pump-1", "pump-2")) for path in PATHS]
    [[highest]] = await server.fetch("SELECT max(id) FROM series")

    read, bound = await server.key("read"), await server.key("admin", device_glob="room-*")
    assert (await server.call("DELETE", "/v1/devices/pump-1", key=read))[0] == 403
    for device in ("pump-1", "nobody"):
        assert (await server.call("DELETE", f"/v1/devices/{device}", key=bound))[0] == 403, "told apart"
    assert (await server.call("DELETE", "/v1/devices/nobody"))[0] == 404
    assert (await server.call("DELETE", "/v1/devices/pump-1"))[0] == 204
    for path in PATHS:
        assert (await server.call("GET", path))[0] == 404, path
    assert (await server.call("DELETE", "/v1/devices/pump-1"))[0] == 404
    assert await server.fetch("SELECT FROM telemetry WHERE device = 'pump-1'") == []
    assert [item["device"] for item in (await server.call("GET", "/v1/devices"))[1]["items"]] == ["pump-2"]
    assert [await server.call("GET", path.replace("pump-1", "pump-2")) for path in PATHS] == before
    _, events = await server.call("GET", "/v1/alerts/events")
    told = [(item["event"], item["alert"]["device"]) for item in events["items"]]
    assert told == [("firing", "pump-1"), ("firing", "pump-2"), ("resolved", "pump-1")]
    _, alerts = await server.call("GET", "/v1/alerts?state=firing")
    assert [alert["device"] for alert in alerts["items"]] == ["pump-2"]

    _, audit = await server.call("GET", "/v1/audit?limit=1")
    assert [(item["act"], item["object"]) for item in audit["items"]] == [("device.delete", "pump-1")]

    # Whichever worker takes it, and whatever that one has in its cache.
    answers = await asyncio.gather(*(send(server, batch("pump-1", now_ms)) for _ in range(8)))
    assert sum(answer["accepted"] for answer in answers) == 100
    assert (await server.call("GET", PATHS[2]))[1]["items"][-1]["value"] == 90.0
    assert (await server.fetch("SELECT min(id) FROM series WHERE device = 'pump-1'"))[0][0] > highest
    deadline = time.monotonic() + 30
    while (await server.fetch("SELECT count(*) FROM deleted_series"))[0][0]:
        assert time.monotonic() < deadline, "nobody removes what is left of it"
        await asyncio.sleep(0.1)
    [[count]] = await server.fetch("SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM readings)")
    assert count == (await server.fetch("SELECT count(*) FROM newest"))[0][0] == 4
