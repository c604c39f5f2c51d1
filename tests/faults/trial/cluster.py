"""A whole cluster to be broken: PostgreSQL, Valkey, a proxy before each, and workers under the real supervisor."""

import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg

from schemas.keys import KeyRequest, Scope
from server import leash
from server.keys import KeyRing
from server.local import LocalPostgres, LocalValkey
from server.migrations import migrate
from server.supervisor import Supervisor
from tests.conftest import HOST, Server, until_ready
from tests.faults.defects.clock import CLOCK_FILE, step
from tests.faults.defects.witness import WITNESS
from tests.faults.trial.crossing import Crossing, Ways, through
from tests.faults.trial.disk import Disk, mounting_fails
from tests.proxy import free_port

if TYPE_CHECKING:
    from tests.faults.trial.nodes import Node

DATA_MIB, WAL_MIB = 1_536, 256
POSTGRES = {
    "shared_buffers": "64MB",
    "max_wal_size": "96MB",
    "checkpoint_timeout": "5min",
    "deadlock_timeout": "300ms",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "log_min_messages": "log",
}
"""Small, so that every limit is near."""
SPARE = {"queue_rows": 2_000}
"""Settings of the spare worker: a flood has to be a flood to it."""
TRIES = 5
"""Of a statement that locks tables the server is at work on."""
DEFECTS = Path(__file__).parents[1] / "defects"
"""On the path of every Python below, where a trial asks for a defect (see `sitecustomize.py` there)."""


class Postgres(LocalPostgres):
    """A PostgreSQL whose log is on a disk of its own, where there is one."""

    wal_disk: Path | None = None

    async def prepare(self) -> None:
        """Also move `pg_wal`."""
        await super().prepare()
        inside = self.folder / "pg_wal"
        if self.wal_disk is not None and not inside.is_symlink():
            outside = self.wal_disk / "pg_wal"
            shutil.move(inside, outside)
            leash.own(outside, self.identity)
            inside.symlink_to(outside)


