"""Contract §5 over HTTP, as people see it: acknowledging, silencing, and the webhooks of a real server."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.conftest import Server, StartServer
from tests.integration.receiver import KEY, Receiver, receiving

LEVELS = [{"severity": "warning", "above": 70.0, "clear": 65.0}]
RULE = {"name": "hot", "metric": "temperature", "condition": {"type": "threshold", "levels": LEVELS}}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Somebody who listens to webhooks."""
    async with receiving() as receiver:
        yield receiver


async def watch(server: Server, **changes: Any) -> int:
    """Make a rule, and wait until it watches."""
    status, rule = await server.call("POST", "/v1/rules", RULE | changes)
    assert status == 201, rule
    await asyncio.sleep(1.2)
    return int(rule["id"])


async def send(server: Server, value: float, device: str = "pump-7") -> None:
    """One reading, now."""
    reading = {"ts": time.time_ns() // 1_000_000, "metric": "temperature", "value": value}
    status, answer = await server.write({"device": device, "readings": [reading]})
    assert (status, answer["accepted"]) == (200, 1)
    await asyncio.sleep(0.002)


async def told(server: Server) -> list[str]:
    """The events, in order."""
    _, page = await server.call("GET", "/v1/alerts/events?limit=1000")
    return [f"{item['event']} {item['alert']['device']}" for item in page["items"]]


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = 30) -> None:
    """Fail unless the condition comes true in time."""
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.05)


def in_an_hour() -> str:
    """As `until` takes it."""
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def test_acknowledging(running_server: Server) -> None:
    server = running_server
    await watch(server)
    await send(server, 71)
    await send(server, 71, "fan-1")
    _, page = await server.call("GET", "/v1/alerts")
    ids = {item["device"]: item["id"] for item in page["items"]}
    pump, fan = ids["pump-7"], ids["fan-1"]
    fans = await server.key("admin", device_glob="fan-*")
    assert (await server.call("POST", f"/v1/alerts/{pump}/ack", {}, fans))[0] == 403
    assert (await server.call("POST", f"/v1/alerts/{fan}/ack", None, fans))[0] == 200
    assert (await server.call("POST", "/v1/alerts/999/ack", {}))[0] == 404
    refused: tuple[Any, ...] = (
        {"comment": 1},
        {"comment": "x" * 1_001},
        {"comment": "x", "by": "me"},
        [],
        "x",
        {"comment": None},
    )
    for wrong in refused:
        status, problem = await server.call("POST", f"/v1/alerts/{pump}/ack", wrong)
        assert (status, problem["code"]) == (422, "invalid"), wrong
    for comment in ("looking", "again"):
        status, shown = await server.call("POST", f"/v1/alerts/{pump}/ack", {"comment": comment})
        assert (status, shown["acknowledged_comment"], shown["state"]) == (200, "looking", "firing")
    await send(server, 71, "fan-2")
    await send(server, 60, "fan-2")
    (over,) = (await server.call("GET", "/v1/alerts?state=resolved"))[1]["items"]
    status, problem = await server.call("POST", f"/v1/alerts/{over['id']}/ack", {})
    assert (status, problem["code"]) == (409, "alert_resolved")
    assert await told(server) == [
        "firing pump-7", "firing fan-1", "acknowledged fan-1", "acknowledged pump-7", "firing fan-2", "resolved fan-2",
    ]  # fmt: skip


async def test_silencing(running_server: Server) -> None:
    server = running_server
    rule_id = await watch(server)
    await send(server, 71)
    await send(server, 71, "fan-1")
    body = {"device": "pump-*", "rule": rule_id, "until": in_an_hour(), "comment": "maintenance"}
    status, made = await server.call("POST", "/v1/silences", body)
    assert (status, made["state"], made["metric"]) == (201, "active", "*")
    _, page = await server.call("GET", "/v1/alerts?state=firing")
    assert {item["device"]: item["silenced"] for item in page["items"]} == {"pump-7": True, "fan-1": False}
    for wrong in (
        {},
        body | {"until": "2020-01-01T00:00:00Z"},
        body | {"until": "2099-01-01T00:00:00Z"},
        body | {"until": "tomorrow"},
        body | {"rule": 999},
        body | {"device": "\0"},
        body | {"more": 1},
    ):
        status, problem = await server.call("POST", "/v1/silences", wrong)
        assert (status, problem["code"]) == (422, "invalid"), wrong
    soon = int(time.time() * 1_000) + 1_500
    status, brief = await server.call("POST", "/v1/silences", {"device": "fan-*", "until": soon})
    assert status == 201
    assert [item["id"] for item in (await server.call("GET", "/v1/silences?state=active"))[1]["items"]] == [
        brief["id"], made["id"],
    ]  # fmt: skip
    _, first = await server.call("GET", "/v1/silences?limit=1")
    _, second = await server.call("GET", f"/v1/silences?limit=1&cursor={first['next']}")
    assert [first["items"][0]["id"], second["items"][0]["id"], second["next"]] == [brief["id"], made["id"], None]
    for _ in range(2):
        assert (await server.call("DELETE", f"/v1/silences/{made['id']}"))[0] == 204
    assert (await server.call("DELETE", "/v1/silences/999"))[0] == 404
    expected = ["firing pump-7", "firing fan-1", "silenced pump-7", "silenced fan-1", "unsilenced pump-7"]
    assert await told(server) == expected

    async def is_told() -> bool:
        return await told(server) == [*expected, "unsilenced fan-1"]

    await eventually(is_told)
    _, page = await server.call("GET", "/v1/silences?state=ended")
    assert {item["state"] for item in page["items"]} == {"ended"}
    assert len(page["items"]) == 2


