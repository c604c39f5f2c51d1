"""Unmodified clients of InfluxDB, from PyPI and from npm: stored, refused, throttled, and PostgreSQL away meanwhile."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.fragile import Fragile, until
from tests.acceptance.streaming import Client, streamed, streaming
from tests.conftest import Server

ARGUMENTS = {
    "influxdb-client": [sys.executable, "-m", "tests.acceptance.clients.influx2"],
    "influxdb": [sys.executable, "-m", "tests.acceptance.clients.influx1"],
    "@influxdata/influxdb-client": ["node", "influx.js"],
}


@asynccontextmanager
async def run(name: str, folder: Path, server: Server, key: str, device: str) -> AsyncIterator[Client]:
    """A client that streams readings; when this is left, it ends, and all that it has sent is stored."""
    async with streaming((*ARGUMENTS[name], server.url, key, device), folder=folder) as client:
        yield client
    await client.has_delivered(server.database_url, device)


class Stage:
    """Where all clients stream at the same time, and PostgreSQL is away for a while."""

    def __init__(self, fragile: Fragile, folder: Path) -> None:
        self.fragile, self.folder = fragile, folder
        self.began, self.told, self.back = (asyncio.Barrier(len(ARGUMENTS) + 1) for _ in range(3))

    async def play(self, away_s: float) -> list[Client]:
        """All clients, with PostgreSQL away for so long, and until each was told so."""
        async with asyncio.TaskGroup() as tasks:
            clients = [tasks.create_task(self.survive(name)) for name in ARGUMENTS]
            await self.began.wait()
            self.fragile.take_away()
            await asyncio.sleep(away_s)
            await self.told.wait()
            self.fragile.give_back()
            await self.back.wait()
        return [task.result() for task in clients]

    async def survive(self, name: str) -> Client:
        """Stream while PostgreSQL is taken away and given back; gives the client, which lost nothing."""
        device = f"device-{list(ARGUMENTS).index(name)}"
        server, database = self.fragile.server, self.fragile.database
        key = await server.key("ingest", device_glob=device)
        async with run(name, self.folder, server, key, device) as client:

            async def has_begun() -> bool:
                assert client.process.returncode is None, client.said
                return bool(await streamed(database, device))

            await until(has_begun, f"{name} has stored something")
            await self.began.wait()
            await until(partial(client.is_told, 503), f"{name} was told to come again")
            await self.told.wait()
            await self.back.wait()
        assert set(client.of("again")) <= {503, 504, 0}
        return client


@pytest.fixture
def stage(fragile: Fragile, node_folder: Path) -> Stage:
    """The server, and what the client of npm needs."""
    return Stage(fragile, node_folder)


async def throttled(stage: Stage, name: str) -> None:
    """Stream with a small quota until that is said; nothing is lost."""
    server = stage.fragile.server
    key = await server.key("ingest", quota_readings_per_s=15)
    async with run(name, stage.folder, server, key, f"slow-{len(name)}") as client:
        await until(partial(client.is_told, 429), f"{name} was throttled")


async def test_clients_store_are_refused_throttled_and_survive(stage: Stage) -> None:
    async with asyncio.TaskGroup() as tasks:
        playing = tasks.create_task(stage.play(0.5))
        for name in list(ARGUMENTS)[:2]:  # the one of npm waits for half a minute
            tasks.create_task(throttled(stage, name))
    for client in playing.result():
        assert client.of("refused") == [400, 401]
        assert "line 2: a value must be finite" in client.of("message")[0]
        assert (client.of("ping"), client.of("health")) == ([True], ["pass"])
        assert client.of("version")[0].startswith("2.")


@pytest.mark.long
async def test_clients_survive_thirty_seconds(stage: Stage) -> None:
    await stage.play(30)
    await throttled(stage, list(ARGUMENTS)[2])
