"""``/healthz``, ``/readyz``, ``/metrics`` and, for the page, ``/v1/system``."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess

from schemas.keys import Scope
from server.auth import Gate
from server.database import AWAY
from server.lineage import WrongServerError
from server.migrations import schema_gap
from server.system import System
from server.tasks import Tasks

CHECK_S = 1.0  # for the database to answer
LOOK_S = 5.0  # for a look at it to end, longer: begun anew each second, one on a busy machine would never get through
_DURABLE = """
SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
"""


@dataclass(slots=True)
class Health:
    """Whether this worker can do its job, and if not, why."""

    pool: asyncpg.Pool
    tasks: Tasks
    gate: Gate
    registry: CollectorRegistry
    system: System
    rules_loaded: Callable[[], bool]
    draining: bool = False
    _look: asyncio.Task[str | None] | None = field(default=None, init=False)

    async def trouble(self) -> str | None:
        """Why requests should go elsewhere, or None."""
        if self.draining:
            return "shutting down"
        if self.tasks.failure:
            return f"the background task '{self.tasks.failure}' broke"
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_at_database(), name="readiness")
        # All who ask share it, and none of them ends it by going away or by having waited long enough.
        look = self._look  # the next one may have begun by the time we go on
        done, _ = await asyncio.wait([look], timeout=CHECK_S)
        found = look.result() if done else "PostgreSQL has not answered yet"
        return found or (None if self.rules_loaded() else "the rules are not loaded yet")

    async def _look_at_database(self) -> str | None:
        try:
            async with asyncio.timeout(LOOK_S), self.pool.acquire(timeout=LOOK_S) as connection:
                return await _database_trouble(connection)
        except WrongServerError as error:
            return str(error)
        except AWAY as error:
            return f"PostgreSQL does not answer ({type(error).__name__})"


async def _database_trouble(connection: asyncpg.pool.PoolConnectionProxy) -> str | None:
    if gap := await schema_gap(connection):
        return gap
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        return "PostgreSQL is a read-only standby"
    off = [record["name"] for record in await connection.fetch(_DURABLE)]
    return f"PostgreSQL would lose what it acknowledges: {', '.join(off)} is off" if off else None


router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Alive."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Ready for traffic; 503 with the reason otherwise."""
    health: Health = request.state.health
    reason = await health.trouble()
    headers = {"X-Worker": str(os.getpid())}
    if reason is None:
        return JSONResponse({"status": "ready"}, headers=headers)
    return JSONResponse({"status": "not ready", "reason": reason}, 503, headers)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus' text format, summed over all workers of this node."""
    health: Health = request.state.health
    await health.gate(request, Scope.READ, cookies=True)
    registry = health.registry
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/system")
async def get_system(request: Request) -> dict[str, Any]:
    """The figures of `/metrics` that a person wants, of all workers of this node together, as one object.

    Counters are totals since the start; who asks twice has what happened between. A sample is up to 1 s old (`at`).
    """
    health: Health = request.state.health
    await health.gate(request, Scope.READ, cookies=True)
    return await health.system.sample(health.trouble)
