"""Deleting a device: gone from every answer and from SQL at once, its readings' storage freed afterwards.

Everything that shows readings finds them by their series. So the rows of the series go, in one transaction with the
device and the end of its alerts, and what is left are readings of ids that nothing names and that are never given out
again; the elected worker removes those piece by piece (`query/purge.py`).
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg

from query.reads import AWAY, Connection
from schemas import audit
from schemas.audit import SLUICE, Act, Actor
from schemas.errors import NotFound
from schemas.query_errors import QueryTooSlow

SERIES_AT_ONCE = 500  # of one transaction: it keeps the device's readings from being stored meanwhile
ACQUIRE_S = 1.5  # for a connection, and for giving it back: asyncpg waits for ever on a frozen server otherwise
DEADLINE_S = 3.5  # with the connection, within the five seconds a request may take
TRIES = 3  # of one transaction: a deadlock with who changes a rule goes unseen

# Whoever makes a series of the device waits for this lock, or has committed before: none is overlooked.
_LOCK_DEVICE = "SELECT 1 FROM devices WHERE name = $1 FOR UPDATE"
_SERIES = "SELECT id FROM series WHERE device = $1 ORDER BY id LIMIT $2"
# Locks in the order of everybody: who writes readings has these, then refers to the series.
_LOCK_NEWEST = "SELECT FROM newest WHERE series_id = ANY($1::int[]) ORDER BY series_id FOR UPDATE"
_LOCK_SERIES = "SELECT FROM series WHERE id = ANY($1::int[]) ORDER BY id FOR UPDATE"
_REMEMBER = "INSERT INTO deleted_series (series_id) SELECT unnest($1::int[])"
_DELETE_SERIES = "DELETE FROM series WHERE id = ANY($1::int[])"  # and with them `newest` and `alert_states`
_DELETE_DEVICE = "DELETE FROM devices WHERE name = $1"


class Endings(Protocol):
    """What the alerts have to do where series are deleted."""

    async def end(self, connection: Any, series: Sequence[int]) -> Any:
        """Resolve what fires for these series, which are locked."""

    async def record(self, connection: Any, ended: Any) -> Any:
        """Write down what `end` returned, last before COMMIT."""

    def committed(self, recorded: Any) -> None:
        """What `record` returned is durable now."""


class Deletion:
    """Deletes devices."""

    def __init__(self, pool: asyncpg.Pool, endings: Endings) -> None:
        self._pool, self._endings = pool, endings

    async def delete(self, device: str, by: Actor = SLUICE) -> None:
        """Delete a device with all its series. Raises NotFound where it is unknown.

        One of many series goes in several transactions, each of which leaves the rest whole; where they do not come to
        an end in time, QueryTooSlow is raised, and the next attempt goes on from there.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DEADLINE_S
        connection = await self._pool.acquire(timeout=ACQUIRE_S)
        try:
            async with asyncio.timeout_at(deadline):
                while not await self._step_unharmed(connection, device, by):
                    if loop.time() > deadline - 1:
                        raise QueryTooSlow("the device has many series: delete it again, until that is answered")
        except (asyncio.CancelledError, *AWAY):
            connection.terminate()  # else giving it back would first wait for the server
            raise
        finally:
            await self._pool.release(connection, timeout=ACQUIRE_S)

    async def _step_unharmed(self, connection: Connection, device: str, by: Actor) -> bool:
        for _ in range(TRIES - 1):
            with contextlib.suppress(asyncpg.DeadlockDetectedError):
                return await self._step(connection, device, by)
        return await self._step(connection, device, by)

    async def _step(self, connection: Connection, device: str, by: Actor) -> bool:
        """Delete some series, and the device with the last of them; whether that was it."""
        async with connection.transaction():
            if await connection.fetchval(_LOCK_DEVICE, device) is None:
                raise NotFound("no such device")
            found = await connection.fetch(_SERIES, device, SERIES_AT_ONCE)
            series = [record["id"] for record in found]
            await connection.execute(_LOCK_NEWEST, series)
            await connection.execute(_LOCK_SERIES, series)
            ended = await self._endings.end(connection, series)
            await connection.execute(_REMEMBER, series)
            await connection.execute(_DELETE_SERIES, series)
            done = len(series) < SERIES_AT_ONCE
            if done:
                await connection.execute(_DELETE_DEVICE, device)
            detail = {"series": len(series), "whole": done}
            await connection.execute(audit.INSERT, *audit.row(by, Act.DEVICE_DELETE, device, detail))
            recorded = await self._endings.record(connection, ended)
        self._endings.committed(recorded)
        return done
