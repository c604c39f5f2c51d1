"""The embedded services: a real PostgreSQL and a real Valkey for `sluice up` and for the tests, below this process.

    async with local_services(Path(".sluice")) as services:
        services.database_url, services.redis_url

They end with this process, however it ends (on macOS, which has no PR_SET_PDEATHSIG: unless it is killed with -9; then
the next start ends them). Data, ports and passwords survive a restart; the data folder serves one process at a time.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from server.leash import LocalServiceError
from server.postgres_local import LocalPostgres
from server.valkey_local import LocalValkey

__all__ = ["LocalPostgres", "LocalServiceError", "LocalServices", "LocalValkey", "local_services"]


@dataclass(frozen=True)
class LocalServices:
    """The running services, None for one that was not asked for."""

    postgres: LocalPostgres | None
    valkey: LocalValkey | None

    @property
    def database_url(self) -> str:
        """`postgresql://sluice:…@127.0.0.1:…/sluice`; empty where PostgreSQL is not ours."""
        return self.postgres.url if self.postgres else ""

    @property
    def redis_url(self) -> str:
        """`redis://:…@127.0.0.1:…/0`; empty where Redis is not ours."""
        return self.valkey.url if self.valkey else ""

    @property
    def postgres_pid(self) -> int | None:
        """The postmaster's process id."""
        return self.postgres.pid if self.postgres else None

    @property
    def redis_pid(self) -> int | None:
        """Valkey's process id."""
        return self.valkey.pid if self.valkey else None

    def environment(self) -> dict[str, str]:
        """What to add to a worker's environment so that it uses these services."""
        urls = {"SLUICE_DATABASE_URL": self.database_url, "SLUICE_REDIS_URL": self.redis_url}
        return {name: url for name, url in urls.items() if url}


@asynccontextmanager
async def local_services(
    data_dir: Path,
    *,
    postgres: bool = True,
    redis: bool = True,
    postgres_settings: Mapping[str, str] | None = None,
) -> AsyncIterator[LocalServices]:
    """Start the services asked for, and stop them in the end. Raises `LocalServiceError`, which says what to do."""
    async with AsyncExitStack() as stack:
        yield LocalServices(
            await stack.enter_async_context(LocalPostgres(data_dir, postgres_settings)) if postgres else None,
            await stack.enter_async_context(LocalValkey(data_dir)) if redis else None,
        )
