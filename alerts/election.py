"""One worker of all does what must be done once: whoever holds an advisory lock of PostgreSQL.

The lock lives with a session. A holder that dies loses it at once; one that is frozen stops pinging, and PostgreSQL
ends its session after `IDLE_S`. Work that was under way then may overlap with its successor's for a moment, so every
job has to be safe against that by its own transaction.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import asyncpg
import structlog

from alerts.live.fetch import AWAY
from alerts.record import ACQUIRE_S

log = structlog.get_logger(__name__)

_LOCK = 0x51_1C_E0_02  # advisory: the one elected worker
PING_S = 0.7
IDLE_S = 2.5  # with the pause between two tries: a frozen holder is replaced within four seconds
TRY_S = 1.0
JOB_S = 1.0  # between the end of a job and its next turn

Job = Callable[[], Awaitable[None]]


class Election:
    """Runs jobs while this worker is the elected one."""

    def __init__(self, pool: asyncpg.Pool, jobs: Mapping[str, Job]) -> None:
        self._pool, self._jobs = pool, jobs
        self.elected = False
        """Whether this worker is."""
        self.spent: dict[str, float] = {}
        """Seconds that each job took here, since the start."""
        self.failures: Counter[str] = Counter()
        """Turns of each job that PostgreSQL's absence ended."""

    async def run(self) -> None:
        """Stand for election for ever. Ends by being cancelled, or by a defect of a job."""
        while True:
            try:
                await self._term()
            except* AWAY as errors:
                if self.elected:
                    log.warning("evaluator lost", errors=[repr(error) for error in errors.exceptions])
            self.elected = False
            await asyncio.sleep(TRY_S)

    async def _term(self) -> None:
        connection = await self._pool.acquire(timeout=ACQUIRE_S)
        try:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                return
            await connection.execute(f"SET idle_session_timeout = {round(IDLE_S * 1000)}")
            self.elected = True
            log.info("evaluator elected")
            async with asyncio.TaskGroup() as tasks:
                for name, job in self._jobs.items():
                    tasks.create_task(self._repeat(name, job), name=f"evaluator-{name}")
                while True:
                    await connection.execute("SELECT 1", timeout=IDLE_S)
                    await asyncio.sleep(PING_S)
        finally:
            if self.elected:
                connection.terminate()  # the lock goes with the session
            await self._pool.release(connection)

    async def _repeat(self, name: str, job: Job) -> None:
        task = asyncio.current_task()
        # A group cancels its tasks once, and before Python 3.12 whatever uses wait_for may swallow that: the pool does.
        while task is None or not task.cancelling():
            began = time.monotonic()
            try:
                await job()
            except AWAY as error:
                self.failures[name] += 1
                log.warning("evaluation failed", job=name, error=repr(error))
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.monotonic() - began
            await asyncio.sleep(JOB_S)
