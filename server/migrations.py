"""Numbered forward-only SQL (`schemas/sql/`), applied once each, under a lock, with its checksum recorded."""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from server import hosts
from server.engines import Engine, engine_gap, prepare

_LOCK = 0x51_1C_E0_00  # advisory: one migrator at a time
_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The schema cannot be brought up to date; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> bytes:
        """By which a file that was edited after it was applied is noticed."""
        return hashlib.sha256(self.sql.encode()).digest()


def known() -> list[Migration]:
    """The migrations of this version, in order. Raises MigrationError where their numbers have a gap or a double."""
    found = []
    for file in files("schemas").joinpath("sql").iterdir():
        if name := _NAME.fullmatch(file.name):
            found.append(Migration(int(name[1]), name[2], file.read_text("utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError("the files in schemas/sql are not numbered 1, 2, 3 …")
    return found


async def migrate(database_url: str, engine: Engine = Engine.PLAIN) -> list[Migration]:
    """Apply what is missing, each file in a transaction of its own, then what the engine needs.

    Returns what was applied. Raises MigrationError and EngineError.
    """
    connection = await hosts.connect(database_url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute(_TABLE)
        applied = {row["number"]: row["sha256"] for row in await connection.fetch("SELECT * FROM schema_migrations")}
        done = []
        for migration in known():
            recorded = applied.get(migration.number)
            if recorded is None:
                await _apply(connection, migration)
                done.append(migration)
            elif recorded != migration.sha256:
                raise MigrationError(
                    f"migration {migration.number:04} ({migration.name}) is not the one this database was made with; "
                    "restore the file: a change of the schema needs a file with a new number"
                )
        await prepare(connection, engine)
        return done
    finally:
        await connection.close(timeout=2)


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.sha256,
        )


async def schema_gap(
    connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy, engine: Engine | None = None
) -> str | None:
    """Why this version cannot work with the database's schema, or None. A newer schema is fine: old workers go on."""
    needed = known()[-1].number
    if not await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL"):
        return "the database has no schema yet: run `sluice migrate`"
    version = await connection.fetchval("SELECT coalesce(max(number), 0) FROM schema_migrations")
    if version >= needed:
        return await engine_gap(connection, engine)
    return f"the schema is at {version}, this version needs {needed}: run `sluice migrate`"
