"""The database for a command: of the URL, of a running `up`, or of one started for this."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from pydantic import SecretStr

from server.database import open_session_pool
from server.local import LocalPostgres, local_services
from server.local_memory import Memory
from server.migrations import migrate
from server.settings import Settings
from server.up import settings_with

Result = TypeVar("Result")
Work = Callable[[asyncpg.Pool], Awaitable[Result]]


async def with_pool(settings: Settings, work: Work[Result]) -> Result:
    """Do something with the database, wherever it is."""
    if settings.database_url is not None:
        return await _in_pool(settings, work)
    postgres = LocalPostgres(settings.data_dir)
    postgres.memory = Memory.recall(postgres.memory.path)
    if postgres.memory.port and await postgres.answers():
        return await _in_pool(settings.model_copy(update={"database_url": SecretStr(postgres.url)}), work)
    async with local_services(settings.data_dir, redis=False) as services:
        await migrate(services.database_url, settings.engine)
        return await _in_pool(settings_with(settings, services.environment()), work)


async def _in_pool(settings: Settings, work: Work[Result]) -> Result:
    pool = await open_session_pool(settings)
    try:
        return await work(pool)
    finally:
        await pool.close()
