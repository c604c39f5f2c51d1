"""Dashboards as `/ws` sees them, each on a connection of which is known which worker it landed on."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[tuple[aiohttp.ClientSession, int]]:
    """A session that uses one TCP connection for all it does, and the process id of the worker at its other end.

    Asking `/readyz` on a connection tells its worker; the WebSocket then goes over that same connection, because it is
    the only one the session may have. Whoever uses it finds out in the end if another one was opened after all.
    """
    opened = 0

    async def count(*_: object) -> None:
        nonlocal opened
        opened += 1

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(count)
    connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as session:
        async with asyncio.timeout(30):  # on a busy machine a worker may find PostgreSQL late, for a moment
            while True:
                async with session.get(f"{url}/readyz") as response:
                    worker = int(response.headers["X-Worker"])
                    await response.read()
                if response.status == 200:
                    break
                await asyncio.sleep(0.05)
        yield session, worker
        assert opened == 1, "the worker is not the one that was asked"


@dataclass(frozen=True, slots=True)
class Publication:
    """What arrived, and when by `time.perf_counter`."""

    offset: int
    data: dict[str, Any]
    at: float


@dataclass(slots=True)
class Dashboard:
    """A subscriber to `alerts` that keeps all it gets."""

    socket: aiohttp.ClientWebSocketResponse
    worker: int
    position: int
    """The offset that the answer to `subscribe` gave."""
    publications: list[Publication] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def offsets(self) -> list[int]:
        """Offsets in the order of their arrival."""
        return [publication.offset for publication in self.publications]

    async def run(self) -> None:
        """Take what comes, until the server closes."""
        async for message in self.socket:
            at = time.perf_counter()
            for line in str(message.data).split("\n"):
                reply = json.loads(line)
                if publication := reply.get("push", {}).get("pub"):
                    self.publications.append(Publication(publication["offset"], publication["data"], at))
                    self._arrived.set()
                elif not reply:
                    await self.socket.send_str("{}")

    async def has(self, count: int, patience_s: float = 30.0) -> None:
        """Wait until so many publications came."""
        async with asyncio.timeout(patience_s):
            while len(self.publications) < count:
                self._arrived.clear()
                await self._arrived.wait()


async def subscribe(session: aiohttp.ClientSession, url: str, key: str, worker: int) -> Dashboard:
    """Connect and subscribe, in the two lines of the contract."""
    socket = await session.ws_connect(f"{url}/ws")
    await socket.send_str(json.dumps({"id": 1, "connect": {"token": key}}))
    answer = json.loads(await socket.receive_str(timeout=30))
    assert answer["connect"]["client"], answer
    await socket.send_str(json.dumps({"id": 2, "subscribe": {"channel": "alerts"}}))
    answer = json.loads(await socket.receive_str(timeout=30))
    return Dashboard(socket, worker, answer["subscribe"]["offset"])


@asynccontextmanager
async def dashboards(url: str, key: str, workers: list[int], each: int) -> AsyncIterator[list[Dashboard]]:
    """`each` running dashboards on every one of these workers."""
    wanted = dict.fromkeys(workers, each)
    async with AsyncExitStack() as stack:
        found: list[Dashboard] = []
        while any(wanted.values()):
            async with AsyncExitStack() as attempt:
                session, worker = await attempt.enter_async_context(connection(url))
                if not wanted[worker]:
                    continue  # the kernel gave us one of a worker that has enough: hang up
                wanted[worker] -= 1
                found.append(await subscribe(session, url, key, worker))
                stack.push_async_exit(attempt.pop_all())
        tasks = [asyncio.create_task(dashboard.run()) for dashboard in found]
        try:
            yield found
        finally:
            for dashboard, task in zip(found, tasks, strict=True):
                await dashboard.socket.close()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
