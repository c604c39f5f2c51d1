"""An upgrade that nobody notices: two instances of an older version behind nginx, replaced one by one under load.

The old one is the last commit with fewer migrations, so the new one migrates under its feet. As docs/operations.md has
it.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import asyncpg
import pytest

from server.local import LocalServices
from tests.acceptance.nginx import BINARY, HOST, Nginx, free_port, nginx
from tests.acceptance.sluice import environment
from tests.conftest import _execute, _url

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
SENDERS = 8
SIDE_BY_SIDE_S = 5.0
SQL = "schemas/sql"
ROOMS = ("alerts", "ingest", "query", "schemas", "server")


def git(*words: str) -> str:
    """What git says; a skip where there is no history."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        pytest.skip(f"NO HISTORY, AN UPGRADE WAS NOT TRIED: git {words[0]}: {done.stderr.strip()}")
    return done.stdout


def migrations(commit: str) -> set[str]:
    """Those of a commit, each with its content; not the folders beside them, which are no step of the schema."""
    return {line for line in git("ls-tree", commit, f"{SQL}/").splitlines() if line.endswith(".sql")}


def older() -> str:
    """The last commit whose migrations are some of today's: in some, numbers were not what they became."""
    now = migrations("HEAD")
    for commit in git("rev-list", "HEAD", "--", SQL).split():
        if migrations(commit) < now:
            return commit
    pytest.skip("NO OLDER VERSION IN THIS HISTORY, AN UPGRADE WAS NOT TRIED")


