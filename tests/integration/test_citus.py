"""Citus by its stand-in (tests/citus.py): what is called of it, when it is refused, that its words mean the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr, ValidationError

from ingest import newest
from ingest.lane import Lane
from query.packing import LOCK
from schemas.columns import Receipt
from server import citus, doctor
from server.engines import Engine, EngineError, engine_gap, node_trouble, prepare
from server.migrations import migrate, schema_gap
from server.settings import Settings
from tests.citus import pretend
from tests.conftest import _cloned
from tests.integration.living import live
from tests.integration.writing import Workshop, workshop

TABLES = ["readings", "runs", "packed", "rollup_minutes", "rollup_hours", "rollup_days"]
HALF_DAY_S = 43_200  # `NOW` is noon
Words = set[str]


@pytest.fixture
async def distributed(database: str) -> str:
    """The URL of a database that looks as if Citus had its tables."""
    await pretend(database)
    await migrate(database, Engine.CITUS)
    return database


@asynccontextmanager
async def coordinator(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the server has them."""
    connection = await asyncpg.connect(url, connection_class=citus.CitusConnection, server_settings=citus.SESSION)
    try:
        yield connection
    finally:
        await connection.close()


async def test_large_tables_are_distributed_together_once_and_only_where_that_is_wanted(distributed: str) -> None:
    assert await migrate(distributed, Engine.CITUS) == [], "again, which distributes nothing twice"
    async with coordinator(distributed) as connection:
        called = "SELECT logicalrelid::text, distribution_column, colocate_with FROM pg_dist_partition ORDER BY called"
        assert [tuple(found) for found in await connection.fetch(called)] == [
            (table, "series_id", "readings" if place else "none") for place, table in enumerate(TABLES)
        ]
        assert await schema_gap(connection) is None
        language = "SELECT l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE proname = $1"
        assert await connection.fetchval(language, "readings_between") == "plpgsql"
    plain = await asyncpg.connect(distributed)
    try:
        assert "SLUICE_ENGINE=citus" in (await schema_gap(plain) or "")
    finally:
        await plain.close()
    with pytest.raises(EngineError, match="SLUICE_ENGINE=citus"):
        await migrate(distributed)


async def test_what_is_not_there_or_not_durable_is_refused(database: str) -> None:
    for engine in (Engine.CITUS, Engine.TIMESCALEDB):
        with pytest.raises(EngineError, match=f"CREATE EXTENSION {engine}"):
            await migrate(database, engine)
    await pretend(database)
    assert await migrate(database) == [], "the extension alone changes nothing"
    async with coordinator(database) as connection:
        assert "sluice migrate" in (await engine_gap(connection) or "")
        await connection.execute("ALTER FUNCTION run_command_on_all_nodes RENAME TO honest")
        await connection.execute("""
            CREATE FUNCTION run_command_on_all_nodes(command text)
            RETURNS TABLE (nodeid integer, success boolean, result text) LANGUAGE sql
            AS $$ VALUES (1, true, ''), (2, true, 'fsync is off'), (3, false, 'gone') $$
            """)
        assert await node_trouble(connection) == ["on node 2 fsync is off", "node 3 does not answer: gone"]
        with pytest.raises(EngineError, match="on node 2 fsync is off"):
            await prepare(connection, Engine.CITUS)
        assert await engine_gap(connection), "nothing was distributed"
        await connection.execute("SET allow_system_table_mods = on")
        await connection.execute("UPDATE pg_extension SET extversion = '12.0-1' WHERE extname = 'citus'")
        with pytest.raises(EngineError, match=r"12\.1 at least"):
            await prepare(connection, Engine.CITUS)


async def test_doctor_names_the_engine_and_what_it_is_not(distributed: str) -> None:
    async def found(engine: Engine) -> list[tuple[bool, str]]:
        return [(each.good, each.text) async for each in doctor._postgres(distributed, engine)][-3:]

    assert await found(Engine.CITUS) == [
        (True, "the engine is citus 14.0-1"),
        (True, "every node of Citus keeps what is committed"),
        (True, "the schema is up to date"),
    ]
    plain = await found(Engine.PLAIN)
    assert [good for good, _ in plain] == [True, True, False]
    assert plain[0][1] == "the engine is plain PostgreSQL"
    assert plain[1][1].startswith("citus 14.0-1 is there and not used")
    with pytest.raises(ValidationError, match="a pooler before Citus"):
        Settings(engine=Engine.CITUS, database_url=SecretStr(distributed), direct_url=SecretStr(distributed))


async def test_who_looks_for_late_readings_keeps_the_packer_away(distributed: str) -> None:
    async with coordinator(distributed) as lane, coordinator(distributed) as packer:
        async with lane.transaction():
            await lane.execute(newest._PLAN_EACH)
            assert not await packer.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK)
        assert await packer.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK)


async def test_all_that_is_said_in_other_words_means_the_same(
    services: Any, template: str, distributed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _cloned(services, template) as plain, workshop(plain) as shop:
        wanted = await live(shop)
    said: Words = set()

    class Hearing(dict[str, str]):
        """Remembers which words were wanted."""

        def get(self, key: str, default: Any = None) -> Any:
            if key in self:
                said.add(key)
            return super().get(key, default)

    monkeypatch.setattr(citus, "WORDS", Hearing(citus.WORDS))
    citus.translated.cache_clear()
    async with asyncpg.create_pool(
        distributed, min_size=0, max_size=12, connection_class=citus.CitusConnection, server_settings=citus.SESSION
    ) as pool:
        shop = Workshop(pool)
        found = await live(shop)
        for lane in shop.lanes:
            assert isinstance(lane, Lane)
            await lane.close()
    citus.translated.cache_clear()
    for place, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert one == other, f"look {place}"
    assert found[0] == Receipt(400, 0)
    assert said == set(citus.WORDS), "every word was said"
