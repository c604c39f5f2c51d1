"""Several hosts in PostgreSQL's URL: the one that may be written to is found, whatever the others do."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from server import hosts
from server.database import WRITING, _open_directly, open_read_pool
from server.hosts import Hosts
from server.lineage import Lineage, WrongServerError
from server.settings import Settings
from tests.proxy import Proxy, free_port, through

PATIENCE_S = 20.0
"""For an attempt: far more than one silent host may cost, far less than a machine under load can take."""


@pytest_asyncio.fixture
async def silent(database: str) -> AsyncIterator[Proxy]:
    """A host that takes connections and says nothing, as one that hangs."""
    async with Proxy.to(database) as proxy:
        proxy.stall()
        yield proxy


def of(database: str, *ports: int, attrs: str = "read-write") -> str:
    """The URL of a database by way of several ports."""
    user, at, _ = database.partition("//")[2].rpartition("@")
    places = ",".join(f"127.0.0.1:{port}" for port in ports)
    name = database.rpartition("/")[2]
    return f"postgresql://{user}{at}{places}/{name}?target_session_attrs={attrs}"


def port_of(database: str) -> int:
    """Where PostgreSQL itself listens."""
    return int(database.rpartition("/")[0].rpartition(":")[2])


@pytest.mark.parametrize("first", ["silent", "nobody"])
async def test_a_host_that_is_away_does_not_use_up_the_time_of_the_others(
    database: str, silent: Proxy, first: str
) -> None:
    away = silent.port if first == "silent" else free_port()
    asked = Hosts(of(database, away, port_of(database)))
    for _ in range(2):  # the second time the right one is asked first
        connection = await asked.connect(timeout=PATIENCE_S)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    assert silent.connections <= 1


async def test_hosts_that_are_named_behind_the_question_mark_are_asked_likewise(database: str, silent: Proxy) -> None:
    user, _, name = database.partition("//")[2].replace("@", "/").split("/")
    ports = f"{silent.port},{port_of(database)}"
    asked = Hosts(f"postgresql://{user}@/{name}?host=127.0.0.1,127.0.0.1&port={ports}")
    connection = await asked.connect(timeout=PATIENCE_S)
    await connection.close()
    socket = "postgresql://u:p@/x?host=/run/pg,%2Frun%2Fother&sslmode=disable"
    assert hosts.split(socket) == [
        f"postgresql://u:p@/x?host=%2Frun%2F{each}&sslmode=disable" for each in ("pg", "other")
    ]
    with pytest.raises(ValueError, match="port"):
        await Hosts("postgresql:///x?host=a,b,c&port=1,2").connect(timeout=PATIENCE_S)


async def test_where_nobody_answers_the_time_is_over_when_it_is_said(silent: Proxy, database: str) -> None:
    with pytest.raises(TimeoutError):
        await Hosts(of(database, silent.port, silent.port)).connect(timeout=0.5)
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system says
        await Hosts(of(database, free_port(), free_port())).connect(timeout=PATIENCE_S)


async def test_what_is_wrong_with_us_is_said_rather_than_who_is_away(database: str) -> None:
    wrong = of(database, free_port(), port_of(database), free_port()).replace("//sluice:", "//sluice:x")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await Hosts(wrong).connect(timeout=PATIENCE_S)


async def test_sessions_that_only_read_find_it_too(database: str) -> None:
    """asyncpg itself finds none: to it they are read-only servers."""
    settings = Settings(database_url=SecretStr(of(database, port_of(database), free_port())))
    pool = await open_read_pool(settings, Lineage())
    assert await pool.fetchval("SHOW default_transaction_read_only") == "on"
    pool.terminate()


async def test_a_server_that_became_read_only_is_left(database: str) -> None:
    name = database.rpartition("/")[2]
    other = await asyncpg.connect(database)
    url = of(database, port_of(database), free_port())
    pool = await _open_directly(Settings(), url, 2, WRITING, PATIENCE_S, Lineage())
    try:
        async with pool.acquire() as connection:
            before = await connection.fetchval("SELECT pg_backend_pid()")
        await other.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") == before  # which does not know yet
            await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(WrongServerError):
            await pool.acquire(timeout=PATIENCE_S)
        await other.execute("SET default_transaction_read_only = off")
        await other.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        async with pool.acquire(timeout=PATIENCE_S) as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") != before
            await connection.execute("CREATE TABLE written ()")
    finally:
        pool.terminate()
        await other.close()


async def test_an_old_primary_that_comes_back_is_refused(database: str) -> None:
    heard: list[str] = []
    lineage = Lineage([lambda: heard.append("renewed")])
    found = await Hosts(database, lineage).connect(timeout=PATIENCE_S)
    await found.close()
    assert not heard, "the first one is no change"
    here, older, newer = lineage.timeline, lineage.timeline, f"{int(lineage.timeline, 16) + 1:08X}"
    assert lineage.follow(lineage.cluster, newer)
    assert heard == ["renewed"]
    with pytest.raises(WrongServerError, match=f"{older}, but was at {newer}"):
        await Hosts(database, lineage).connect(timeout=PATIENCE_S)
    assert lineage.follow("another cluster", here)
    assert not lineage.follow("another cluster", here)


async def test_a_server_that_does_not_say_its_timeline_is_worked_with(database: str) -> None:
    name = database.rpartition("/")[2]
    owner = await asyncpg.connect(database)
    await owner.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    await owner.execute(f"CREATE ROLE \"{name}_plain\" LOGIN PASSWORD 'plain'")
    try:
        lineage = Lineage()
        lineage.follow("known before", "00000001")
        plain = f"postgresql://{name}_plain:plain@127.0.0.1:{port_of(database)}/{name}"
        connection = await Hosts(plain, lineage).connect(timeout=PATIENCE_S)
        await connection.close()
        assert lineage.cluster == "known before"
    finally:
        await owner.execute(f'DROP ROLE "{name}_plain"')
        await owner.close()


async def test_one_connection_by_the_same_way(database: str, silent: Proxy) -> None:
    async with asyncio.timeout(PATIENCE_S):
        connection = await hosts.connect(of(database, silent.port, port_of(database)))
    await connection.close()
    assert hosts.split(through(database, silent)) == [through(database, silent)]
