"""A restore to a moment: what was acknowledged before it is there, what came after is not, and dashboards are told so.

By the scripts of `server/deploy/postgresql/` and the embedded PostgreSQL's own tools, under load, as docs/operations.md
has it.
"""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from server import leash
from server.local import LocalPostgres, LocalServices
from server.migrations import migrate
from tests.conftest import Server, _start

SCRIPTS = Path(__file__).parents[2] / "server" / "deploy" / "postgresql"
PATIENCE_S = 120.0
SENDERS = 8
RULE = {
    "name": "hot",
    "device": "sender-*",
    "metric": "t",
    "condition": {"type": "threshold", "levels": [{"severity": "critical", "above": 50}]},
}

Row = tuple[str, int, float]


@dataclass
class Account:
    """What was acknowledged: rows, each with when it was sent and when its answer came (seconds, the machine's clock).

    Its COMMIT was between the two, however long either way took.
    """

    rows: dict[Row, tuple[float, float]] = field(default_factory=dict)
    going: bool = True

    async def send(self, server: Server, number: int) -> None:
        """Send batches, one after the other."""
        place = 0
        while self.going:
            place += 1
            ts = time.time_ns() // 1_000_000
            device, value = f"sender-{number}", float(place % 90)
            readings = [(device, ts - back, value + back) for back in range(3)]
            batch = {
                "device": device,
                "ts": [row[1] for row in readings],
                "values": {"t": [row[2] for row in readings]},
            }
            sent = time.time()
            try:
                status, _ = await server.write(batch)
            except (OSError, TimeoutError):
                continue
            if status == 200:
                answered = time.time()
                for row in readings:  # of two with the same time the first stays
                    if (row[0], row[1]) not in {known[:2] for known in list(self.rows)[-60:]}:
                        self.rows[row] = sent, answered


@asynccontextmanager
async def running(services: LocalServices, url: str) -> AsyncIterator[Server]:
    """Sluice on a database."""
    async with AsyncExitStack() as stack:
        yield await _start(stack, services, url, 2, {})


async def until_rows(account: Account, count: int) -> None:
    """Wait until so many more are acknowledged."""
    wanted, deadline = len(account.rows) + count, time.monotonic() + PATIENCE_S
    while len(account.rows) < wanted:
        assert time.monotonic() < deadline, len(account.rows)
        await asyncio.sleep(0.05)


async def ask(url: str, query: str) -> Any:
    """One value of a database."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def tools(postgres: LocalPostgres) -> dict[str, str]:
    """An environment in which PostgreSQL's tools find themselves and the server."""
    parts = urlsplit(postgres.url)
    where = {"PGHOST": parts.hostname or "", "PGPORT": str(parts.port), "PGUSER": parts.username or ""}
    path = f"{postgres.program.parent}:{os.environ['PATH']}"
    return {**os.environ, **where, "PGPASSWORD": postgres.memory.password, "PATH": path}


