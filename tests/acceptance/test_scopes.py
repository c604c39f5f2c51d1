"""Who may what: every route and channel of the app has its scope here, and refuses whoever lacks it, always alike."""

import asyncio
import itertools
import re
import time
from collections import defaultdict
from typing import Any

import aiohttp
import pytest_asyncio
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, WebSocketRoute

from alerts.live.connections import ALERTS, DEVICE_ALERTS
from alerts.live.readings import READINGS
from ingest.foreign.table import dialect_of
from schemas.keys import Scope
from server.app import create_app
from server.settings import Settings
from tests.acceptance.login import Login
from tests.acceptance.scopes import ADMIN, INGEST, KEYS_ONLY, READ, SCOPES, SESSION, UNDESCRIBED
from tests.acceptance.wire import Socket
from tests.conftest import Server, StartServer

OPEN = {"/healthz", "/readyz", "/ping", "/health"}
OPEN_PAGES = {"/", "/docs", "/redoc", "/openapi.json"}
FILES = {("get", "/dashboard/{file}"), ("mount", "/static-offline-docs")}
SOCKETS = {("websocket", "/ws")}

OF_ALL_DEVICES = ("/rules", "/keys", "/silences", "/webhooks", "/audit")
BOUND_REFUSED = {route for route in SCOPES if any(part in route[1] for part in OF_ALL_DEVICES)}
CHANNELS = {ALERTS: "every device", DEVICE_ALERTS: "its device", READINGS: "its device"}
NO_CHANNELS = (
    "", "alert", "alerts:", "alerts:*", "readings", "readings:", "readings:*", "rules", "keys", "audit", "$admin",
)  # fmt: skip
FOREIGN = {"application/json", "text/plain"}  # in which foreign protocols are refused
DENIED, INVALID_TOKEN = 103, 3500

_addresses = (f"127.0.{high}.{low}" for high, low in itertools.product(range(1, 255), range(1, 255)))


def table() -> set[tuple[str, str]]:
    """What the app serves, by its own table of routes."""
    settings = {"database_url": "postgresql://nobody@localhost/none", "redis_url": "redis://localhost"}
    found = set()
    for route in iter_route_contexts(create_app(Settings.model_validate(settings)).routes):
        kind = route.original_route
        if isinstance(kind, WebSocketRoute | Mount):
            found.add(("mount" if isinstance(kind, Mount) else "websocket", kind.path))
        else:
            assert route.path, f"a route that nobody can judge: {kind}"
            assert route.methods, f"a route that nobody can judge: {kind}"
            path = route.path.replace(":path}", "}")
            found |= {(method.lower(), path) for method in route.methods if method != "HEAD"}
    return found


def example(path: str) -> str:
    """A path with something in place of its parameters."""
    return re.sub(r"{[^}]*}", "1", path)


