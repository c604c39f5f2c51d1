"""Unmodified clients of ThingsBoard and SenML: stored, refused, throttled, and PostgreSQL away meanwhile."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import Server, StartServer
from tests.proxy import HOST, Proxy, through

CLIENTS = Path(__file__).parent / "clients"
PATIENCE_S = 120
SCRIPTS = {"thingsboard": "thingsboard.py", "senml": "senml_http.py"}
CURL = shutil.which("curl")


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
async def run(name: str, packages: Path, server: Server, key: str, device: str, count: int) -> AsyncIterator[Client]:
    """A client that streams so many readings; it ends when this is left."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", str(CLIENTS / SCRIPTS[name]), server.url, key, device, str(count)),
        env=environment | {"PYTHONPATH": str(packages)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    client = Client(process)
    hearing = asyncio.create_task(client.listen())
    try:
        yield client
        assert process.stdin
        process.stdin.close()
        await asyncio.wait_for(process.wait(), PATIENCE_S)
        await hearing
        assert (process.returncode, client.of("done")) == (0, [True]), client.said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        hearing.cancel()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - what it waits for happens in other processes
            await asyncio.sleep(0.05)


async def streamed(server: Server, database: str, device: str) -> list[float]:
    """What is stored of a stream, in order; by a way that is never cut."""
    server = Server(server.url, database, "", "", server.supervisor, server.http)
    query = "SELECT value FROM telemetry WHERE device = $1 AND metric = 'stream' ORDER BY ts"
    return [record["value"] for record in await server.fetch(query, device)]


async def by_curl(server: Server, key: str, *more: str) -> tuple[int, str, dict[str, list[str]]]:
    """The line of ThingsBoard's documentation: a device that sends once; gives status, text and headers."""
    assert CURL
    url = f"{server.url}/api/v1/{key}/telemetry"
    told = ("-sS", "--noproxy", "*", "-w", "\n%{http_code}\n%{header_json}", *more)
    process = await asyncio.create_subprocess_exec(
        *(CURL, *told, "-X", "POST", "-d", '{"curl": 42}', url, "--header", "Content-Type:application/json"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    text, status, headers = output.decode().split("\n", 2)
    return int(status), text, json.loads(headers)


async def survive(server: Server, proxy: Proxy, database: str, packages: Path, count: int, away_s: float) -> None:
    """Have all clients stream while PostgreSQL is taken away and given back: nothing is lost."""
    began, away, told = (asyncio.Barrier(len(SCRIPTS) + 1) for _ in range(3))

    async def stream(name: str) -> None:
        key = await server.key("ingest", device_glob=name)
        async with run(name, packages, server, key, name, count) as client:

            async def stored(most: int) -> bool:
                return len(await streamed(server, database, name)) >= most

            await until(lambda: stored(1))
            await began.wait()
            await away.wait()
            await until(lambda: asyncio.sleep(0, bool(client.of("again"))))
            await told.wait()
            await until(lambda: stored(count))
        assert await streamed(server, database, name) == [float(number) for number in range(count)]
        assert client.of("refused") == ([400, 401] if name == "thingsboard" else [422, 401])
        assert client.of("connected") == [True]
        assert set(client.of("again")) <= {503, 504}

    async with asyncio.TaskGroup() as tasks:
        for name in SCRIPTS:
            tasks.create_task(stream(name))
        key = await server.key("ingest", device_glob="curl")
        await began.wait()
        assert (await by_curl(server, key))[:2] == (200, "")
        proxy.lead_to(HOST, 9)  # where nobody listens
        proxy.reset()
        await away.wait()
        status, text, headers = await by_curl(server, key)
        assert (status, json.loads(text)["status"], int(headers["retry-after"][0]) >= 1) == (503, 503, True)
        patient = tasks.create_task(by_curl(server, key, "--retry", "100"))
        await asyncio.sleep(away_s)
        await told.wait()
        proxy.lead_to_url(database)
    assert patient.result()[0] == 200, "curl's own retries heed Retry-After"


async def test_clients_store_are_refused_and_survive(
    server: Server, proxy: Proxy, database: str, python_folder: Path
) -> None:
    await survive(server, proxy, database, python_folder, 16, 2)
    kept = await server.fetch("SELECT metric, value FROM telemetry WHERE device = 'thingsboard' AND metric <> 'stream'")
    assert [tuple(each) for each in kept] == [("attributes.capacity", 2500.0)]
    units = await server.fetch("SELECT DISTINCT labels::text FROM telemetry WHERE device = 'senml'")
    assert [each[0] for each in units] == ['{"unit": "Cel"}']


async def test_clients_are_throttled_and_lose_nothing(server: Server, database: str, python_folder: Path) -> None:
    async def throttled(name: str) -> None:
        key = await server.key("ingest", device_glob=name, quota_readings_per_s=2)
        async with run(name, python_folder, server, key, name, 8) as client:

            async def stored() -> bool:
                return len(await streamed(server, database, name)) == 8

            await until(stored)
        assert 429 in client.of("again"), client.said

    await asyncio.gather(*map(throttled, SCRIPTS))


@pytest.mark.long
async def test_half_a_minute_without_postgresql_loses_nothing(
    server: Server, proxy: Proxy, database: str, python_folder: Path
) -> None:
    await survive(server, proxy, database, python_folder, 60, 30)
