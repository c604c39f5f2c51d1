"""A lane: one connection that flushes one group after another, each answered by its deadline."""

import asyncio
from collections.abc import Callable, Sequence

import asyncpg
import structlog

from ingest import newest, trouble
from ingest.group import Group
from ingest.newest import PREPARE, UnclaimedError
from ingest.partitions import Partitions
from ingest.series import ACQUIRE_S
from ingest.store import Screening, Stage, Store
from schemas.columns import Receipt
from schemas.errors import Unavailable
from schemas.hindrances import SeriesGone, SeriesLocked

log = structlog.get_logger(__name__)

TRIES = 3  # of one group whose connection is lost: two killed backends go unseen by the sender
COLLISIONS = 8  # with others, that one group may meet besides: a storm of them is over long before its deadline


class PoisonedError(Exception):
    """A value in the group is one that PostgreSQL cannot store; nothing of the group was."""


class HinderedError(Exception):
    """Some batches of the group cannot be stored now, through a series of theirs; nothing of the group was."""

    def __init__(self, batches: set[int], refusal: Unavailable) -> None:
        super().__init__(refusal.title)
        self.batches, self.refusal = batches, refusal


class Lane:
    """Holds a connection of the pool for as long as it works; one that failed is never used again."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        partitions: Partitions,
        screening: Screening,
        failed: Callable[[Stage], None] = lambda _: None,
    ) -> None:
        """`failed` hears of each try that failed, and in which stage."""
        self._pool, self._partitions, self._failed = pool, partitions, failed
        self._connection: asyncpg.pool.PoolConnectionProxy | None = None
        self.store = Store(screening)

    def renew(self) -> None:
        """The database is another one, or an older state of it: ids of series that were found before mean nothing."""
        self.store.outdated = True

    def begin(self) -> None:
        """A group comes whose ids were found just now."""
        if self.store.outdated:
            self.store.outdated = False
            self._cut()  # it may lead to the database that was

    async def flush(self, group: Group, deadline: float) -> Sequence[Receipt]:
        """Store the group by `deadline` (the loop's clock, seconds).

        Raises the SluiceError that its senders are to be told, PoisonedError, or HinderedError.
        """
        loop = asyncio.get_running_loop()
        left, collisions_left = TRIES, COLLISIONS
        while True:
            try:
                return await self._try(group, deadline)
            except trouble.AWAY as error:
                await self.close()
                self._failed(self.store.stage)
                log.warning("flush failed", error=repr(error), rows=len(group.rows), stage=self.store.stage.value)
                if self.store.stage is Stage.COMMITTING:
                    raise trouble.after_commit(error) from error
                if self.store.stage is Stage.WRITING and trouble.is_poison(error):
                    raise PoisonedError from error
                if trouble.is_locked(error):
                    await self._raise_hindered(group, deadline)
                if trouble.is_missing_partition(error):
                    self._partitions.forget()
                elif not trouble.is_transient(error):
                    raise trouble.before_commit(error) from error
                if trouble.is_collision(error):
                    collisions_left -= 1
                else:
                    left -= 1
                if not (left and collisions_left) or loop.time() >= deadline:
                    raise trouble.before_commit(error) from error
            except UnclaimedError as error:
                await self.close()
                await self._raise_hindered(group, deadline)
                raise SeriesGone from error
            except BaseException:
                await self.close()
                raise

    async def _raise_hindered(self, group: Group, deadline: float) -> None:
        """Find out which batches held up the others. Raises HinderedError, unless that is not to be found out."""
        if self.store.stage is Stage.STEPPING and self.store.stepped is not None:  # a rule, or the counter of offsets
            raise HinderedError(group.batches_of(self.store.stepped), SeriesLocked())
        try:
            async with asyncio.timeout_at(deadline), self._pool.acquire(timeout=ACQUIRE_S) as connection:
                gone, locked = await newest.find_hindered(connection, group.rows)
        except trouble.AWAY as error:
            log.warning("who was in the way is unknown", error=repr(error))
            return
        for series, refusal in ((gone, SeriesGone()), (locked, SeriesLocked())):
            if len(series):
                log.warning("series in the way", count=len(series), series_id=int(series[0]), code=refusal.code)
                raise HinderedError(group.batches_of(series), refusal)

    async def _try(self, group: Group, deadline: float) -> Sequence[Receipt]:
        loop = asyncio.get_running_loop()
        self.store.stage = Stage.OUTSIDE
        async with asyncio.timeout_at(deadline):
            await self._partitions.ensure(group.days())
            connection = await self._connected()
            if self.store.outdated:  # by connecting it was noticed
                raise HinderedError(set(range(len(group.sizes))), SeriesGone())
        # At the deadline the connection is cut rather than the flush cancelled: cancelling waits for the server.
        timer = loop.call_at(deadline, self._cut)
        try:
            return await self.store.flush(connection, group)
        except AttributeError as error:
            # A connection that is cut has no protocol any more, which asyncpg finds out by using it.
            if self._is_connected():
                raise
            raise asyncpg.InterfaceError("the connection was cut at the deadline") from error
        finally:
            timer.cancel()

    async def _connected(self) -> asyncpg.pool.PoolConnectionProxy:
        if self._connection is None or not self._is_connected():
            await self.close()
            self._connection = await self._pool.acquire(timeout=ACQUIRE_S)
            await self._connection.execute(PREPARE)
        return self._connection

    def _is_connected(self) -> bool:
        try:
            return self._connection is not None and not self._connection.is_closed()
        except asyncpg.InterfaceError:  # it was lost while the lane was idle, and the pool took it back
            return False

    def _cut(self) -> None:
        if self._is_connected() and self._connection is not None:
            self._connection.terminate()

    async def close(self) -> None:
        """Cut the connection, if there is one."""
        self._cut()
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection, timeout=ACQUIRE_S)
