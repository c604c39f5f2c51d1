"""Live readings through a real server, and clients that vanish from it: the kernel's part is not simulated."""

import asyncio
import ctypes
import json
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect

from server.supervisor import VANISHED_MS, _bound
from tests.acceptance.dashboard import connection
from tests.conftest import Server, StartServer
from tests.proxy import Proxy

GONE_S = 15.0
"""From vanishing to being freed (guarantees, F16)."""

SO_ATTACH_FILTER = 26  # linux/include/uapi/asm-generic/socket.h


async def test_readings_of_every_worker_and_both_doors_reach_the_viewers_of_all(running_server: Server) -> None:
    key, writer = await running_server.key("read"), await running_server.key("ingest")
    headers = running_server.headers(writer) | {"Content-Type": "application/json"}
    clock = now_ms()
    async with sessions(running_server, 2) as found:
        viewers = [await view(session, running_server.url, key) for session, _ in found]
        await asyncio.sleep(1)  # until each worker has heard what the other one's clients watch
        # The first request of a series goes the long way, the next the short one; parameters go the long way again.
        for params in ({}, {}, {"partial": "true"}, {"on_conflict": "replace"}, {}):
            for _, session in found:
                clock += 1
                body = batch(clock, float(clock % 1_000), -1.0)
                async with session.post(
                    f"{running_server.url}/v1/readings", data=body, headers=headers, params=params
                ) as response:
                    assert (await response.json())["accepted"] == 2
                for viewer in viewers:
                    shown = [(each["metric"], each["value"], each["labels"]) for each in await publication(viewer)]
                    assert shown == [("t", clock % 1_000, {"site": "ü"})], params
                await asyncio.sleep(0.06)  # the interval of 20 frames a second
        async with found[0][1].post(f"{running_server.url}/v1/readings", data=body, headers=headers) as response:
            assert await response.json() == {"accepted": 0, "duplicates": 2}
        for viewer in viewers:
            with pytest.raises(TimeoutError):
                await publication(viewer, 0.5)  # a retry brings nothing new


@pytest_asyncio.fixture(scope="module")
async def one_worker(start_shared_server: StartServer) -> Server:
    """A server with one worker, for tests that write to different devices."""
    return await start_shared_server(1)


async def test_a_retry_is_no_news(one_worker: Server) -> None:
    """What was stored stays, so what the retry says instead is not shown."""
    server = one_worker
    reading = {"ts": now_ms(), "metric": "t", "value": 1}
    await server.write({"device": "pump-1", "readings": [reading]})
    viewer = await dial(server.url, await server.key("read"), "readings:pump-1")
    retry = {"device": "pump-1", "readings": [reading | {"value": 2}]}
    assert await server.write(retry) == (200, {"accepted": 0, "duplicates": 1})
    assert await server.write(retry, partial="true") == (
        200,
        {"accepted": 0, "duplicates": 1, "rejected": [], "rejected_count": 0},
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(viewer.recv(), 0.5)
    viewer.transport.abort()


async def test_a_late_reading_is_no_news_to_who_begins_to_view(one_worker: Server) -> None:
    server = one_worker
    clock, labels = now_ms(), {"b": "ü", "aa": "1"}
    device = {"device": "pump-2", "labels": labels}
    await server.write({**device, "readings": [{"ts": clock, "metric": "t", "value": 1}]})
    viewer = await dial(server.url, await server.key("read"), "readings:pump-2")
    await server.write({**device, "readings": [{"ts": clock - 60_000, "metric": "t", "value": 2}]})
    await server.write({**device, "readings": [{"ts": clock + 1, "metric": "t", "value": 3}]})
    readings = json.loads(await viewer.recv())["push"]["pub"]["data"]["readings"]
    assert [(each["value"], each["labels"]) for each in readings] == [(3, labels)]
    viewer.transport.abort()


def batch(clock: int, value: float, older: float) -> bytes:
    """A reading of now, and one that is older by a second, which nobody shall see."""
    readings = [{"ts": clock, "metric": "t", "value": value}, {"ts": clock - 1_000, "metric": "t", "value": older}]
    return json.dumps({"device": "pump-1", "labels": {"site": "ü"}, "readings": readings}).encode()


async def test_clients_that_vanish_are_freed(start_server: StartServer) -> None:
    """Two whose packets are lost from one moment on, one of them with readings under way; and one who stays."""
    server = await start_server(1)
    key = await server.key("read")
    idle, busy, stays = [await dial(server.url, key, channel) for channel in ("alerts", *["readings:pump-1"] * 2)]
    try:
        await until_connections(server, 3, 30)
        for client in (idle, busy):
            lose_packets(client)
        began = time.monotonic()
        await server.write({"device": "pump-1", "readings": [{"ts": now_ms(), "metric": "t", "value": 1}]})
        await until_connections(server, 1, GONE_S + 15)  # on a machine that is busy
        assert time.monotonic() - began > 3, "not because they were reset"
        assert not far_end_exists(idle)
        assert not far_end_exists(busy)
        assert far_end_exists(stays)
        await server.write({"device": "pump-1", "readings": [{"ts": now_ms(), "metric": "t", "value": 2}]})
        for value in (1, 2):
            assert json.loads(await stays.recv())["push"]["pub"]["data"]["readings"][0]["value"] == value
    finally:
        for client in (idle, busy, stays):
            client.transport.abort()


@pytest.mark.long  # as the one before, by a proxy that stalls instead of packets that are dropped
async def test_a_client_behind_a_stalled_network_is_freed(start_server: StartServer) -> None:
    server = await start_server(1)
    key, labels = await server.key("read"), {"x": "y" * 200}
    async with Proxy.to(server.url) as proxy:
        stalled = await dial(f"http://127.0.0.1:{proxy.port}", key, "readings:pump-1")
        stays = await dial(server.url, key, "readings:pump-1")
        try:
            await until_connections(server, 2, 5)
            proxy.stall()
            began, slowest = time.monotonic(), 0.0
            while await connections(server) != 1:
                assert time.monotonic() - began < GONE_S
                metrics = {f"m{number}": [float(number)] for number in range(500)}
                sent = time.monotonic()
                await server.write({"device": "pump-1", "labels": labels, "ts": [now_ms()], "values": metrics})
                assert len(json.loads(await stays.recv())["push"]["pub"]["data"]["readings"]) == 500
                slowest = max(slowest, time.monotonic() - sent)
                await asyncio.sleep(0.2)
            assert slowest < 1, "nobody else notices"
        finally:
            for client in (stalled, stays):
                client.transport.abort()


def test_accepted_sockets_inherit_the_timeout() -> None:
    with _bound("127.0.0.1", 0, shared=False) as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()) as client:
            accepted, _ = listening.accept()
            with accepted, client:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == VANISHED_MS


