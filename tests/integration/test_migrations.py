"""Migrations: once each, whoever runs them and however often; a changed file is named."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from server.local import LocalServices
from server.migrations import MigrationError, known, migrate, schema_gap
from tests.conftest import _execute, _url

EMPTY = "migrations_empty"


@pytest.fixture
async def empty(services: LocalServices) -> AsyncIterator[str]:
    """The URL of a database without a schema."""
    await _execute(services, f'CREATE DATABASE "{EMPTY}"')
    yield _url(services, EMPTY)
    await _execute(services, f'DROP DATABASE "{EMPTY}" WITH (FORCE)')


async def rows(url: str, query: str) -> list[asyncpg.Record]:
    """What a query finds."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


async def gap(url: str) -> str | None:
    """What readiness would say."""
    connection = await asyncpg.connect(url)
    try:
        return await schema_gap(connection)
    finally:
        await connection.close()


async def test_applied_once_in_order(empty: str) -> None:
    numbers = [migration.number for migration in known()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "no schema" in str(await gap(empty))
    assert [migration.number for migration in await migrate(empty)] == numbers
    assert await migrate(empty) == []
    assert await gap(empty) is None
    found = await rows(empty, "SELECT number, sha256 FROM schema_migrations ORDER BY number")
    assert [tuple(row) for row in found] == [(migration.number, migration.sha256) for migration in known()]


async def test_several_migrators_at_once_apply_each_file_once(empty: str) -> None:
    done = await asyncio.gather(*(migrate(empty) for _ in range(5)))
    assert sorted(len(each) for each in done) == [0, 0, 0, 0, len(known())]


async def test_a_changed_file_is_named(database: str) -> None:
    await rows(database, "UPDATE schema_migrations SET sha256 = '\\x00' WHERE number = 2")
    with pytest.raises(MigrationError, match=r"0002 \(keys\)"):
        await migrate(database)


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty: str) -> None:
    await rows(empty, "CREATE TABLE keys (id text)")
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(empty)
    assert [row["number"] for row in await rows(empty, "SELECT number FROM schema_migrations")] == [1]
    assert "the schema is at 1" in str(await gap(empty))
    await rows(empty, "DROP TABLE keys")
    assert [migration.number for migration in await migrate(empty)] == [m.number for m in known()[1:]]


async def test_a_newer_schema_is_fine(database: str) -> None:
    await rows(database, "INSERT INTO schema_migrations VALUES (999, 'future', '\\x00')")
    assert await gap(database) is None
    assert await migrate(database) == []