async def back_up(postgres: LocalPostgres, folder: Path, keep: int = 7) -> Path:
    """As an operator does it; returns where the base backup is."""
    command = [str(SCRIPTS / "sluice-backup"), str(folder), str(keep)]
    done = await asyncio.to_thread(
        subprocess.run, command, env=tools(postgres), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def archiving(folder: Path) -> dict[str, str]:
    """Settings of PostgreSQL."""
    command = f"{SCRIPTS / 'sluice-archive'} %p %f {folder / 'wal'}"
    return {"archive_mode": "on", "archive_timeout": "60", "archive_command": command}


def restore(backup: Path, folder: Path, postgres: LocalPostgres, data_dir: Path, moment: str) -> LocalPostgres:
    """Lay a base backup where a new server will find it, with what to do next."""
    data_dir.mkdir(mode=0o755)
    shutil.copytree(backup, data_dir / "postgres")
    (data_dir / "postgres").chmod(0o700)
    shutil.copy(postgres.memory.path, data_dir / "postgres.json")  # the password is that of the cluster
    (data_dir / "postgres" / "recovery.signal").touch()
    leash.own(data_dir / "postgres", postgres.identity)
    how = {
        "restore_command": f"cp {folder / 'wal'}/%f %p",
        "recovery_target_time": moment,
        "recovery_target_action": "promote",
    }
    return LocalPostgres(data_dir, how)


async def hello(server: Server, epoch: str, offset: int) -> dict[str, Any]:
    """What a dashboard is told that comes back from there."""
    wanted = {"channel": "alerts", "recover": True, "epoch": epoch, "offset": offset}
    async with server.http.ws_connect(f"{server.url}/ws") as socket:
        await socket.send_str(json.dumps({"id": 1, "connect": {"token": server.admin_key}}))
        await socket.send_str(json.dumps({"id": 2, "subscribe": wanted}))
        while True:
            for line in (await socket.receive_str(timeout=30)).splitlines():
                if (reply := json.loads(line)).get("id") == 2:
                    found: dict[str, Any] = reply["subscribe"]
                    return found


async def stored(server: Server) -> set[Row]:
    """Every reading."""
    records = await server.fetch("SELECT device, (extract(epoch FROM ts) * 1000)::bigint, value FROM telemetry")
    return {tuple(record) for record in records}


@pytest.mark.long
async def test_a_restore_to_a_moment_holds_what_was_acknowledged_before_it(
    services: LocalServices, tmp_path: Path
) -> None:
    folder, account = tmp_path / "backups", Account()
    (folder / "wal").mkdir(parents=True)
    (tmp_path / "next" / "wal").mkdir(parents=True)
    async with LocalPostgres(tmp_path / "first", archiving(folder)) as first:
        leash.own(folder, first.identity)  # by which the server writes there
        await migrate(first.url)
        async with running(services, first.url) as server:
            await server.call("POST", "/v1/rules", RULE)
            sending = [asyncio.create_task(account.send(server, number)) for number in range(SENDERS)]
            await until_rows(account, 300)
            backup = await back_up(first, folder)  # while they send
            await until_rows(account, 300)
            until = time.time()
            moment = await ask(first.url, "SELECT clock_timestamp()::text")
            since = time.time()
            epoch_before = await hello(server, "", 0)
            await until_rows(account, 300)
            status, _ = await server.call("DELETE", "/v1/devices/sender-0")  # the mistake
            assert status in {200, 202, 204}
            await until_rows(account, 100)
            account.going = False
            await asyncio.gather(*sending)
            last = await hello(server, "", 0)
            await ask(first.url, "SELECT pg_switch_wal()::text")
            await until_archived(first.url)
    second = restore(backup, folder, first, tmp_path / "second", moment)
    async with second, promoted(second.url), running(services, second.url) as server:
        found = await stored(server)
        before = {row for row, (_, answered) in account.rows.items() if answered < until}
        after = {row for row, (sent, _) in account.rows.items() if sent > since}
        assert len(before) > 500
        assert sorted(before - found) == [], "acknowledged before the moment, and not there"
        assert sorted(after & found) == [], "later than the moment, and there"
        assert any(row[0] == "sender-0" for row in found), "the mistake is undone"
        told = await hello(server, last["epoch"], last["offset"])
        assert not told["recovered"]
        assert told["epoch"] != epoch_before["epoch"] == last["epoch"]
        # Life goes on: senders that kept what was lost send it again, and alerts are numbered from where they stood.
        lost = [row for row in after if row[0] == "sender-1"]
        again = {"ts": [row[1] for row in lost], "values": {"t": [row[2] for row in lost]}}
        status, answer = await server.write({"device": "sender-1"} | again)
        assert (status, answer["duplicates"]) == (200, 0)
        assert answer["accepted"] == len(again["ts"]) > 0
        offsets = [record[0] for record in await server.fetch('SELECT "offset" FROM alert_events ORDER BY 1')]
        assert offsets == list(range(1, len(offsets) + 1))
        await back_up(second, tmp_path / "next")


@asynccontextmanager
async def promoted(url: str) -> AsyncIterator[None]:
    """Wait until the moment is reached; before, it may be read."""
    deadline = time.monotonic() + PATIENCE_S
    while await ask(url, "SELECT pg_is_in_recovery()"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    yield


async def until_archived(url: str) -> None:
    """Wait until the log is kept up to now."""
    query = "SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) FROM pg_stat_archiver"
    deadline = time.monotonic() + PATIENCE_S
    while not await ask(url, query):
        assert time.monotonic() < deadline, await ask(url, "SELECT pg_stat_archiver::text FROM pg_stat_archiver")
        await asyncio.sleep(0.1)
