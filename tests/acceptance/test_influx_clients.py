"""Unmodified clients of InfluxDB, from PyPI and from npm: stored, refused, throttled, and PostgreSQL away meanwhile."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.conftest import Server, StartServer
from tests.proxy import HOST, Proxy, through

CLIENTS = Path(__file__).parent / "clients"
PATIENCE_S = 240  # for a client to end: its retries wait for whole seconds, on a machine that others use as well
ARGUMENTS = {
    "influxdb-client": [sys.executable, str(CLIENTS / "influx2.py")],
    "influxdb": [sys.executable, str(CLIENTS / "influx1.py")],
    "@influxdata/influxdb-client": ["node", "influx.js"],
}


@pytest_asyncio.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    """What stands before PostgreSQL."""
    async with Proxy.to(database) as standing:
        yield standing


@pytest_asyncio.fixture
async def server(start_server: StartServer, database: str, proxy: Proxy) -> Server:
    """A server whose database can be taken away."""
    return await start_server(workers=1, database_url=through(database, proxy))


class Client:
    """A client that runs, and what it said so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []

    async def listen(self) -> None:
        """Hear it to its end."""
        assert self.process.stdout
        async for line in self.process.stdout:
            self.said.append(json.loads(line))

    def of(self, name: str) -> list[Any]:
        """All that it said of one kind."""
        return [each[name] for each in self.said if name in each]


@asynccontextmanager
async def run(name: str, folder: Path, server: Server, key: str, device: str, count: int) -> AsyncIterator[Client]:
    """A client that streams so many readings; when this is left, it has ended well."""
    process = await asyncio.create_subprocess_exec(
        *(*ARGUMENTS[name], server.url, key, device, str(count)),
        cwd=folder,
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        stdout=asyncio.subprocess.PIPE,
    )
    client = Client(process)
    hearing = asyncio.create_task(client.listen())
    try:
        yield client
        await asyncio.wait_for(process.wait(), PATIENCE_S)
        await hearing
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        hearing.cancel()
    assert (process.returncode, client.of("done")) == (0, [True]), client.said


async def streamed(database: str, device: str) -> list[float]:
    """What is stored of a stream, in order."""
    connection = await asyncpg.connect(database)
    try:
        query = "SELECT value FROM telemetry WHERE device = $1 AND metric = 'stream' ORDER BY ts"
        return [record["value"] for record in await connection.fetch(query, device)]
    finally:
        await connection.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - what it waits for happens in other processes
            await asyncio.sleep(0.02)


class Stage:
    """Where all clients stream at the same time, and PostgreSQL is away for a while."""

    def __init__(self, server: Server, proxy: Proxy, database: str, folder: Path) -> None:
        self.server, self.proxy, self.database, self.folder = server, proxy, database, folder
        self.began = asyncio.Barrier(len(ARGUMENTS) + 1)
        self.told = asyncio.Barrier(len(ARGUMENTS) + 1)

    async def play(self, count: int, away_s: float) -> list[Client]:
        """All clients, each with so many readings."""
        async with asyncio.TaskGroup() as tasks:
            clients = [tasks.create_task(survive(self, name, count)) for name in ARGUMENTS]
            await self.began.wait()
            self.proxy.lead_to(HOST, 9)  # where nobody listens
            self.proxy.reset()
            await asyncio.sleep(away_s)
            await self.told.wait()
            self.proxy.lead_to_url(self.database)
        return [task.result() for task in clients]


async def survive(stage: Stage, name: str, count: int) -> Client:
    """Stream while PostgreSQL is taken away and given back; gives the client, which lost nothing."""
    device = f"device-{list(ARGUMENTS).index(name)}"
    key = await stage.server.key("ingest", device_glob=device)
    async with run(name, stage.folder, stage.server, key, device, count) as client:

        async def has_begun() -> bool:
            return bool(await streamed(stage.database, device))

        async def was_told() -> bool:
            return bool(client.of("again"))

        await until(has_begun)
        await stage.began.wait()
        await until(was_told)
        await stage.told.wait()
    assert await streamed(stage.database, device) == [float(number) for number in range(count)], (name, client.said)
    assert set(client.of("again")) <= {503, 504, 0}
    assert client.of("lost") == []
    return client


@pytest.fixture
def stage(server: Server, proxy: Proxy, database: str, node_folder: Path) -> Stage:
    """The server, with a database that can be taken away."""
    return Stage(server, proxy, database, node_folder)


async def test_clients_store_are_refused_throttled_and_survive(stage: Stage) -> None:
    for client in await stage.play(120, 0.5):
        assert client.of("refused") == [400, 401]
        assert "line 2: a value must be finite" in client.of("message")[0]
        assert (client.of("ping"), client.of("health")) == ([True], ["pass"])
        assert client.of("version")[0].startswith("2.")

    async def throttled(name: str) -> None:
        key = await stage.server.key("ingest", quota_readings_per_s=15)
        device = f"slow-{len(name)}"
        async with run(name, stage.folder, stage.server, key, device, 60) as client:
            pass
        assert await streamed(stage.database, device) == [float(number) for number in range(60)]
        assert 429 in client.of("again")

    await asyncio.gather(*map(throttled, ARGUMENTS))


@pytest.mark.long
async def test_clients_survive_thirty_seconds(stage: Stage) -> None:
    await stage.play(2_000, 30)
