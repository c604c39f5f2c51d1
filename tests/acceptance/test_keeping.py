"""Packing, retention and `sluice storage` on a real server, under load, with things dying in between."""

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import asyncpg
from typer.testing import CliRunner

from query.partitions import make, name_of, start_of
from server import storage_cli
from tests.conftest import Server, StartServer

DAY_MS = 86_400_000
TODAY = time.time_ns() // 1_000_000 // DAY_MS
OLD_DAYS = (3, 4)  # days ago
DEVICES = 6
QUICK = {"storage_every_s": 0.1, "pack_after_days": 0}

Oracle = dict[tuple[str, int], float]
"""What is stored, by device and microseconds."""


async def until(condition: Callable[[], Awaitable[Any]], patience_s: float = 60.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(patience_s):
        while not await condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def insist(server: Server, batch: Any, **params: str) -> dict[str, int]:
    """Send a batch again and again until it is stored."""
    while True:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            status, body = await server.write(batch, **params)
            if status == 200:
                stored: dict[str, int] = body
                return stored
            assert status in (503, 504), body
        await asyncio.sleep(0.02)


async def hammer(server: Server, device: str, end: float, stored: Oracle) -> None:
    """One device that writes old readings: new ones, again, replaced; at milliseconds and between them."""
    rng = random.Random(device)
    known: list[int] = []
    while time.monotonic() < end:
        replace = rng.random() < 0.3
        day = TODAY - rng.choice(OLD_DAYS)
        at = [
            rng.choice(known) if known and rng.random() < 0.4 else moment(rng, day) for _ in range(rng.choice((1, 30)))
        ]
        values = [rng.random() for _ in at]
        readings = [{"ts": text(us), "metric": "m", "value": value} for us, value in zip(at, values, strict=True)]
        new = len(set(at) - {us for name, us in stored if name == device})
        params = {"on_conflict": "replace"} if replace else {}
        body = await insist(server, {"device": device, "readings": readings}, **params)
        assert body["accepted"] + body["duplicates"] == len(at)
        assert body["accepted"] <= new  # fewer where the answer to the first attempt was lost
        for us, value in zip(at, values, strict=True):
            if replace or (device, us) not in stored:
                stored[device, us] = value
        known += at


def moment(rng: random.Random, day: int) -> int:
    """A time of a day, in microseconds; half of all lie in the same hour."""
    ms = rng.randrange(3_600_000 if rng.random() < 0.5 else DAY_MS)
    return (day * DAY_MS + ms) * 1_000 + (rng.randrange(1_000) if rng.random() < 0.3 else 0)


def text(us: int) -> str:
    """RFC 3339 with microseconds."""
    start = start_of(us // 1_000 // DAY_MS)
    rest = us - us // 1_000 // DAY_MS * DAY_MS * 1_000
    seconds, fraction = divmod(rest, 1_000_000)
    return f"{start:%F}T{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}Z"


async def kill(server: Server, end: float) -> int:
    """Kill backends that are packing, and workers, again and again; how many backends that were."""
    killed = 0
    rng = random.Random(7)
    connection = await asyncpg.connect(server.database_url)
    next_worker = time.monotonic() + 1.5
    try:
        while time.monotonic() < end:
            killed += await connection.fetchval(
                """SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND query LIKE '%WITH plain AS (%' AND pid <> pg_backend_pid()
                     AND state <> 'idle' AND random() < 0.3"""
            )
            if time.monotonic() > next_worker:
                os.kill(rng.choice(list(server.supervisor.pids)), signal.SIGKILL)
                next_worker += 2.5
            await asyncio.sleep(0.005)
    finally:
        await connection.close()
    return killed


async def test_nothing_is_lost_or_doubled_while_old_days_are_packed(start_server: StartServer) -> None:
    server = await start_server(**QUICK)
    stored: Oracle = {}
    end = time.monotonic() + 4.5
    async with asyncio.TaskGroup() as tasks:
        for number in range(DEVICES):
            tasks.create_task(hammer(server, f"pump-{number}", end, stored))
        killing = tasks.create_task(kill(server, end))
    forms = "SELECT (SELECT count(*) FROM readings) + (SELECT count(*) FROM runs), (SELECT count(*) FROM packed)"

    async def is_packed() -> bool:
        return bool((await server.fetch(forms))[0][0] == 0)

    await until(is_packed)
    found = await server.fetch("SELECT device, (extract(epoch FROM ts) * 1000000)::bigint AS us, value FROM telemetry")
    assert len(found) == len(stored), "lost or doubled"
    assert {(record["device"], record["us"]): record["value"] for record in found} == stored
    assert len(stored) > 200
    assert killing.result() > 0, "no backend was killed while packing"


async def test_days_are_dropped_under_load_and_room_is_given_back(start_server: StartServer) -> None:
    server = await start_server(retention_days=30, **QUICK)
    connection = await asyncpg.connect(server.database_url)
    for age in (33, 40):
        for form in ("readings", "runs", "packed"):
            await make(connection, form, TODAY - age)
    statuses: list[int] = []

    async def write(device: str) -> None:
        for number in range(10_000):
            late = (TODAY - 5) * DAY_MS + number
            now = time.time_ns() // 1_000_000
            readings = [{"ts": ts, "metric": "m", "value": 1.0} for ts in (late, now)]
            statuses.append((await server.write({"device": device, "readings": readings}))[0])

    async def is_done() -> bool:
        gone = await connection.fetchval("SELECT to_regclass($1) IS NULL", name_of("packed", TODAY - 33))
        return bool(gone) and len(statuses) > 200

    writers = [asyncio.create_task(write(f"pump-{number}")) for number in range(8)]
    try:
        await until(is_done)
    finally:
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)

    async def is_empty() -> bool:
        size = "SELECT pg_relation_size($1) + pg_relation_size($2)"
        return not await connection.fetchval(size, name_of("readings", TODAY - 5), name_of("runs", TODAY - 5))

    await until(is_empty)
    await connection.close()
    assert set(statuses) == {200}
    async with server.http.get(f"{server.url}/metrics", headers=server.headers()) as response:
        metrics = await response.text()
    assert 'sluice_storage_partitions{form="packed"}' in metrics
    assert float(metrics.partition("\nsluice_readings_packed_total ")[2].split()[0]) > 0


async def sluice(server: Server, *words: str, status: int = 0) -> str:
    """What `sluice storage …` prints."""

    def call() -> str:
        done = CliRunner(env={"SLUICE_DATABASE_URL": server.database_url}).invoke(storage_cli.app, words)
        assert done.exit_code == status, done.output
        output: str = done.output
        return output + str(done.exception or "")

    return await asyncio.to_thread(call)  # it runs a loop of its own


async def test_storage_tells_what_there_is_and_what_becomes_of_it(start_server: StartServer) -> None:
    server = await start_server(workers=1, **QUICK)
    for age in (0, 3):
        readings = [{"ts": (TODAY - age) * DAY_MS + place, "metric": "m", "value": 1.0} for place in range(300)]
        assert (await server.write({"device": "pump-1", "readings": readings}))[0] == 200

    async def is_packed() -> bool:
        return bool(await server.fetch("SELECT FROM packed"))

    await until(is_packed)
    report = json.loads(await sluice(server, "--json"))
    assert report["total"]["readings"] == 600
    assert report["forms"]["packed"]["readings"] == report["forms"]["runs"]["readings"] == 300
    told = {each["day"]: each for each in report["days"]}
    assert told[f"{start_of(TODAY):%F}"]["state"] == "open"
    assert told[f"{start_of(TODAY - 3):%F}"]["readings"]["packed"] == 300
    assert report["total"]["oldest"] == f"{start_of(TODAY - 3):%F}T00:00:00.000Z"
    assert report["rollups"]["rollup_minutes"]["kept_days"] == 90

    async def is_rolled_up() -> bool:
        return "rollup_days: 1 partitions" in await sluice(server)

    await until(is_rolled_up)
    assert "debug_*" in await sluice(server, "keep", "debug_*", "7")
    assert "longer" in await sluice(server, "keep", "x", "9999", status=1)
    people = await sluice(server)
    assert "600 readings" in people
    assert "debug_*: kept for 7 days" in people
    await sluice(server, "forget", "debug_*")
    await sluice(server, "forget", "debug_*", status=1)
    assert json.loads(await sluice(server, "--json", "--no-count"))["total"]["readings"] is None
