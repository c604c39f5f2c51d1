"""The read side, put together: connections of its own, so that no query keeps readings from being stored."""

from contextlib import AsyncExitStack

import asyncpg
from prometheus_client import CollectorRegistry

from alerts.ending import Endings
from query.deletion import Deletion
from query.desk import ReadingRoom
from query.reads import ReadLimits, ReadMetrics, Reads
from query.rolled import Rolled
from server.auth import Gate
from server.database import open_read_pool
from server.lineage import Lineage
from server.settings import Settings


async def open_reading_room(
    stack: AsyncExitStack,
    settings: Settings,
    registry: CollectorRegistry,
    gate: Gate,
    pool: asyncpg.Pool,
    endings: Endings,
    lineage: Lineage,
) -> ReadingRoom:
    """What the routes need; its connections end with the stack. `pool` is for what is deleted."""
    read_pool = await open_read_pool(settings, lineage)
    stack.callback(read_pool.terminate)
    limits = ReadLimits(at_once=settings.read_pool_size, streams=settings.max_streams)
    reads = Reads(read_pool, ReadMetrics(registry), limits)
    return ReadingRoom(gate, reads, Rolled(), Deletion(pool, endings))
