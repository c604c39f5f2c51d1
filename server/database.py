"""The pools of connections to PostgreSQL that a process has."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import asyncpg
import structlog

from server.engines import Engine
from server.hosts import Hosts
from server.lineage import Lineage
from server.pooler import TRACKED, PooledConnection
from server.settings import Settings

log = structlog.get_logger(__name__)

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Everything by which a database that is away, closing or refusing makes itself known."""

CONNECT_S = 1.5
COMMAND_S = 3.0  # for any one statement: with connecting, within the five seconds a request may take
ASK_COMMAND_S = 2.0  # for a look at a key or a session
ASKING_CONNECTIONS = 5  # at most: three for unknown names, one each to keep keys and sessions fresh
READ_COMMAND_S = 4.5  # a little longer than the server's own limit, which ends a query without losing its connection


SESSION = {
    "application_name": "sluice",
    "timezone": "UTC",
    # A frozen worker must not hold locks, least of all the counter of offsets, for all the others.
    "idle_in_transaction_session_timeout": "5s",
    "jit": "off",
}
WRITING = SESSION | {
    "synchronous_commit": "on",  # the answer 200 says durable, whatever the server's default is
    "statement_timeout": "5s",
    "lock_timeout": "3s",
}
ASKING = SESSION | {"default_transaction_read_only": "on", "statement_timeout": "2s"}
READING = SESSION | {
    "default_transaction_read_only": "on",
    "statement_timeout": "4s",
    # Planned each time, for the very span that is asked for: a plan for any span looks into every partition.
    "plan_cache_mode": "force_custom_plan",
    # What is wanted in order lies in order in an index, and is seldom wanted to its end.
    "enable_sort": "off",
}


class Pools(NamedTuple):
    """A worker's, each of connections that are made when they are first needed: a database may be away at a start."""

    writing: asyncpg.Pool
    asking: asyncpg.Pool
    """For looking at keys and sessions: whether one was revoked must not wait for others' connections."""
    sessions: asyncpg.Pool
    """For what is elected by a lock, and what works at length: of sessions that last, never by way of a pooler."""
    lineage: Lineage
    """Of the database they lead to."""


async def open_pools(stack: AsyncExitStack, settings: Settings) -> Pools:
    """Open all three; they end with the stack."""
    lineage = Lineage()
    writing = await _open(settings, settings.pool_size, WRITING, COMMAND_S, lineage)
    asking = await _open(settings, ASKING_CONNECTIONS, ASKING, ASK_COMMAND_S, lineage)
    sessions = writing if settings.direct_url is None else await open_session_pool(settings, lineage)
    for pool in (writing, asking, sessions):
        stack.callback(pool.terminate)
    return Pools(writing, asking, sessions, lineage)


async def open_session_pool(settings: Settings, lineage: Lineage | None = None) -> asyncpg.Pool:
    """One of sessions that last."""
    return await _open_directly(settings, settings.direct, settings.pool_size, WRITING, COMMAND_S, lineage or Lineage())


async def open_read_pool(settings: Settings, lineage: Lineage) -> asyncpg.Pool:
    """One for reading back: what it is asked for may take longer, and changes nothing."""
    return await _open(settings, settings.read_pool_size, READING, READ_COMMAND_S, lineage)


async def _open(
    settings: Settings, size: int, session: dict[str, str], command_s: float, lineage: Lineage
) -> asyncpg.Pool:
    if settings.direct_url is None:
        return await _open_directly(settings, settings.database, size, session, command_s, lineage)

    async def promise(connection: asyncpg.Connection) -> None:
        assert isinstance(connection, PooledConnection)  # noqa: S101 - for mypy
        connection.promise(session)

    pool = await asyncpg.create_pool(
        settings.database,
        connect=Hosts(settings.database, lineage, writes=_writes(session)).connect,
        connection_class=PooledConnection,
        init=promise,
        statement_cache_size=0,
        server_settings={name: value for name, value in session.items() if name in TRACKED},
        **_limits(size, command_s),
    )
    lineage.pools.append(pool)
    return pool


async def _open_directly(
    settings: Settings, url: str, size: int, session: dict[str, str], command_s: float, lineage: Lineage
) -> asyncpg.Pool:
    kind: type[asyncpg.Connection] = asyncpg.Connection
    if settings.engine is Engine.CITUS:
        from server import citus  # noqa: PLC0415 - it has all rooms loaded, which a command need not wait for

        kind, session = citus.CitusConnection, session | citus.SESSION

    async def give_back(connection: asyncpg.Connection) -> None:
        turned = _writes(session) and _turned_read_only(connection)
        await connection.reset()
        if turned:
            log.warning("PostgreSQL has become read-only; all connections are made anew")
            await pool.expire_connections()

    pool = await asyncpg.create_pool(
        url,
        connect=Hosts(url, lineage, writes=_writes(session)).connect,
        connection_class=kind,
        reset=give_back,
        server_settings=session,
        **_limits(size, command_s),
    )
    lineage.pools.append(pool)
    return pool


def _writes(session: dict[str, str]) -> bool:
    return "default_transaction_read_only" not in session


def _turned_read_only(connection: asyncpg.Connection) -> bool:
    """Whether the server has said so since: it reports both by itself."""
    said = connection.get_settings()
    return "on" in {getattr(said, name, "off") for name in ("default_transaction_read_only", "in_hot_standby")}


def _limits(size: int, command_s: float) -> dict[str, Any]:
    return {
        "min_size": 0,
        "max_size": size,
        "timeout": CONNECT_S,
        "command_timeout": command_s,
        "max_inactive_connection_lifetime": 60,
    }


def forgive_release(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A loop's exception handler: that a connection could not be given back in time is no error.

    Where a deadline ends the one who gives it back, asyncpg goes on without anybody who would hear of the outcome, and
    closes it; so it does with an expired one, which after a failover leads to a server that hangs.
    """
    work = context.get("future")
    name = getattr(work.get_coro(), "__qualname__", "") if isinstance(work, asyncio.Task) else ""
    if name in {"PoolConnectionHolder.release", "Connection.close"} and isinstance(context.get("exception"), AWAY):
        log.info("connection given up", reason=repr(context["exception"]))
    else:
        loop.default_exception_handler(context)