@dataclass
class Cluster:
    """What a trial works on."""

    folder: Path
    postgres: LocalPostgres
    valkey: LocalValkey
    ways: Ways
    server: Server
    settings: Mapping[str, Any]
    data_disk: Disk | None = None
    wal_disk: Disk | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    """What was started here is stopped in the end."""
    keys: dict[str, str] = field(default_factory=dict)
    beside: "Cluster | None" = None
    """The spare worker, once there is one."""
    nodes: "Sequence[Node]" = ()
    """Who does the work behind the `url`, where that is nginx'."""

    @property
    def to_postgres(self) -> Crossing:
        """The proxy before PostgreSQL."""
        return self.ways.postgres

    @property
    def to_redis(self) -> Crossing:
        """The proxy before Redis."""
        return self.ways.redis

    @property
    def url(self) -> str:
        """Where the workers listen."""
        return self.server.url

    @property
    def supervisor(self) -> Supervisor:
        """Of the workers."""
        return self.server.supervisor

    @property
    def deadline_s(self) -> float:
        """From a batch's arrival to its answer."""
        return float(self.settings.get("deadline_s", 5.0))

    async def key(self, *scopes: str, device_glob: str | None = None) -> str:
        """A key for this; the same one every time."""
        name = f"{'+'.join(scopes)} {device_glob}"
        if name not in self.keys:
            self.keys[name] = await self.server.key(*scopes, device_glob=device_glob)
        return self.keys[name]

    async def spare(self) -> "Cluster":
        """One more worker on the same services, which a trial can block, flood, and whose clock it can step."""
        if self.beside is None:
            clock = self.folder / "clock"
            step(clock, 0.0)
            settings = dict(self.settings) | SPARE
            environment = _environment(self.postgres, self.valkey, self.ways, settings)
            environment |= defective("witness,stall,clock", self.folder) | {CLOCK_FILE: str(clock)}
            server = await _serve(self.stack, self.postgres, self.valkey, 1, environment)
            self.beside = replace(self, server=server, settings=settings, keys={})
        return self.beside

    @asynccontextmanager
    async def other_workers(self, workers: int, defect: str) -> AsyncIterator["Cluster"]:
        """Workers with a defect, on the same services."""
        environment = variables(self)
        async with AsyncExitStack() as stack:
            server = await _serve(
                stack, self.postgres, self.valkey, workers, environment | defective(defect, self.folder)
            )
            yield replace(self, server=server, keys={})

    async def metric(self, name: str) -> float:
        """The sum of a metric over all workers."""
        headers = self.server.headers()
        async with self.server.http.get(f"{self.url}/metrics", headers=headers) as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask PostgreSQL itself, not through the proxy."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            records: list[asyncpg.Record] = await connection.fetch(query, *arguments)
            return records
        finally:
            await connection.close()

    async def execute(self, statements: str) -> None:
        """Do something in PostgreSQL itself; again where the server's transactions stood in the way."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            for left in reversed(range(TRIES)):
                try:
                    await connection.execute(statements)
                except asyncpg.DeadlockDetectedError:
                    if not left:
                        raise
                else:
                    return
        finally:
            await connection.close()


@asynccontextmanager
async def cluster(
    folder: Path,
    *,
    workers: int = 2,
    defect: str | None = None,
    disks: bool = False,
    settings: Mapping[str, Any] | None = None,
    two_hosts: bool = False,
) -> AsyncIterator[Cluster]:
    """Start one, every worker of it ready. `settings` are Sluice's own; `defect` is the name of one of `defects`.

    With `two_hosts` the URL of PostgreSQL names a second one, where nothing is yet.
    """
    async with AsyncExitStack() as stack:
        postgres, valkey, ways, rooms = await services(stack, folder, disks=disks, two_hosts=two_hosts)
        settings = settings or {}
        environment = _environment(postgres, valkey, ways, settings)
        environment |= defective("witness" if defect is None else f"witness,{defect}", folder)
        server = await _serve(stack, postgres, valkey, workers, environment)
        yield Cluster(folder, postgres, valkey, ways, server, settings, *rooms, stack)


async def services(
    stack: AsyncExitStack, folder: Path, *, disks: bool = False, two_hosts: bool = False, connections: int = 40
) -> tuple[Postgres, LocalValkey, Ways, tuple[Disk | None, Disk | None]]:
    """PostgreSQL with our schema, Valkey, the proxies before them, the disks of data and log."""
    data = wal = None
    if disks and not mounting_fails():
        data = stack.enter_context(Disk(folder / "data", DATA_MIB))
        wal = stack.enter_context(Disk(folder / "wal", WAL_MIB))
    postgres = Postgres(folder / "data", POSTGRES | {"max_connections": str(connections)})
    postgres.wal_disk = wal.folder if wal else None
    await stack.enter_async_context(postgres)
    valkey = await stack.enter_async_context(LocalValkey(folder / "valkey"))
    await migrate(postgres.url)
    ports = [postgres.memory.port, valkey.memory.port] + [free_port()] * two_hosts
    ways = Ways(*(stack.enter_context(Crossing(HOST, port)) for port in ports))
    return postgres, valkey, ways, (data, wal)


def defective(names: str, folder: Path) -> dict[str, str]:
    """The environment in which every worker has these defects; it says in `folder` what it does, if it is asked."""
    path = os.pathsep.join(filter(None, [str(DEFECTS), os.environ.get("PYTHONPATH")]))
    return {"FAULTS_DEFECT": names, "PYTHONPATH": path, WITNESS: str(folder)}


async def _serve(
    stack: AsyncExitStack, postgres: LocalPostgres, valkey: LocalValkey, workers: int, environment: dict[str, str]
) -> Server:
    key = await admin_key(postgres.url)
    http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
    supervisor = await stack.enter_async_context(Supervisor(HOST, 0, workers, environment))
    server = Server(f"http://{HOST}:{supervisor.port}", postgres.url, valkey.url, key, supervisor, http)
    await until_ready(server, patience_s=60)
    return server


async def admin_key(url: str) -> str:
    """A new key that may do everything."""
    async with asyncpg.create_pool(url, min_size=0) as pool:
        ring = KeyRing(pool, time.monotonic, lambda: time.time_ns() // 1_000)
        return (await ring.create(KeyRequest(name=f"admin {secrets.token_hex(2)}", scopes=[Scope.ADMIN]))).key


def _environment(
    postgres: LocalPostgres, valkey: LocalValkey, ways: Ways, settings: Mapping[str, Any]
) -> dict[str, str]:
    """What workers are told: both services by way of their proxies."""
    return {
        "SLUICE_DATABASE_URL": through(postgres.url, *filter(None, (ways.postgres, ways.standby))),
        "SLUICE_REDIS_URL": through(valkey.url, ways.redis),
        "SLUICE_LOG_LEVEL": "error",
        **{f"SLUICE_{name.upper()}": str(value) for name, value in settings.items()},
    }


def variables(near: Cluster) -> dict[str, str]:
    """The environment of a server on the services of this cluster."""
    return _environment(near.postgres, near.valkey, near.ways, near.settings)
