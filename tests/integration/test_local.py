"""The embedded services: real servers, really killed."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError

from server import leash
from server.local import LocalPostgres, LocalServiceError, LocalValkey, local_services


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[LocalPostgres]:
    """A PostgreSQL of this test's own, with one committed row in it."""
    async with LocalPostgres(tmp_path / "data") as server:
        await query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        yield server


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[LocalValkey]:
    """A Valkey of this test's own."""
    async with LocalValkey(tmp_path / "data") as server:
        yield server


async def query(server: LocalPostgres, statement: str) -> object:
    """Run one statement on a connection of its own."""
    connection = await asyncpg.connect(server.url, timeout=5)
    try:
        return await connection.fetchval(statement, timeout=5)
    finally:
        connection.terminate()


async def ping(url: str) -> bool:
    """Ask Valkey for a sign of life, once."""
    client = Redis.from_url(url, socket_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        return bool(await client.ping())
    finally:
        await client.aclose()


async def test_serves_on_loopback_with_the_settings_that_acknowledgements_rest_on(postgres: LocalPostgres) -> None:
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await query(postgres, f"SHOW {name}") == "on"
    assert await query(postgres, "SHOW listen_addresses") == "127.0.0.1"
    assert await query(postgres, "SHOW timezone") == "UTC"
    assert str(await query(postgres, "SHOW server_version")).startswith("18.")


async def test_wants_its_password(postgres: LocalPostgres, valkey: LocalValkey) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url.replace(postgres.memory.password, "wrong"))
    with pytest.raises(AuthenticationError):
        await ping(valkey.url.replace(valkey.memory.password, "wrong"))


async def test_secrets_are_readable_by_their_owner_alone(postgres: LocalPostgres, valkey: LocalValkey) -> None:
    for server in (postgres, valkey):
        assert server.memory.path.stat().st_mode & 0o777 == 0o600
        assert leash.processes_marked(server.memory.password) == []  # nor is it in a command line


async def test_a_restart_keeps_url_and_data(postgres: LocalPostgres) -> None:
    before = postgres.url
    await postgres.stop()
    assert postgres.pid is None
    assert postgres.processes() == []
    again = LocalPostgres(postgres.data_dir)
    async with again:
        assert again.url == before
        assert await query(again, "SELECT answer FROM kept") == 42


async def test_what_was_committed_survives_a_kill(postgres: LocalPostgres) -> None:
    await query(postgres, "INSERT INTO kept VALUES (43)")
    postgres.kill()
    assert await leash.until(lambda: postgres.processes() == [], 5)
    await postgres.start()
    assert await query(postgres, "SELECT sum(answer) FROM kept") == 85


async def test_starts_again_at_once_after_its_main_process_alone_was_killed(postgres: LocalPostgres) -> None:
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    await postgres.gone()
    await postgres.start()
    assert await query(postgres, "SELECT answer FROM kept") == 42


async def test_frozen_it_answers_nothing_and_thawed_it_goes_on(postgres: LocalPostgres) -> None:
    connection = await asyncpg.connect(postgres.url)
    postgres.freeze()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await connection.fetchval("SELECT 1")
    postgres.thaw()
    connection.terminate()
    assert await query(postgres, "SELECT answer FROM kept") == 42


async def test_stops_even_when_frozen(postgres: LocalPostgres) -> None:
    postgres.freeze()
    await postgres.stop()
    assert postgres.processes() == []


async def test_a_stale_pid_file_that_names_a_living_stranger_is_no_obstacle(postgres: LocalPostgres) -> None:
    postgres.kill()
    pid_file = postgres.folder / "postmaster.pid"
    _, *rest = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getppid()), *rest]))
    await postgres.start()
    assert await query(postgres, "SELECT answer FROM kept") == 42


async def test_one_folder_serves_one(postgres: LocalPostgres) -> None:
    with pytest.raises(LocalServiceError, match=f"in use by process {os.getpid()}"):
        await LocalPostgres(postgres.data_dir).start()
    assert await query(postgres, "SELECT answer FROM kept") == 42


async def test_one_that_another_process_runs_is_found(postgres: LocalPostgres) -> None:
    other = LocalPostgres(postgres.data_dir)
    assert await other.runs_elsewhere()
    assert other.url == postgres.url
    await postgres.stop()
    assert not await other.runs_elsewhere()


async def test_a_port_that_was_taken_meanwhile_is_replaced(valkey: LocalValkey) -> None:
    await valkey.stop()
    taken = valkey.memory.port
    with socket.create_server(("127.0.0.1", taken)):
        await valkey.start()
        assert valkey.memory.port != taken
        assert await ping(valkey.url)


async def test_an_error_shows_the_log_and_what_to_do(tmp_path: Path) -> None:
    server = LocalPostgres(tmp_path / "data", {"shared_buffers": "nonsense"})
    with pytest.raises(LocalServiceError, match=r"(?s)invalid value for parameter.*start again"):
        await server.start()
    assert server.processes() == []


async def test_lost_password_is_explained(postgres: LocalPostgres) -> None:
    await postgres.stop()
    postgres.memory.path.unlink()
    with pytest.raises(LocalServiceError, match="begin anew"):
        await LocalPostgres(postgres.data_dir).start()


async def test_a_half_made_cluster_is_made_anew(tmp_path: Path) -> None:
    draft = tmp_path / "data" / "postgres.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    async with LocalPostgres(tmp_path / "data") as server:
        assert await query(server, "SELECT 1") == 1


async def test_valkey_returns_on_the_same_url(valkey: LocalValkey) -> None:
    before = valkey.url
    valkey.kill()
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", valkey.memory.port)).close()
    await valkey.start()
    assert valkey.url == before
    assert await ping(before)


async def test_only_what_is_asked_for_starts(tmp_path: Path) -> None:
    async with local_services(tmp_path / "data", postgres=False) as services:
        assert services.postgres_pid is None
        assert services.redis_pid is not None
        assert services.environment() == {"SLUICE_REDIS_URL": services.redis_url}
    assert services.redis_pid is None
