"""Who may read now: a few queries at a time, each by its deadline, a few streams, and a name for every refusal."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas.errors import DatabaseAway
from schemas.query_errors import QueryTooSlow, TooManyQueries

Connection = asyncpg.pool.PoolConnectionProxy

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a database that is away raises; a `TimeoutError` is an OSError."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What reading may take of one worker. Tests shorten the seconds."""

    at_once: int = 4
    """Queries under way, each on a connection of its own."""
    waiting: int = 64
    """Queries that wait for their turn; one more is refused."""
    patience_s: float = 1.0
    """For one's turn, of a request that has not been answered yet."""
    acquire_s: float = 1.5
    """For a connection: asyncpg waits for ever on a frozen server otherwise."""
    deadline_s: float = 4.0
    """For what one answer reads. With waiting, within the five seconds a request may take."""
    streams: int = 8
    """Answers of any length under way; they hold a connection only while they read a chunk …"""
    streams_at_once: int = 2
    """… so many of them at a time, whatever else waits."""
    stream_patience_s: float = 20.0
    """For a chunk's turn: what was begun is worth waiting for."""
    stall_s: float = 30.0
    """A client that takes nothing for so long is given up."""


class ReadMetrics:
    """What the read side tells Prometheus."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"sluice_{name}", text, registry=registry, multiprocess_mode="livesum")

        self.running = gauge("queries_running", "Queries of the read side under way.")
        self.waiting = gauge("queries_waiting", "Queries of the read side that wait for their turn.")
        self.streams = gauge("streams_open", "Answers of any length under way.")
        self.rows = Counter("sluice_rows_streamed", "Readings sent in streams.", registry=registry)
        self.broken = Counter(
            "sluice_streams_broken", "Streams cut before their end, by cause.", ["cause"], registry=registry
        )


class Reads:
    """Gives out connections for reading, within the limits of a worker."""

    def __init__(self, pool: asyncpg.Pool, metrics: ReadMetrics, limits: ReadLimits | None = None) -> None:
        self.pool, self.metrics, self.limits = pool, metrics, limits or ReadLimits()
        self._turn = asyncio.Semaphore(self.limits.at_once)
        self._stream_turn = asyncio.Semaphore(self.limits.streams_at_once)
        self._waiting = self._streams = 0

    def deadline(self) -> Callable[[], None]:
        """Begin to count: what is returned raises QueryTooSlow once one answer has read for long enough."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.limits.deadline_s

        def check() -> None:
            if loop.time() > until:
                raise QueryTooSlow(f"reading was given up after {self.limits.deadline_s:g} s")

        return check

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one answer. Raises TooManyQueries, QueryTooSlow, DatabaseAway."""
        if self._turn.locked() and self._waiting >= self.limits.waiting:
            raise TooManyQueries(f"{self._waiting} queries are waiting")
        async with self._taken(self._turn, self.limits.patience_s), self._connected() as connection:
            yield connection

    @asynccontextmanager
    async def chunk(self) -> AsyncIterator[Connection]:
        """A connection for one chunk of a stream. Raises the same."""
        async with (
            self._taken(self._stream_turn, self.limits.stream_patience_s),
            self._taken(self._turn, self.limits.stream_patience_s),
            self._connected() as connection,
        ):
            yield connection

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """A place among the streams. Raises TooManyQueries."""
        if self._streams >= self.limits.streams:
            raise TooManyQueries(f"{self._streams} streams are open", retry_after=5)
        self._streams += 1
        self.metrics.streams.inc()
        try:
            yield
        finally:
            self._streams -= 1
            self.metrics.streams.dec()

    @asynccontextmanager
    async def _taken(self, turn: asyncio.Semaphore, patience_s: float) -> AsyncIterator[None]:
        if turn.locked():
            self._waiting += 1
            self.metrics.waiting.inc()
            try:
                async with asyncio.timeout(patience_s):
                    await turn.acquire()
            except TimeoutError:
                raise TooManyQueries(f"no turn within {patience_s:g} s") from None
            finally:
                self._waiting -= 1
                self.metrics.waiting.dec()
        else:
            await turn.acquire()
        try:
            yield
        finally:
            turn.release()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        connection = None
        self.metrics.running.inc()
        try:
            # The server ends a statement that takes too long (`statement_timeout`); one that is frozen does not.
            async with asyncio.timeout(self.limits.deadline_s + 0.5):
                connection = await self.pool.acquire(timeout=self.limits.acquire_s)
                yield connection
        except asyncpg.QueryCanceledError as error:
            raise QueryTooSlow(f"a query was given up after {self.limits.deadline_s:g} s") from error
        except TimeoutError as error:
            _cut(connection)
            raise DatabaseAway from error
        except asyncio.CancelledError:
            _cut(connection)
            raise
        finally:
            self.metrics.running.dec()
            if connection is not None:
                await self.pool.release(connection, timeout=self.limits.acquire_s)


def _cut(connection: Connection | None) -> None:
    """Giving it back would first wait for the query to be cancelled, on a frozen server for ever."""
    if connection is not None and not connection.is_closed():
        connection.terminate()
