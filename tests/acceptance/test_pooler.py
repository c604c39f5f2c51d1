"""A server that reaches PostgreSQL by way of PgBouncer in transaction mode, as large installations have it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
import pytest_asyncio

from server.database import READING, WRITING
from server.pooler import PooledConnection
from tests.acceptance.posting import batch, now_ms
from tests.conftest import Server, StartServer
from tests.pgbouncer import BINARY, PgBouncer, pgbouncer

SESSIONS = 4  # fewer than a worker has connections, so that each transaction meets another session
BATCHES, ROWS = 200, 20
RULE = {
    "name": "hot",
    "device": "*",
    "metric": "heat",
    "condition": {"type": "threshold", "levels": [{"severity": "critical", "above": 100}]},
}

pytestmark = pytest.mark.skipif(BINARY is None, reason="PGBOUNCER IS ABSENT: working by way of it was NOT tried")


@pytest_asyncio.fixture
async def pooler(database: str) -> AsyncIterator[PgBouncer]:
    """What lends sessions of the database, whose own defaults are wrong."""
    connection = await asyncpg.connect(database)
    await connection.execute(f"ALTER DATABASE {database.rpartition('/')[2]} SET synchronous_commit = off")
    await connection.close()
    async with pgbouncer(database, SESSIONS) as running:
        yield running


@pytest_asyncio.fixture
async def server(start_server: StartServer, database: str, pooler: PgBouncer) -> Server:
    """Two workers behind it."""
    return await start_server(database_url=pooler.url, direct_url=database)


async def connect(pooler: PgBouncer) -> PooledConnection:
    """A connection by way of the pooler."""
    return await asyncpg.connect(pooler.url, connection_class=PooledConnection, statement_cache_size=0)


async def test_two_clients_of_one_session_have_each_their_own_settings(database: str) -> None:
    async with pgbouncer(database, sessions=1) as pooler:
        writer, reader = await connect(pooler), await connect(pooler)
        writer.promise(WRITING)
        reader.promise(READING)
        await writer.execute("SET enable_seqscan = off; SET lock_timeout = '1500ms'")
        for _ in range(2):
            assert await writer.fetchval("SHOW lock_timeout") == "1500ms"
            assert await writer.fetchval("SHOW enable_seqscan") == "off"
            assert await writer.fetchval("SELECT $1 || current_setting('statement_timeout')", "") == "5s"
            assert await reader.fetchval("SHOW lock_timeout") == "0"
            assert await reader.fetchval("SHOW statement_timeout") == "4s"
            async with reader.transaction():
                assert await reader.fetchval("SHOW enable_sort") == "off"
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await reader.execute("CREATE TABLE forbidden ()")
        await writer.execute("CREATE TABLE allowed ()")
        for connection in (writer, reader):
            await connection.reset()
            await connection.close()


async def test_the_whole_machine_works(server: Server) -> None:
    """Written by many at once, exact about duplicates, judged, read back, kept in order by the elected worker."""
    assert (await server.call("POST", "/v1/rules", RULE))[0] == 201
    assert await eventually(lambda: judged(server)), "no alert was raised"

    batches = [batch(ROWS, f"pump-{number % 40}") for number in range(BATCHES)]
    for expected in (BATCHES * ROWS, 0):
        answers = await asyncio.gather(*map(server.write, batches))
        assert {status for status, _ in answers} == {200}
        assert sum(receipt["accepted"] for _, receipt in answers) == expected
    [row] = await server.fetch(
        "SELECT count(*) AS stored, count(DISTINCT (device, ts)) AS different FROM telemetry WHERE device LIKE 'pump-%'"
    )
    assert tuple(row) == (BATCHES * ROWS, BATCHES * ROWS)

    async with server.http.get(
        f"{server.url}/v1/readings?device=pump-7&metric=temperature&from=2026-01-01T00:00:00Z",
        headers=server.headers() | {"Accept": "text/csv"},
    ) as response:
        assert response.status == 200
        assert (await response.text()).count("\n") == 1 + BATCHES // 40 * ROWS
    status, latest = await server.call("GET", "/v1/devices/pump-7/latest")
    assert (status, latest["metrics"]["temperature"]["value"]) == (200, ROWS - 0.5)
    assert (await server.call("DELETE", "/v1/devices/pump-7"))[0] == 204
    assert (await server.call("GET", "/v1/devices/pump-7/latest"))[0] == 404


async def test_commits_are_durable_whatever_the_database_has_for_a_default(server: Server, pooler: PgBouncer) -> None:
    """`synchronous_commit` is off by default here, and on while the lanes write."""
    connection = await asyncpg.connect(server.database_url)
    seen = "CREATE TABLE seen AS SELECT current_setting('synchronous_commit') AS value; TRUNCATE seen"
    await connection.execute(seen)
    await connection.execute(
        """
        CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
        CREATE TRIGGER look AFTER UPDATE ON newest FOR EACH STATEMENT EXECUTE FUNCTION look()
        """
    )
    assert (await server.write(batch()))[0] == 200
    assert (await server.write(batch()))[0] == 200
    assert {row["value"] for row in await connection.fetch("SELECT value FROM seen")} == {"on"}
    await connection.close()


async def test_a_pooler_that_dies_is_a_database_that_is_away(server: Server, pooler: PgBouncer) -> None:
    assert (await server.write(batch()))[0] == 200
    pooler.kill()
    lost = batch()
    status, problem = await server.write(lost)
    assert (status, problem["code"]) == (503, "database_away")
    pooler.start()

    async def again() -> bool:
        return (await server.write(lost))[0] == 200

    assert await eventually(again), "it does not come back"
    assert await server.write(lost) == (200, {"accepted": 0, "duplicates": 1})


async def judged(server: Server) -> bool:
    """Whether a reading that is too high, sent now, has raised an alert by now."""
    await server.write({"device": "boiler", "readings": [{"ts": now_ms(), "metric": "heat", "value": 101}]})
    return bool((await server.call("GET", "/v1/alerts"))[1]["items"])


async def eventually(happens: Callable[[], Awaitable[bool]], patience_s: float = 30.0) -> bool:
    """Whether it does, within a while."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while asyncio.get_running_loop().time() < deadline:
        if await happens():
            return True
        await asyncio.sleep(0.05)
    return False