async def test_webhooks_of_a_server_that_is_killed(start_server: StartServer, receiver: Receiver) -> None:
    server = await start_server(2, webhook_key=KEY, external_url="https://sluice.example/")
    await watch(server, webhooks=[receiver.url()])
    assert (await server.call("GET", "/v1/webhooks/key"))[0] == 404
    receiver.answers = ["hang"]
    await send(server, 71)
    async with asyncio.timeout(30):
        await receiver.came.wait()
    before = server.supervisor.pids
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    lease = (await server.fetch("SELECT extract(epoch FROM until - now())::float8 AS s FROM webhook_leases"))[0]["s"]
    assert 10 < lease <= 20
    await server.fetch("DELETE FROM webhook_leases")  # as its time would

    async def again() -> bool:
        return receiver.events == [1, 1]

    await eventually(again, 60)
    assert receiver.documents[1]["externalURL"] == "https://sluice.example"

    async def is_delivered() -> bool:
        return (await deliveries("delivered")) == [1]

    async def deliveries(state: str) -> list[int]:
        _, page = await server.call("GET", f"/v1/webhooks/deliveries?state={state}")
        return [item["offset"] for item in page["items"]]

    await eventually(is_delivered)
    # A silence holds the end; what ends it lets it go.
    _, silence = await server.call("POST", "/v1/silences", {"until": in_an_hour()})
    await send(server, 60)
    await asyncio.sleep(2.5)
    _, page = await server.call("GET", "/v1/webhooks/deliveries?state=waiting")
    assert [item["held"] for item in page["items"]] == [True]
    receiver.answers = [404]
    assert (await server.call("DELETE", f"/v1/silences/{silence['id']}"))[0] == 204

    async def is_dead() -> bool:
        return len(await deliveries("dead")) == 1

    await eventually(is_dead)
    _, page = await server.call("GET", "/v1/webhooks/deliveries?state=dead")
    dead = page["items"][0]["id"]
    assert (await server.call("POST", f"/v1/webhooks/deliveries/{dead}/retry"))[0] == 200
    assert (await server.call("POST", f"/v1/webhooks/deliveries/{dead}/retry"))[1]["code"] == "delivery_not_dead"
    assert (await server.call("POST", "/v1/webhooks/deliveries/999/retry"))[0] == 404

    async def all_delivered() -> bool:
        return len(await deliveries("delivered")) == 2

    await eventually(all_delivered)
    assert receiver.told[-2:] == ["pump-7 resolved warning"] * 2
    async with server.http.get(f"{server.url}/metrics", headers=server.headers()) as response:
        text = await response.text()
    assert 'sluice_webhook_attempts_total{outcome="delivered"}' in text


async def test_a_made_key_is_shown_to_an_admin(shared_server: Server) -> None:
    keys = {(await shared_server.call("GET", "/v1/webhooks/key"))[1]["key"] for _ in range(6)}
    assert len(keys) == 1


async def test_a_body_that_is_too_large_is_refused(shared_server: Server) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2_000):
            yield b" " * 65_536

    for path in ("/v1/rules", "/v1/rules/preview", "/v1/keys", "/v1/silences"):
        for data in (b" " * 300_000, endless()):
            headers = {"Content-Type": "application/json"} | shared_server.headers()
            async with aiohttp.ClientSession() as session:
                try:
                    async with session.post(shared_server.url + path, data=data, headers=headers) as response:
                        assert response.status == 413, (path, await response.text())
                        assert response.content_type == "application/problem+json"
                except aiohttp.ClientConnectionError:  # it hung up in the middle of sending
                    assert not isinstance(data, bytes)
    assert (await shared_server.call("GET", "/v1/rules"))[0] == 200
