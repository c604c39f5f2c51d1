"""TimescaleDB: a real one where there is one, else a stand-in in the tests' own PostgreSQL.

`SLUICE_TEST_TIMESCALEDB` is the URL of a superuser's database on a PostgreSQL that has `timescaledb` preloaded: Debian
13 has it as `postgresql-17-timescaledb`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

REAL = os.environ.get("SLUICE_TEST_TIMESCALEDB", "")
STAND_IN = """
SET allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
VALUES (99998, 'timescaledb', 10, 'public'::regnamespace, false, '2.19.3');
RESET allow_system_table_mods;

CREATE TABLE hypertables (relation regclass PRIMARY KEY, dimension text);
CREATE FUNCTION by_range(column_name name, partition_interval interval) RETURNS text LANGUAGE sql
AS $$ SELECT column_name || ' by ' || partition_interval $$;
CREATE FUNCTION create_hypertable(relation regclass, dimension text, create_default_indexes boolean = true,
                                  if_not_exists boolean = false, migrate_data boolean = false)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF NOT if_not_exists AND EXISTS (SELECT FROM hypertables h WHERE h.relation = create_hypertable.relation) THEN
        RAISE 'table "%" is already a hypertable', relation;
    END IF;
    INSERT INTO hypertables VALUES (relation, dimension) ON CONFLICT DO NOTHING;
    RETURN relation;
END $$;
"""


@asynccontextmanager
async def database(name: str) -> AsyncIterator[str]:
    """The URL of a database of a real one, with the extension and nothing else."""
    server = await asyncpg.connect(REAL)
    try:
        await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await server.execute(f'CREATE DATABASE "{name}"')
        url = REAL.rpartition("/")[0] + "/" + name
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        await connection.close()
        yield url
        await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await server.close()
