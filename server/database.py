"""The one pool of connections to PostgreSQL that a process has."""

import asyncpg

from server.settings import Settings

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Everything by which a database that is away, closing or refusing makes itself known."""

CONNECT_S = 1.5
COMMAND_S = 3.0  # for any one statement: with connecting, within the five seconds a request may take


async def open_pool(settings: Settings) -> asyncpg.Pool:
    """A pool that connects when it is first needed, so that a start-up survives a database that is away."""
    return await asyncpg.create_pool(
        settings.database,
        min_size=0,
        max_size=settings.pool_size,
        timeout=CONNECT_S,
        command_timeout=COMMAND_S,
        statement_cache_size=settings.statement_cache,
        max_inactive_connection_lifetime=60,
        server_settings={
            "application_name": "sluice",
            "synchronous_commit": "on",  # the answer 200 says durable, whatever the server's default is
            "timezone": "UTC",
            # A frozen worker must not hold locks, least of all the counter of offsets, for all the others.
            "statement_timeout": "5s",
            "lock_timeout": "3s",
            "idle_in_transaction_session_timeout": "5s",
            "jit": "off",
        },
    )
