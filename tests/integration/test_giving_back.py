"""A connection that cannot be given back in time: told as what it is, and nothing else is hushed up."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from server.database import forgive_release
from tests.proxy import Proxy, through


async def fail() -> None:
    raise TimeoutError


async def abandoned(database: str) -> None:
    """Give a connection back to a PostgreSQL that has fallen silent, and do not wait for the outcome."""
    proxy = Proxy.to(database)
    async with proxy:
        pool = asyncpg.create_pool(through(database, proxy), min_size=0, max_size=1, command_timeout=0.2)
        await pool
        connection = await pool.acquire()
        proxy.drop_answers = True
        giving_back = asyncio.create_task(pool.release(connection, timeout=0.2))
        await asyncio.sleep(0.05)
        giving_back.cancel()
        await asyncio.gather(giving_back, return_exceptions=True)
        await asyncio.sleep(0.5)  # asyncpg's own deadline, and closing
        pool.terminate()
    gc.collect()


async def replaced(database: str) -> None:
    """Replace a connection to a PostgreSQL that has fallen silent, as after a failover from one that hangs."""
    async with Proxy.to(database) as proxy:
        pool = asyncpg.create_pool(through(database, proxy), min_size=0, max_size=1, command_timeout=0.2)
        await pool
        await pool.release(await pool.acquire())
        proxy.stall()
        await pool.expire_connections()
        with pytest.raises(TimeoutError):
            await pool.acquire(timeout=0.1)
        await asyncio.sleep(0.5)  # closing, by asyncpg's own deadline
        pool.terminate()
    gc.collect()


@pytest.mark.parametrize("forgiving", [True, False])
@pytest.mark.parametrize("lose", [abandoned, replaced])
async def test_giving_back_to_a_silent_server_is_no_error(
    database: str, caplog: pytest.LogCaptureFixture, forgiving: bool, lose: Callable[[str], Awaitable[None]]
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(forgive_release if forgiving else None)
    try:
        with caplog.at_level(logging.ERROR, "asyncio"):
            await lose(database)
        assert bool(caplog.records) is not forgiving
        caplog.clear()
        with caplog.at_level(logging.ERROR, "asyncio"):
            other = asyncio.create_task(fail())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            del other
            gc.collect()
        assert "never retrieved" in caplog.text, "what nobody expects is told"
    finally:
        loop.set_exception_handler(None)