def elsewhere() -> aiohttp.ClientSession:
    """A client at an address that never failed before: wrong keys are counted by it."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(next(_addresses), 0)))


async def ask(server: Server, method: str, path: str, key: str | None, body: Any = None) -> int:
    """The status of a request, with placeholders for what the path names."""
    headers = server.headers(key) if key else {}
    async with server.http.request(method, server.url + example(path), headers=headers, json=body) as response:
        if response.status in (401, 403):
            assert response.content_type in (FOREIGN if dialect_of(path) else {"application/problem+json"})
        return response.status


@pytest_asyncio.fixture(scope="module")
async def server(start_shared_server: StartServer) -> Server:
    """A server with one worker, which knows at once that a key was revoked."""
    return await start_shared_server(workers=1)


def test_every_route_is_in_the_table() -> None:
    documentation = {("get", path) for path in OPEN | OPEN_PAGES}
    assert table() == set(SCOPES) | SESSION | documentation | FILES | SOCKETS, "a route nobody listed"


async def wrong_credentials(server: Server) -> dict[str, dict[str, str]]:
    """Headers that let nobody in, each for a reason of its own."""
    revoked, good = await server.key("admin"), await server.key("admin")
    assert (await server.call("DELETE", f"/v1/keys/{revoked.split('_')[1]}"))[0] == 204
    keys = {
        "malformed": "nonsense",
        "no secret": "slk_abc",
        "unknown": "slk_zzzzzzzzzzzz_" + "A" * 32,
        "wrong secret": good[:-1] + ("A" if good[-1] != "A" else "B"),
        "revoked": revoked,
        "expired": await server.key("admin", expires_at="2026-01-01T00:00:00Z"),
        "not ASCII": "slk_é_é",
        "8 KB": good + "A" * 8_192,
    }
    headers = {name: server.headers(key) for name, key in keys.items()}
    others = {"none": {}, "basic": {"Authorization": "Basic !"}, "another scheme": {"Authorization": f"Digest {good}"}}
    ended = await Login.begin(server, good)
    assert (await ended.ask("DELETE", "/v1/session", ended.csrf))[0] == 204
    of_revoked = await Login.begin(server, revoked_later := await server.key("admin"))
    assert (await server.call("DELETE", f"/v1/keys/{revoked_later.split('_')[1]}"))[0] == 204
    cookies = {
        "a cookie that is none": {"Cookie": "sluice_session=nonsense"},
        "an unknown cookie": {"Cookie": "sluice_session=" + "A" * 43},
        "an ended session": ended.cookie | ended.csrf,
        "a session of a revoked key": of_revoked.cookie | of_revoked.csrf,
        "another cookie": {"Cookie": "session=1"},
    }
    return headers | others | cookies | {"other header": {"X-API-Key": "nonsense"}}


async def test_whoever_is_wrong_hears_the_same(server: Server) -> None:
    wrong = await wrong_credentials(server)
    answers = defaultdict(set)
    for method, path in SCOPES.keys() | SESSION:
        async with elsewhere() as http:
            for name, headers in wrong.items():
                async with http.request(method, server.url + example(path), headers=headers, json={}) as response:
                    assert response.status == 401, f"{method} {path} with a key that is wrong: {name}"
                    told = {(name.lower(), value) for name, value in response.headers.items()}
                    same = frozenset(pair for pair in told if pair[0] not in ("date", "x-request-id"))
                    answers[dialect_of(path)].add((await response.read(), same))
    assert {len(same) for same in answers.values()} == {1}, "the answer tells what was wrong with a key"


async def test_every_route_wants_its_scope(server: Server) -> None:
    keys = {scope.value: await server.key(scope.value) for scope in Scope}
    async with server.http.get(f"{server.url}/openapi.json") as response:
        document = (await response.json())["paths"]
    for (method, path), needed in SCOPES.items():
        if path not in UNDESCRIBED:
            assert document[path][method]["security"], f"{path} does not say that it wants a key"
        for body, scope in itertools.product((None, {}, {"nonsense": 1}), {INGEST, READ} - {needed}):
            assert await ask(server, method, path, keys[scope], body) == 403, f"{method} {path} {scope}"
        for scope in {needed, ADMIN}:
            assert await ask(server, method, path, keys[scope]) not in (401, 403, 500), f"{method} {path}"
    for path in OPEN:
        assert await ask(server, "get", path, None) in (200, 204)
        assert path in UNDESCRIBED or not document[path]["get"].get("security")


async def test_a_cookie_is_as_good_as_its_key_but_no_change_is_made_without_the_page_knowing(server: Server) -> None:
    logins = {scope.value: await Login.begin(server, await server.key(scope.value)) for scope in Scope}
    for (method, path), needed in SCOPES.items():
        for scope, login in logins.items():
            status, problem = await login.ask(method, example(path))
            if (method, path) in KEYS_ONLY:
                assert status == 401, f"{method} {path} by cookie"
                continue
            if method != "get":
                assert (status, problem["code"]) == (403, "csrf"), f"{method} {path} by cookie alone"
                status, _ = await login.ask(method, example(path), login.csrf)
            assert (status == 403) is (scope not in (needed, ADMIN)), f"{method} {path} for {scope}: {status}"
            assert status not in (401, 500)


async def test_the_pages_are_open_and_everything_else_is_404(server: Server) -> None:
    for path in OPEN_PAGES:
        assert await ask(server, "get", path, None) == 200, path
    for path in ("/v1", "/v1/", "/v1/unknown", "/admin", "/.env", "/..%2f..%2fetc/passwd"):
        assert await ask(server, "get", path, None) == 404, path


async def test_a_key_bound_to_devices_has_its_own_and_nothing_else(server: Server) -> None:
    key = await server.key("admin", device_glob="pump-*")
    for method, path in SCOPES:
        status = await ask(server, method, path, key)
        other_device = "{device" in path
        assert (status == 403) is ((method, path) in BOUND_REFUSED or other_device), f"{method} {path}: {status}"
    level = {"severity": "warning", "above": 70}
    rule = {"name": "hot", "device": "*", "metric": "t", "condition": {"type": "threshold", "levels": [level]}}
    assert (await server.call("POST", "/v1/rules", rule))[0] == 201
    await fire(server, "pump-1")
    await fire(server, "fan-1")
    for path in ("/v1/devices", "/v1/alerts", "/v1/alerts/events"):
        for whose, devices in ((None, {"pump-1", "fan-1"}), (key, {"pump-1"})):
            _, answer = await server.call("GET", path, key=whose)
            assert {item.get("device") or item["alert"]["device"] for item in answer["items"]} == devices, path
    alerts = {item["device"]: item["id"] for item in (await server.call("GET", "/v1/alerts"))[1]["items"]}
    for device, status in {"pump-1": 200, "fan-1": 403}.items():
        assert (await server.call("POST", f"/v1/alerts/{alerts[device]}/ack", {}, key=key))[0] == status
        assert (await server.call("GET", f"/v1/devices/{device}", key=key))[0] == status
        assert (await server.call("GET", f"/v1/devices/{device}/latest", key=key))[0] == status
        assert (await server.call("GET", f"/v1/rules?device={device}", key=key))[0] == status
        for params in ({}, {"partial": "true"}):  # both doors
            assert (await server.write(reading(device), key, **params))[0] == status
        both = [reading("pump-1"), reading(device)]
        assert (await server.write(both, key))[0] == status, "one device of two is another's"
    async with server.http.get(f"{server.url}/metrics", headers=server.headers(key)) as response:
        assert "fan-1" not in await response.text()


def reading(device: str) -> dict[str, Any]:
    """A reading that is too hot."""
    return {"device": device, "readings": [{"ts": time.time_ns() // 1_000_000, "metric": "t", "value": 99}]}


async def fire(server: Server, device: str) -> None:
    """Send until there is an alert: a worker knows a new rule within a second."""
    async with asyncio.timeout(10):
        while True:
            assert (await server.write(reading(device)))[0] == 200
            _, answer = await server.call("GET", f"/v1/alerts?device={device}")
            if answer["items"]:
                return


async def test_channels(server: Server) -> None:
    reader = await (await Socket.open(server, await server.key("read"))).connected()
    bound = await (await Socket.open(server, await server.key("read", device_glob="pump-*"))).connected()
    for channel, whose in CHANNELS.items():
        devices = ("pump-1", "fan-1") if whose == "its device" else ("",)
        for device in devices:
            assert await reader.subscribe(channel + device) is None
            assert await bound.subscribe(channel + device) == (None if device == "pump-1" else DENIED)
    for channel in NO_CHANNELS:
        assert await reader.subscribe(channel) in (DENIED, 107), channel
    for key in (await server.key("ingest"), "slk_zz_zz", "", "nonsense"):
        assert await (await Socket.open(server, key)).closed() == INVALID_TOKEN
