"""`sluice up`: everything on one machine after one command."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import asyncpg
import typer

from schemas.errors import Unauthorized
from schemas.keys import KeyRequest, Scope
from server import leash
from server.audit import at_the_terminal
from server.database import open_session_pool
from server.keys import KeyRing
from server.leash import MYSELF
from server.local import local_services
from server.masks import Masks
from server.migrations import migrate
from server.settings import Settings
from server.supervisor import Supervisor

READY_S = 75.0  # for the workers, after their services run: a starved machine takes half a minute to load Python
KEY_FILE = "admin.key"
READ_SIDE_S = 0.05  # between two looks at /readyz
DEMO_STOP_S = 3.0  # for the simulated fleet to end after SIGTERM


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line asked for."""

    host: str
    port: int
    workers: int
    demo: bool


async def up(settings: Settings, options: UpOptions) -> int:
    """Run until SIGINT or SIGTERM; returns the exit code."""
    stop = _stop_signals()
    async with _services(settings) as environment:
        settings = settings_with(settings, environment)
        for migration in await migrate(settings.direct, settings.engine):
            say(f"schema    {migration.number:04} {migration.name}")
        key_path, key = await _admin_key(settings)
        async with Supervisor(options.host, options.port, options.workers, environment) as workers:
            url = f"http://{f'[{options.host}]' if ':' in options.host else options.host}:{workers.port}"
            if not await _ready(url, options.workers, stop):
                return 0 if stop.is_set() else 1
            _welcome(url, key_path, key, options.workers)
            async with _demo(url, key_path) if options.demo else contextlib.nullcontext():
                await stop.wait()
            say("stopping")
    return 0


async def serve(settings: Settings, options: UpOptions, *, migrate_first: bool) -> int:
    """Production: workers on services that run elsewhere; returns the exit code."""
    stop = _stop_signals()
    if migrate_first and not await _migrated(settings, stop):
        return 0
    async with Supervisor(options.host, options.port, options.workers, {}) as workers:
        say(f"serving on http://{options.host}:{workers.port} with {options.workers} workers")
        await stop.wait()
    return 0


async def _migrated(settings: Settings, stop: asyncio.Event) -> bool:
    """Bring the schema up to date, waiting for the database; False where a signal came first."""
    stopped = asyncio.create_task(stop.wait())
    while not stopped.done():
        work = asyncio.create_task(migrate(settings.direct, settings.engine))
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            break
        try:
            work.result()
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
            say(Masks.of(settings)(f"waiting for PostgreSQL: {error!r}"))
            await asyncio.wait({stopped}, timeout=1)
        else:
            stopped.cancel()
            return True
    return False


def settings_with(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """The settings, with the addresses of the services that were started."""
    os.environ.update(environment)
    return Settings() if environment else settings


@contextlib.asynccontextmanager
async def _services(settings: Settings) -> AsyncIterator[dict[str, str]]:
    """Start what no URL is set for; gives the environment that names it."""
    postgres, redis = settings.database_url is None, settings.redis_url is None
    if not (postgres or redis):
        yield {}
        return
    say(f"data      {settings.data_dir.resolve()}")
    async with local_services(settings.data_dir, postgres=postgres, redis=redis) as services:
        yield services.environment()


async def _admin_key(settings: Settings) -> tuple[Path, str | None]:
    """The file of the admin key; with the key itself where it was made just now."""
    path = settings.data_dir / KEY_FILE
    pool = await open_session_pool(settings)
    try:
        ring = KeyRing(pool, time.monotonic, lambda: time.time_ns() // 1_000)
        if path.exists():
            with contextlib.suppress(Unauthorized):  # of another database: make one for this
                await ring.authenticate(path.read_text().strip())
                return path, None
        made = await ring.create(KeyRequest(name="admin", scopes=[Scope.ADMIN]), at_the_terminal())
    finally:
        await pool.close()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(made.key + "\n")
    return path, made.key


async def _ready(url: str, workers: int, stop: asyncio.Event) -> bool:
    """Wait for the workers; False where they do not come up, or are not wanted any more."""
    reason = ""
    deadline = asyncio.get_running_loop().time() + READY_S
    ready: set[str | None] = set()
    # Each question on a connection of its own, so that the kernel spreads them over the workers.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=2)) as session:
        while not stop.is_set() and asyncio.get_running_loop().time() < deadline:
            try:
                async with session.get(f"{url}/readyz") as response:
                    if response.status == 200:
                        ready.add(response.headers.get("X-Worker"))
                        if len(ready) >= workers:
                            return True
                    reason = await response.text()
            except (OSError, TimeoutError, aiohttp.ClientError) as error:
                reason = repr(error)
            await asyncio.sleep(READ_SIDE_S)
    if not stop.is_set():
        say(f"not ready after {READY_S:g} s: {reason}")
    return False


def _welcome(url: str, key_path: Path, key: str | None, workers: int) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = json.dumps({"device": "pump-7", "readings": [{"ts": now, "metric": "temperature", "value": 21.5}]})
    say(f"ready     {url} ({workers} workers, PID {os.getpid()})")
    say(f"dashboard {url}/  (sign in with the admin key)")
    say(f"admin key {key or 'as before'}  (kept in {key_path})")
    say("try       a first reading:")
    say(
        f"curl -sS {url}/v1/readings -H \"Authorization: Bearer $(cat '{key_path.resolve()}')\""
        f" -H 'Content-Type: application/json' -d '{body}'"
    )


@contextlib.asynccontextmanager
async def _demo(url: str, key_path: Path) -> AsyncIterator[None]:
    """A simulated fleet, on a leash: it ends with this process even if that is killed before the fleet has begun."""
    words = ("--url", url, "--key-file", key_path, "--rules", "--history", "15")
    command = (sys.executable, "-m", "load.simulate", *words)
    process = leash.spawn(command, Path.cwd(), MYSELF, signal.SIGTERM, sys.stderr.fileno())
    try:
        yield
    finally:
        leash.signal_all([process.pid], signal.SIGTERM)
        await leash.ended(process, DEMO_STOP_S)
        leash.discard(process)


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def say(line: str) -> None:
    """A line for the person at the terminal."""
    typer.echo(line)
