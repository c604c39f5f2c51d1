"""A connection that cannot be given back in time: told as what it is, and nothing else is hushed up."""

import asyncio
import gc
import logging

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


@pytest.mark.parametrize("forgiving", [True, False])
async def test_giving_back_to_a_silent_server_is_no_error(
    database: str, caplog: pytest.LogCaptureFixture, forgiving: bool
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(forgive_release if forgiving else None)
    try:
        with caplog.at_level(logging.ERROR, "asyncio"):
            await abandoned(database)
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
