"""One read of PostgreSQL that ends when its time is over, whatever the server does."""

import asyncio
from typing import Any

import asyncpg

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a database that is away raises; a `TimeoutError` is an OSError."""


async def fetch(pool: asyncpg.Pool, deadline_s: float, query: str, *args: Any) -> list[Any]:
    """Fetch rows. Raises one of AWAY."""
    connection = None
    try:
        async with asyncio.timeout(deadline_s):
            connection = await pool.acquire()
            return await connection.fetch(query, *args)
    except BaseException:
        if connection is not None:
            # Giving it back would first wait for the query to be cancelled, on a frozen server for ever.
            connection.terminate()
        raise
    finally:
        if connection is not None:
            await pool.release(connection)
