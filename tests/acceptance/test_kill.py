"""Killed in the middle of it: PostgreSQL, a worker, everything. What was answered 200 is there, once, to the bit."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from server.local import LocalPostgres
from server.local_memory import PORTS, Memory, is_free
from server.migrations import migrate
from tests.acceptance.dashboard import connection, dashboards
from tests.acceptance.sluice import Up, descendants, eventually, lives, matching
from tests.acceptance.traffic import Traffic
from tests.conftest import Server

START_S = 30  # for a worker that was started to serve, on a machine that is busy
BUSY = 3  # times longer than promised may it take here, beside other tests; `dev.py faults` measures the promise

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[LocalPostgres]:
    """A PostgreSQL of this test's own, to be killed."""
    async with LocalPostgres(tmp_path / "own") as server:
        yield server


@pytest.fixture
async def database(postgres: LocalPostgres) -> str:
    """In place of the session's: what `running_server` is started on here."""
    await migrate(postgres.url)
    return postgres.url


async def test_postgres_is_killed(running_server: Server, postgres: LocalPostgres) -> None:
    workers = running_server.supervisor.pids
    async with Traffic(running_server.url, running_server.admin_key) as traffic:
        for away_s in (0.0, 3.0):  # in the second case, answers have to come while it is away
            await traffic.flows()
            postgres.kill()
            before = traffic.answers.copy()
            await eventually(lambda: not postgres.processes(), 30, postgres.processes)
            await asyncio.sleep(away_s)
            if away_s:
                told = traffic.answers - before
                assert told[503], f"nobody was told that the database is away: {told}"
            await postgres.start()
            await traffic.flows()
    assert running_server.supervisor.pids == workers  # that the database went away is no reason to go as well
    traffic.check_answers()
    findings = await traffic.findings(running_server.database_url)
    assert findings.exact, findings


async def test_a_worker_is_killed(running_server: Server) -> None:
    before = running_server.supervisor.pids
    async with Traffic(running_server.url, running_server.admin_key) as traffic:
        await traffic.flows()
        os.kill(before[0], signal.SIGKILL)
        await replaced(running_server, before, before[0], within_s=2 * BUSY)
        await traffic.flows()
    assert traffic.answers[0], "no connection broke, so nothing was killed in the middle of it"
    traffic.check_answers()
    findings = await traffic.findings(running_server.database_url)
    assert findings.exact, findings


async def test_a_worker_freezes(running_server: Server) -> None:
    before = running_server.supervisor.pids
    async with Traffic(running_server.url, running_server.admin_key) as traffic:
        await traffic.flows()
        os.kill(before[1], signal.SIGSTOP)
        await replaced(running_server, before, before[1], within_s=6 * BUSY)
        await traffic.flows()
    traffic.check_answers()
    findings = await traffic.findings(running_server.database_url)
    assert findings.exact, findings


async def replaced(server: Server, before: list[int], victim: int, within_s: float) -> None:
    """Wait until another worker was started in the victim's place, and serves; the others must be the same."""
    began = time.monotonic()
    pids: list[int] = []
    while victim in (pids := server.supervisor.pids) or len(pids) < len(before):
        assert time.monotonic() - began < within_s, f"{victim} not replaced after {within_s} s: {pids}"
        await asyncio.sleep(0.01)
    started_s = time.monotonic() - began
    assert set(before) - {victim} < set(pids)
    serving: set[int] = set()
    while serving != set(pids):
        # Loading a worker's modules is a second of pure computing, which others may be at too.
        assert time.monotonic() - began < within_s + START_S, f"of {pids} only {serving} serve"
        async with asyncio.timeout(START_S), connection(server.url) as (_, worker):
            serving.add(worker)
    figures = {"started_after_s": started_s, "serves_after_s": time.monotonic() - began}
    sys.stdout.write(json.dumps({"replaced": {name: round(value, 2) for name, value in figures.items()}}) + "\n")


@pytest.fixture
def port() -> str:
    """A free port that no outgoing connection can take while nobody listens on it."""
    return str(next(port for port in random.sample(PORTS, 100) if is_free(port)))


async def test_up_itself_is_killed(tmp_path: Path, port: str) -> None:
    data_dir = tmp_path / "data"
    async with Up(data_dir, "--port", port, "--demo") as up, Traffic(up.url, up.key) as traffic:
        await traffic.flows()
        family = descendants(up.pid)
        for kind, count in (("server.worker", 2), ("load.simulate", 1), ("postgres", 2), ("valkey", 1)):
            assert len(matching(family, kind)) >= count, (kind, family)
        up.signal(signal.SIGKILL)
        assert await up.ended(30) == -signal.SIGKILL
        await eventually(
            lambda: not any(map(lives, family)), 30, lambda: [process for process in family if lives(process)]
        )
        assert sum(traffic.answers.values()) > traffic.answers[200] > 0
        async with Up(data_dir, "--port", port) as again:
            assert (again.url, again.key) == (up.url, up.key)
            await traffic.flows()
            async with (
                aiohttp.ClientSession(headers=up.headers) as http,
                http.get(f"{again.url}/v1/devices?prefix=kiln-&limit=100") as response,
            ):
                assert len((await response.json())["items"]) == 20
            await traffic.stop()
            traffic.check_answers()
            findings = await traffic.findings(database_of(data_dir))
            assert findings.exact, findings


async def test_up_is_asked_to_stop(tmp_path: Path, port: str) -> None:
    data_dir = tmp_path / "data"
    async with Up(data_dir, "--port", port) as up, Traffic(up.url, up.key) as traffic:
        await traffic.flows()
        workers = [process.pid for process in matching(descendants(up.pid), "server.worker")]
        async with dashboards(up.url, up.key, workers, 5) as watching:
            family = descendants(up.pid)
            began = time.monotonic()
            up.signal(signal.SIGTERM)
            assert await up.ended(10) == 0
            took = time.monotonic() - began
            assert [process for process in family if lives(process)] == []
            for dashboard in watching:
                async with asyncio.timeout(30):
                    while not dashboard.socket.closed:  # noqa: ASYNC110 - it sets no event
                        await asyncio.sleep(0.01)
                assert dashboard.socket.close_code == 3001
        async with Up(data_dir, "--port", port):
            await traffic.flows()
            await traffic.stop()
            traffic.check_answers()
            findings = await traffic.findings(database_of(data_dir))
            assert findings.exact, findings
    sys.stdout.write(
        json.dumps(
            {"stopped": {"after_s": round(took, 2), "answers": dict(traffic.answers), "breaks": dict(traffic.breaks)}}
        )
        + "\n"
    )


def database_of(data_dir: Path) -> str:
    """The URL of the PostgreSQL that `up` runs on a data folder."""
    postgres = LocalPostgres(data_dir)
    postgres.memory = Memory.recall(postgres.memory.path)
    return postgres.url
