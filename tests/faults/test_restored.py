"""PostgreSQL is restored under a worker that goes on running: what it remembers belongs to the database that was."""

import asyncio
import shutil
import time
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg

from server import hosts, leash
from server.database import AWAY
from server.local import LocalPostgres, LocalServices
from server.migrations import migrate
from tests.conftest import Server, _start

PATIENCE_S = 60.0
SERIES = "SELECT id FROM series WHERE device = $1"
OTHER = """
WITH device AS (INSERT INTO devices (name) VALUES ('other')),
     made AS (INSERT INTO series (device, metric, labels) VALUES ('other', 't', '{}') RETURNING id)
INSERT INTO newest (series_id) SELECT id FROM made RETURNING series_id
"""
RULE = {
    "name": "hot",
    "device": "later",
    "metric": "t",
    "condition": {"type": "threshold", "levels": [{"severity": "critical", "above": 50}]},
}


async def store(server: Server, device: str, value: float) -> None:
    """Send one reading until it is acknowledged, as a device does."""
    batch = {"device": device, "ts": [time.time_ns() // 1_000_000], "values": {"t": [value]}}
    deadline = time.monotonic() + PATIENCE_S
    while (answer := await server.write(batch))[0] != 200:
        assert answer[0] in {503, 504}, answer
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.05)


async def restore(postgres: LocalPostgres, backup: Path) -> None:
    """Lay a copy back in its place, and recover it, which begins a timeline of its own."""
    shutil.rmtree(postgres.folder)
    shutil.copytree(backup, postgres.folder)
    postgres.folder.chmod(0o700)
    (postgres.folder / "recovery.signal").touch()
    leash.own(postgres.folder, postgres.identity)
    postgres.settings["restore_command"] = "false"
    await postgres.start()


async def recovered(postgres: LocalPostgres) -> asyncpg.Connection:
    """A connection, once it may be written to."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await hosts.connect(postgres.url)
        except AWAY:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_a_worker_forgets_what_belongs_to_the_database_that_was(services: LocalServices, tmp_path: Path) -> None:
    async with LocalPostgres(tmp_path / "data") as postgres, AsyncExitStack() as stack:
        await migrate(postgres.url)
        server = await _start(stack, services, postgres.url, 1, {"redis_prefix": "restored"})
        await store(server, "before", 1)
        await postgres.stop()
        backup = Path(shutil.copytree(postgres.folder, tmp_path / "backup"))
        await postgres.start()

        await store(server, "later", 1)
        assert (await server.call("POST", "/v1/rules", RULE))[0] == 201
        [[taken]] = await server.fetch(SERIES, "later")
        pids = list(server.supervisor.pids)
        await postgres.stop()
        await restore(postgres, backup)
        other = await recovered(postgres)
        assert await other.fetchval(OTHER) == taken, "the id is another series' now"
        await other.close()

        await store(server, "later", 99)
        await store(server, "before", 2)
        found = await server.fetch("SELECT device, value FROM telemetry ORDER BY ts")
        assert [tuple(each) for each in found] == [("before", 1), ("later", 99), ("before", 2)]
        [[found_now]] = await server.fetch(SERIES, "later")
        assert found_now != taken
        [[events]] = await server.fetch("SELECT count(*) FROM alert_events")
        assert events == 0, "by a rule that is not there any more"
        assert list(server.supervisor.pids) == pids