@dataclass
class Instance:
    """One `sluice serve` on a port that stays its own, whatever version runs there."""

    port: int
    settings: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    async def start(self, code: Path) -> Self:
        """Run this version, and wait until it is ready."""
        command = [sys.executable, "-m", "server.cli", "serve", "--migrate", "--workers", "1", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - nothing is read of it
                command, cwd=code, env=environment(**self.settings), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        async with aiohttp.ClientSession() as http:
            while True:
                assert self.process.poll() is None, self.log.read_text()[-2_000:]
                assert time.monotonic() < deadline, self.log.read_text()[-2_000:]
                try:
                    async with http.get(f"http://{HOST}:{self.port}/readyz") as answer:
                        if answer.status == 200:
                            return self
                except OSError:
                    pass
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Ask it to end."""
        if self.process is not None:
            self.process.terminate()
            await asyncio.to_thread(self.process.wait, 60)


@dataclass
class Fleet:
    """Devices that send through nginx, each batch until it is answered 200."""

    proxy: Nginx
    key: str
    http: aiohttp.ClientSession
    statuses: Counter[int] = field(default_factory=Counter)
    kept: dict[tuple[str, int], float] = field(default_factory=dict)
    going: bool = True

    async def send(self, number: int) -> None:
        """One device."""
        device, ts = f"d-{number}", time.time_ns() // 1_000_000
        while self.going:
            ts = max(ts + 1, time.time_ns() // 1_000_000)
            value = float(ts % 97)
            batch = {"device": device, "ts": [ts], "values": {"t": [value]}}
            while (status := await self.post(batch)) != 200:
                assert status in {0, 503, 504}, status
                await asyncio.sleep(0.2)
            self.kept[device, ts] = value
            await asyncio.sleep(0.02)

    async def post(self, batch: Any) -> int:
        """One request; returns its status, 0 where none came while a device would wait."""
        headers, status = {"Authorization": f"Bearer {self.key}"}, 0
        try:
            async with self.http.post(
                f"{self.proxy.url}/v1/readings", json=batch, headers=headers, ssl=self.proxy.trust
            ) as answer:
                status = answer.status
        except TimeoutError:  # on a starved machine workers load for longer, and their socket is open before
            pass
        self.statuses[status] += 1
        return status

    async def flows(self, count: int = 200) -> None:
        """Wait until so many more are stored."""
        wanted, deadline = len(self.kept) + count, time.monotonic() + PATIENCE_S
        while len(self.kept) < wanted:
            assert time.monotonic() < deadline, self.statuses
            await asyncio.sleep(0.05)


def make_key(code: Path, settings: dict[str, str]) -> str:
    """An admin key, made by that version's command line."""
    command = [sys.executable, "-m", "server.cli", "key", "create", "upgrade", "--scope", "admin"]
    done = subprocess.run(
        command, cwd=code, env=environment(**settings), capture_output=True, text=True, timeout=60, check=True
    )
    found = re.search(r"slk_[\w-]+", done.stdout)
    assert found, done.stdout
    return found[0]


def check_out(commit: str, folder: Path) -> Path:
    """That version, compiled: older ones end a worker that takes half a minute to load, as it may on a busy machine."""
    git("clone", "--quiet", "--no-checkout", str(ROOT), str(folder))
    git("-C", str(folder), "checkout", "--quiet", commit)
    command = [sys.executable, "-m", "compileall", "-q", *ROOMS]
    subprocess.run(command, cwd=folder, timeout=PATIENCE_S, check=True)
    return folder


async def fetch(url: str, query: str) -> list[Any]:
    """Rows."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(record) for record in await connection.fetch(query)]
    finally:
        await connection.close()


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(BINARY is None, reason="NGINX IS ABSENT: an upgrade behind it was NOT tried")
async def test_an_upgrade_behind_nginx_loses_nothing_and_refuses_nobody(
    services: LocalServices, tmp_path: Path
) -> None:
    old = check_out(older(), tmp_path / "old")
    await _execute(services, 'CREATE DATABASE "upgrade"')
    url = _url(services, "upgrade")
    settings = {
        "SLUICE_DATABASE_URL": url,
        "SLUICE_REDIS_URL": services.redis_url,
        "SLUICE_REDIS_PREFIX": "upgrade",
        "SLUICE_LOG_LEVEL": "warning",
    }
    instances = [Instance(free_port(), settings, tmp_path / f"{number}.log") for number in range(2)]
    async with AsyncExitStack() as stack:
        for instance in instances:
            stack.push_async_callback(instance.stop)
            await instance.start(old)
        [[before]] = await fetch(url, "SELECT max(number) FROM schema_migrations")
        folder = tmp_path / "nginx"
        folder.mkdir()
        proxy = await stack.enter_async_context(nginx(folder, [f"{HOST}:{each.port}" for each in instances]))
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
        fleet = Fleet(proxy, await asyncio.to_thread(make_key, old, settings), http)
        rule = {"name": "r", "device": "d-*", "metric": "t"}
        rule["condition"] = {"type": "threshold", "levels": [{"severity": "critical", "above": 50}]}  # type: ignore[assignment]
        headers = {"Authorization": f"Bearer {fleet.key}"}
        async with http.post(f"{proxy.url}/v1/rules", json=rule, headers=headers, ssl=proxy.trust) as answer:
            assert answer.status == 201
        sending = [asyncio.create_task(fleet.send(number)) for number in range(SENDERS)]
        await fleet.flows()
        for instance in instances:
            await instance.stop()
            await instance.start(ROOT)  # the first of them migrates, and the other old one goes on
            await asyncio.sleep(SIDE_BY_SIDE_S)
            await fleet.flows()
        fleet.going = False
        await asyncio.gather(*sending)
        [[after]] = await fetch(url, "SELECT max(number) FROM schema_migrations")
        assert before < after
        found = await fetch(url, "SELECT device, (extract(epoch FROM ts) * 1000)::bigint, value FROM telemetry")
        assert len(found) == len(set(found))
        assert {(device, ts): value for device, ts, value in found} == fleet.kept
        offsets = [offset for (offset,) in await fetch(url, 'SELECT "offset" FROM alert_events ORDER BY 1')]
        assert offsets == list(range(1, len(offsets) + 1))
        assert len(offsets) > SENDERS
    sys.stdout.write(json.dumps({"migrations": [before, after], "statuses": dict(fleet.statuses)}) + "\n")
    answered = fleet.statuses.total() - fleet.statuses[0]
    assert fleet.statuses[200] > 0.99 * answered, fleet.statuses
    await _execute(services, 'DROP DATABASE "upgrade" WITH (FORCE)')
