"""Past one PostgreSQL: which engine is under the tables, and what `sluice migrate` does for it.

Nothing happens by detection alone: that an extension is there does not say what for. `SLUICE_ENGINE` says what is
wanted, and where that and the tables differ the server is not ready, and says what to do.
"""

from enum import StrEnum
from importlib.resources import files

import asyncpg

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

MIN_VERSION = {"citus": (12, 1), "timescaledb": (2, 13)}
_EXTENSIONS = "SELECT extname, extversion FROM pg_extension WHERE extname = ANY($1::text[]) ORDER BY extname"
_DISTRIBUTED = "SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'readings'::regclass)"
# Each node's own: what a group commits is prepared there, and durable only if that is.
_ON_NODES = """
SELECT nodeid, success, result FROM run_command_on_all_nodes($$
    SELECT coalesce(string_agg(name || ' is ' || setting, ', '), '') FROM pg_settings
    WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
$$) ORDER BY nodeid
"""


class Engine(StrEnum):
    """What keeps the readings."""

    PLAIN = "plain"
    CITUS = "citus"
    TIMESCALEDB = "timescaledb"


class EngineError(Exception):
    """The engine that is wanted cannot be used; the message says why, and what to do."""


async def extensions(connection: Connection) -> dict[str, str]:
    """Which engines' extensions the database has, with their versions."""
    found = await connection.fetch(_EXTENSIONS, list(MIN_VERSION))
    return {record["extname"]: record["extversion"] for record in found}


async def is_distributed(connection: Connection) -> bool:
    """Whether Citus keeps the readings on its workers."""
    if not await connection.fetchval("SELECT to_regclass('pg_dist_partition') IS NOT NULL"):
        return False
    distributed: bool = await connection.fetchval(_DISTRIBUTED)
    return distributed


async def engine_gap(connection: Connection, engine: Engine | None = None) -> str | None:
    """Why the tables are not what this engine works with, or None. Without `engine`: the one this session speaks to."""
    if engine is None:
        spoken = await connection.fetchval("SELECT current_setting('sluice.engine', true)")
        engine = Engine.CITUS if spoken == "citus" else Engine.PLAIN
    distributed = await is_distributed(connection)
    if distributed and engine is not Engine.CITUS:
        return "the tables are distributed by Citus: set SLUICE_ENGINE=citus"
    if engine is Engine.CITUS and not distributed:
        return "the tables are not distributed by Citus yet: run `sluice migrate`"
    return None


async def prepare(connection: asyncpg.Connection, engine: Engine) -> None:
    """Make of the tables what the engine works with, after the migrations; may be repeated. Raises EngineError."""
    if engine is Engine.PLAIN:
        if gap := await engine_gap(connection, engine):
            raise EngineError(gap)
        return
    version = (await extensions(connection)).get(engine)
    if version is None:
        raise EngineError(
            f"SLUICE_ENGINE={engine}, but the database has no extension {engine}: install and preload it, then "
            f"CREATE EXTENSION {engine}"
        )
    if _numbers(version) < MIN_VERSION[engine]:
        raise EngineError(f"{engine} {version} is too old: {'.'.join(map(str, MIN_VERSION[engine]))} at least")
    if engine is Engine.CITUS and (trouble := await node_trouble(connection)):
        raise EngineError(f"the nodes of Citus would lose what is acknowledged: {'; '.join(trouble)}")
    async with connection.transaction():
        for sql in statements(engine):
            await connection.execute(sql)


async def node_trouble(connection: Connection) -> list[str]:
    """What is wrong with the settings of Citus' nodes."""
    trouble = []
    for node, success, result in await connection.fetch(_ON_NODES):
        if not success:
            trouble.append(f"node {node} does not answer: {result}")
        elif result:
            trouble.append(f"on node {node} {result}")
    return trouble


def statements(engine: Engine) -> list[str]:
    """The files of an engine, in order."""
    folder = files("schemas").joinpath("sql", "engines")
    found = sorted((each for each in folder.iterdir() if each.name.startswith(engine)), key=lambda each: each.name)
    return [each.read_text("utf-8") for each in found]


def _numbers(version: str) -> tuple[int, ...]:
    """What is compared of a version: `14.0-1` and `2.19.3-dev` are written so by the extensions."""
    return tuple(int(part) for part in version.partition("-")[0].split(".")[:2])
