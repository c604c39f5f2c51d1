"""Unmodified clients of ThingsBoard and SenML: stored, refused, throttled, and PostgreSQL away meanwhile."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.acceptance.fragile import Fragile, until
from tests.acceptance.streaming import Client, streamed, streaming
from tests.conftest import Server

CLIENTS = Path(__file__).parent / "clients"
SCRIPTS = {"thingsboard": "thingsboard.py", "senml": "senml_http.py"}
CURL = shutil.which("curl")


@asynccontextmanager
async def run(name: str, packages: Path, server: Server, key: str, device: str, count: int) -> AsyncIterator[Client]:
    """A client that streams so many readings; it ends when this is left."""
    command = (sys.executable, "-P", str(CLIENTS / SCRIPTS[name]), server.url, key, device, str(count))
    async with streaming(command, packages=packages) as client:
        yield client
    assert client.of("done") == [True], client.said


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


async def survive(fragile: Fragile, packages: Path, count: int, away_s: float) -> None:
    """Have all clients stream while PostgreSQL is taken away and given back: nothing is lost."""
    server = fragile.server
    began, away, told = (asyncio.Barrier(len(SCRIPTS) + 1) for _ in range(3))

    async def stream(name: str) -> None:
        key = await server.key("ingest", device_glob=name)
        async with run(name, packages, server, key, name, count) as client:

            async def stored(most: int) -> bool:
                return len(await streamed(fragile.database, name)) >= most

            await until(lambda: stored(1), f"{name} has begun")
            await began.wait()
            await away.wait()
            await until(lambda: asyncio.sleep(0, bool(client.of("again"))), f"{name} was refused")
            await told.wait()
            await until(lambda: stored(count), f"{name} has delivered")
        assert await streamed(fragile.database, name) == [float(number) for number in range(count)]
        assert client.of("refused") == ([400, 401] if name == "thingsboard" else [422, 401])
        assert client.of("connected") == [True]
        assert set(client.of("again")) <= {503, 504}

    async with asyncio.TaskGroup() as tasks:
        for name in SCRIPTS:
            tasks.create_task(stream(name))
        key = await server.key("ingest", device_glob="curl")
        await began.wait()
        assert (await by_curl(server, key))[:2] == (200, "")
        fragile.take_away()
        await away.wait()
        status, text, headers = await by_curl(server, key)
        assert (status, json.loads(text)["status"], int(headers["retry-after"][0]) >= 1) == (503, 503, True)
        patient = tasks.create_task(by_curl(server, key, "--retry", "100"))
        await asyncio.sleep(away_s)
        await told.wait()
        fragile.give_back()
    assert patient.result()[0] == 200, "curl's own retries heed Retry-After"


async def test_clients_store_are_refused_and_survive(fragile: Fragile, python_folder: Path) -> None:
    await survive(fragile, python_folder, 16, 2)
    kept = await fragile.server.fetch(
        "SELECT metric, value FROM telemetry WHERE device = 'thingsboard' AND metric <> 'stream'"
    )
    assert [tuple(each) for each in kept] == [("attributes.capacity", 2500.0)]
    units = await fragile.server.fetch("SELECT DISTINCT labels::text FROM telemetry WHERE device = 'senml'")
    assert [each[0] for each in units] == ['{"unit": "Cel"}']


async def test_clients_are_throttled_and_lose_nothing(fragile: Fragile, python_folder: Path) -> None:
    async def throttled(name: str) -> None:
        key = await fragile.server.key("ingest", device_glob=name, quota_readings_per_s=2)
        async with run(name, python_folder, fragile.server, key, name, 8) as client:

            async def stored() -> bool:
                return len(await streamed(fragile.database, name)) == 8

            await until(stored, f"{name} has delivered")
        assert 429 in client.of("again"), client.said

    await asyncio.gather(*map(throttled, SCRIPTS))


@pytest.mark.long
async def test_half_a_minute_without_postgresql_loses_nothing(fragile: Fragile, python_folder: Path) -> None:
    await survive(fragile, python_folder, 60, 30)