@asynccontextmanager
async def sessions(server: Server, each: int) -> AsyncIterator[list[list[aiohttp.ClientSession]]]:
    """For every worker so many sessions, each with one connection, which is to that worker."""
    async with AsyncExitStack() as stack:
        found: dict[int, list[aiohttp.ClientSession]] = {pid: [] for pid in server.supervisor.pids}
        while any(len(of) < each for of in found.values()):
            async with AsyncExitStack() as attempt:
                session, worker = await attempt.enter_async_context(connection(server.url))
                if len(found[worker]) < each:
                    found[worker].append(session)
                    stack.push_async_exit(attempt.pop_all())
        yield list(found.values())


async def view(session: aiohttp.ClientSession, url: str, key: str) -> aiohttp.ClientWebSocketResponse:
    """Subscribe to the readings of `pump-1`, as often as it may be."""
    viewer = await session.ws_connect(f"{url}/ws")
    await viewer.send_str(json.dumps({"id": 1, "connect": {"token": key}}))
    assert "connect" in json.loads(await viewer.receive_str(timeout=30))
    await viewer.send_str(
        json.dumps({"id": 2, "subscribe": {"channel": "readings:pump-1", "data": {"max_rate": 20, "metrics": ["t"]}}})
    )
    assert json.loads(await viewer.receive_str(timeout=30)) == {"id": 2, "subscribe": {}}
    return viewer


async def publication(viewer: aiohttp.ClientWebSocketResponse, timeout_s: float = 30.0) -> list[dict[str, Any]]:
    """The readings of the next publication."""
    push = json.loads(await viewer.receive_str(timeout=timeout_s))["push"]
    assert (push["channel"], push["pub"].keys()) == ("readings:pump-1", {"data"})
    readings: list[dict[str, Any]] = push["pub"]["data"]["readings"]
    return readings


async def dial(url: str, key: str, channel: str) -> ClientConnection:
    """A subscriber on a socket of its own."""
    client = await connect(f"ws{url.removeprefix('http')}/ws", ping_interval=None, max_size=None, proxy=None)
    for number, command in enumerate(({"connect": {"token": key}}, {"subscribe": {"channel": channel}}), 1):
        await client.send(json.dumps({"id": number} | command))
        assert "error" not in json.loads(await client.recv())
    return client


def lose_packets(client: ClientConnection) -> None:
    """Have the kernel drop, unseen, whatever comes for this socket: no acknowledgement, no reset."""
    drop_all = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # BPF_RET | BPF_K: keep 0 bytes
    program = struct.pack("@HP", 1, ctypes.addressof(drop_all))
    client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


async def connections(server: Server) -> float:
    """What `/metrics` says."""
    async with server.http.get(f"{server.url}/metrics", headers=server.headers()) as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("sluice_connections "))


async def until_connections(server: Server, count: int, within_s: float) -> None:
    """Wait until so many are left."""
    async with asyncio.timeout(within_s):
        while await connections(server) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def far_end_exists(client: ClientConnection) -> bool:
    """Whether the kernel still has the server's end of a connection."""
    (_, ours), (_, theirs) = client.local_address[:2], client.remote_address[:2]
    rows = [line.split()[1:3] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[0].endswith(f":{theirs:04X}") and row[1].endswith(f":{ours:04X}") for row in rows)


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
