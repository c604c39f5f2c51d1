"""Rollups on a real server, while late readings come and what rolls up is killed."""

import asyncio
import os
import signal
import time
from typing import Any

import asyncpg

from query.partitions import start_of
from tests.acceptance.test_keeping import DAY_MS, DEVICES, OLD_DAYS, TODAY, Oracle, hammer, until
from tests.conftest import Server, StartServer
from tests.integration.reading import folded

QUICK = {"storage_every_s": 0.1, "rollup_settle_s": 0, "rollup_close_after_s": 0, "pack_after_days": 0}
NAMES = ("count", "sum", "avg", "min", "max", "first", "last")


async def kill(server: Server, end: float) -> dict[str, int]:
    """Kill backends that roll up, and now and then all workers just then; how many of each."""
    killed = {"backends": 0, "workers": 0}
    connection = await asyncpg.connect(server.database_url)
    next_workers = time.monotonic() + 1.5
    try:
        while time.monotonic() < end:
            rolling = await connection.fetch(
                """SELECT pid FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
                     AND (query LIKE '%rollup_progress SET%' OR query LIKE 'DELETE FROM rollup_%'
                          OR query LIKE 'COPY rollup_%' OR query LIKE '%FROM rollup_hours%')"""
            )
            if rolling and time.monotonic() > next_workers:
                for pid in list(server.supervisor.pids):
                    os.kill(pid, signal.SIGKILL)
                    killed["workers"] += 1
                next_workers += 2.5
            elif rolling and killed["backends"] < 5 * (time.monotonic() - end + 7):
                await connection.execute("SELECT pg_terminate_backend($1)", rolling[0][0])
                killed["backends"] += 1
            await asyncio.sleep(0.002)
    finally:
        await connection.close()
    return killed


async def test_rollups_are_those_of_the_readings_whatever_was_killed(start_server: StartServer) -> None:
    server = await start_server(**QUICK)
    stored: Oracle = {}
    end = time.monotonic() + 6
    async with asyncio.TaskGroup() as tasks:
        for number in range(DEVICES):
            tasks.create_task(hammer(server, f"pump-{number}", end, stored))
        killing = tasks.create_task(kill(server, end))

    async def at_rest() -> bool:
        found: Any = (
            await server.fetch(
                """SELECT rolled_us / 86400000000 >= $1 AND NOT EXISTS (SELECT FROM rollup_dirty) AS done
                   FROM rollup_progress""",
                TODAY,
            )
        )[0]
        return bool(found["done"])

    await until(at_rest)
    assert killing.result()["backends"] > 0, "none was killed while rolling up"
    assert killing.result()["workers"] > 0
    since, until_ = (start_of(TODAY - ago).strftime("%FT%TZ") for ago in (max(OLD_DAYS), min(OLD_DAYS) - 1))
    for device in sorted({device for device, _ in stored}):
        mine = [(us, 1, value) for (name, us), value in sorted(stored.items()) if name == device]
        for width in (60, 3_600, DAY_MS // 1_000):
            path = (
                f"/v1/series?device={device}&metric=m&from={since}&to={until_}&bucket_s={width}&agg={','.join(NAMES)}"
            )
            status, found = await server.call("GET", path)
            assert status == 200, found
            wanted = folded(mine, width)
            assert [[each[name] for name in NAMES] for each in found["buckets"]] == [
                [each[name] for name in NAMES] for each in wanted
            ]
            assert len(wanted) >= 2
    rolled = await server.fetch("SELECT sum((SELECT sum(n) FROM unnest(counts) n)) FROM rollup_days")
    assert (rolled[0][0] or 0) > len(stored) / 2, "it was answered from readings alone"
