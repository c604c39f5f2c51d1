"""Sluice itself as a subject: `sluice up` on a folder of its own, or a server that runs already on this machine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg

from load.bench import proc
from load.bench.body import Door, Format
from load.bench.case import Case
from load.bench.meter import Meter
from load.bench.plan import DEVICES, device_name
from load.bench.subject import SubjectError, on_cores, parse_figures
from load.own import Own, OwnError
from schemas.conditions import Level, Severity, Threshold
from schemas.rules import RuleRequest

PATH = "/v1/readings"
PATHS = {
    Format.LINES: "/api/v2/write?org=bench&bucket=bench&precision=ms",
    Format.SAMPLES: "/api/v1/write",
    Format.THINGS: "/api/v1/{key}/telemetry",
    Format.POINTS: "/v1/metrics",
}
"""Of formats that are not our own."""
RULES = 1_000
LIMIT = 1e9  # no value comes near: the rules are looked at, and never fire
AT_ONCE = 8  # rules created at a time


@dataclass(slots=True)
class Sluice:
    """A running server, with a key for writing and one for everything."""

    url: str
    admin_key: str
    database: "asyncpg.Connection[asyncpg.Record]"
    http: aiohttp.ClientSession
    meter: Meter
    key: str = ""
    device_key: str = ""
    """Of one device, for a protocol that has the key in its path, and no other device than the key's."""
    name: str = "sluice"

    def door(self, case: Case) -> Door:
        """Where a case's requests go."""
        parts = urlsplit(self.url)
        path = PATHS.get(case.layout, PATH)
        shown = "" if "{key}" in path else f"Bearer {self.key}"
        path = path.replace("{key}", self.device_key)
        return Door(parts.hostname or "", parts.port or 80, path, shown, case.layout, case.gzip)

    def workers(self) -> list[int]:
        """The worker processes."""
        members = proc.family(proc.processes(), self.meter.roots["server"])
        return sorted(pid for pid in members if "server.worker" in proc.command(pid))

    async def figures(self) -> dict[str, float]:
        """`/metrics`."""
        async with self.http.get(f"{self.url}/metrics", headers=self._admin()) as response:
            return parse_figures(await response.text()) if response.status == 200 else {}

    async def stored(self) -> int:
        """What SQL users see."""
        count: int = await self.database.fetchval("SELECT count(*) FROM telemetry WHERE device LIKE 'bench-%'")
        return count

    async def settle(self) -> None:
        """CHECKPOINT."""
        await self.database.execute("CHECKPOINT")

    async def prepare(self, rules: int) -> None:
        """Make a key that may only write, and the rules: one a device, over all its series."""
        self.key = (await self.post("/v1/keys", {"name": "bench", "scopes": ["ingest"]}))["key"]
        wanted = {"name": "bench", "scopes": ["ingest"], "device_glob": device_name(0)}
        self.device_key = (await self.post("/v1/keys", wanted))["key"]
        waiting = [device_name(device) for device in range(DEVICES)][:rules]

        async def create() -> None:
            while waiting:
                await self.post("/v1/rules", rule(waiting.pop()))

        async with self.http.get(f"{self.url}/v1/rules", headers=self._admin()) as response:
            known = {found["name"] for found in (await response.json())["items"]}
        waiting = [device for device in waiting if f"bench {device}" not in known]
        await asyncio.gather(*(create() for _ in range(AT_ONCE)))

    async def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        async with self.http.post(self.url + path, json=document, headers=self._admin()) as response:
            if response.status != 201:
                raise SubjectError(f"POST {path}: {response.status}: {await response.text()}")
            made: dict[str, Any] = await response.json()
            return made

    def _admin(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.admin_key}"}


def rule(device: str, metric: str = "*", limit: float = LIMIT) -> dict[str, Any]:
    """A rule over a device's series, as it is sent."""
    condition = Threshold(type="threshold", levels=(Level(severity=Severity.WARNING, above=limit),))
    request = RuleRequest(name=f"bench {device}", device=device, metric=metric, condition=condition)
    return request.model_dump(mode="json", exclude_none=True)


@asynccontextmanager
async def started(
    folder: Path, workers: int, cores: set[int] | None, settings: Mapping[str, str], rules: int = RULES
) -> AsyncIterator[Sluice]:
    """Run `sluice up` in a folder, on these cores, with settings of its own (`flush_rows` → `5000`)."""
    own = Own(folder, workers, settings)
    with on_cores(cores):
        own.launch()
    try:
        try:
            await asyncio.to_thread(own.wait)
        except OwnError as error:
            raise SubjectError(str(error)) from error
        stats = proc.processes()
        worker = next(pid for pid in proc.family(stats, own.pid) if "server.worker" in proc.command(pid))
        database_url = proc.environment(worker)["SLUICE_DATABASE_URL"]
        async with connected(own.url, own.key, database_url, own.pid, rules) as sluice:
            yield sluice
    finally:
        await asyncio.to_thread(own.stop)


@asynccontextmanager
async def connected(
    url: str, key: str, database_url: str, root: int | None = None, rules: int = RULES
) -> AsyncIterator[Sluice]:
    """A server that runs, on this machine: its processes are found by its port, PostgreSQL's by a connection."""
    stats = proc.processes()
    if root is None:
        holders = proc.listeners(urlsplit(url).port or 80)
        outermost = [pid for pid in holders if stats[pid].parent not in holders]
        if not outermost:
            raise SubjectError(f"no process that we can see listens on {url}: the CPU could not be measured")
        root = outermost[0]
    database: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database_url)
    try:
        backend = await database.fetchval("SELECT pg_backend_pid()")
        roots = {"server": root}
        if backend in stats or (stats := proc.processes()).get(backend):
            roots["postgres"] = stats[backend].parent
        redis = [stat.pid for stat in stats.values() if stat.name in ("valkey-server", "redis-server")]
        mine = [pid for pid in redis if pid in proc.family(stats, root)] or redis[:1]
        roots |= {"redis": mine[0]} if mine else {}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
            sluice = Sluice(url.rstrip("/"), key, database, http, Meter(roots))
            await sluice.prepare(rules)
            yield sluice
    finally:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await database.close(timeout=5)
