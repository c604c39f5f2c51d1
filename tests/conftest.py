"""Real services for every test: one PostgreSQL and one Valkey a session, a database cloned from a template a test.

Each process of a parallel run has a session of its own, and so its own services. Some tests measure times and share the
machine with nobody: see `pytest_runtest_protocol`.
"""

import asyncio
import itertools
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from hypothesis import settings as hypothesis_settings

from schemas.keys import KeyRequest, Scope
from server.keys import KeyRing
from server.local import LocalServices, local_services
from server.migrations import migrate
from server.supervisor import Supervisor
from tests.turns import turn

# How long an example takes is the machine's affair: tests that measure times say so themselves.
hypothesis_settings.register_profile("house", deadline=None)
hypothesis_settings.load_profile("house")

TEMPLATE = "sluice_template"
HOST = "127.0.0.1"
SKIPPED = 8
"""How a run ends in CI that skipped a test: not as one does in which tests failed, which may be tried once more."""

_numbers = itertools.count()


@pytest_asyncio.fixture(scope="session")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalServices]:
    """The session's PostgreSQL and Valkey."""
    # To log a cloned database's pages compressed takes a tenth of a second of a processor, and there are hundreds.
    settings = {"wal_compression": "off"}
    async with local_services(tmp_path_factory.mktemp("services"), postgres_settings=settings) as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def template(services: LocalServices) -> str:
    """The name of a database with the whole schema and no data."""
    await _execute(services, f'CREATE DATABASE "{TEMPLATE}"')
    await migrate(_url(services, TEMPLATE))
    return TEMPLATE


@pytest_asyncio.fixture
async def database(services: LocalServices, template: str) -> AsyncIterator[str]:
    """The URL of a database of this test's own."""
    async with _cloned(services, template) as url:
        yield url


@pytest.fixture
def redis_url(services: LocalServices) -> str:
    """The URL of the session's Valkey."""
    return services.redis_url


@dataclass
class Server:
    """A running server: real workers on real services."""

    url: str
    database_url: str
    redis_url: str
    admin_key: str
    supervisor: Supervisor
    http: aiohttp.ClientSession

    def headers(self, key: str | None = None) -> dict[str, str]:
        """Headers that authenticate; with the admin key unless another is given."""
        return {"Authorization": f"Bearer {key or self.admin_key}"}

    async def key(self, *scopes: str, device_glob: str | None = None, **more: Any) -> str:
        """A new key."""
        wanted = {"name": "test", "scopes": list(scopes), "device_glob": device_glob, **more}
        async with self.http.post(f"{self.url}/v1/keys", json=wanted, headers=self.headers()) as response:
            assert response.status == 201, await response.text()
            key: str = (await response.json())["key"]
            return key

    async def write(self, batch: Any, key: str | None = None, **params: str) -> tuple[int, Any]:
        """POST a batch; gives the status and the body."""
        url = f"{self.url}/v1/readings"
        async with self.http.post(url, json=batch, params=params, headers=self.headers(key)) as response:
            return response.status, await response.json()

    async def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        """Any other request; gives the status and the body."""
        async with self.http.request(method, self.url + path, json=body, headers=self.headers(key)) as response:
            return response.status, await response.json() if response.status != 204 else None

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Look into the database behind the server."""
        connection = await asyncpg.connect(self.database_url)
        try:
            records: list[asyncpg.Record] = await connection.fetch(query, *arguments)
            return records
        finally:
            await connection.close()


StartServer = Callable[..., Awaitable[Server]]


@pytest_asyncio.fixture
async def start_server(services: LocalServices, database: str) -> AsyncIterator[StartServer]:
    """Start servers on this test's database; they stop with the test. Keywords are settings: `receive_s=1`."""
    async with _starting(services, database) as start:
        yield start


@pytest_asyncio.fixture
async def running_server(start_server: StartServer) -> Server:
    """A server with two workers."""
    return await start_server()


@pytest_asyncio.fixture(scope="module")
async def start_shared_server(services: LocalServices, template: str) -> AsyncIterator[StartServer]:
    """As `start_server`, for all tests of a file: to start a worker takes a second of a processor."""
    async with _cloned(services, template) as database, _starting(services, database) as start:
        yield start


@pytest_asyncio.fixture(scope="module")
async def shared_server(start_shared_server: StartServer) -> Server:
    """A server with two workers, for tests of one file that leave each other's devices and rules alone."""
    return await start_shared_server()


@asynccontextmanager
async def _cloned(services: LocalServices, template: str) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    await _execute(services, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield _url(services, name)
    await _execute(services, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@asynccontextmanager
async def _starting(services: LocalServices, database: str) -> AsyncIterator[StartServer]:
    async with AsyncExitStack() as stack:

        async def start(workers: int = 2, **settings: Any) -> Server:
            return await _start(stack, services, database, workers, settings)

        yield start


async def _start(
    stack: AsyncExitStack, services: LocalServices, database: str, workers: int, settings: dict[str, Any]
) -> Server:
    defaults = {
        "database_url": database,
        "redis_url": services.redis_url,
        "redis_prefix": database.rpartition("/")[2],
        "log_level": "warning",
        "farewell_s": 0,  # most tests end with idle connections
    }
    environment = {f"SLUICE_{name.upper()}": str(value) for name, value in (defaults | settings).items()}
    pool = await stack.enter_async_context(asyncpg.create_pool(database, min_size=0))
    ring = KeyRing(pool, time.monotonic, lambda: time.time_ns() // 1_000)
    key = (await ring.create(KeyRequest(name=f"admin {secrets.token_hex(2)}", scopes=[Scope.ADMIN]))).key
    http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
    supervisor = await stack.enter_async_context(Supervisor(HOST, 0, workers, environment))
    server = Server(f"http://{HOST}:{supervisor.port}", database, services.redis_url, key, supervisor, http)
    await until_ready(server)
    return server


async def until_ready(server: Server, patience_s: float = 180.0) -> None:
    """Wait until every worker answers that it is ready."""
    deadline = time.monotonic() + patience_s
    ready: set[str] = set()
    while len(ready) < len(server.supervisor.pids) or not ready:
        assert time.monotonic() < deadline, f"not ready after {patience_s} s"
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{server.url}/readyz", timeout=aiohttp.ClientTimeout(total=2)) as response,
            ):
                if response.status == 200:
                    ready.add(response.headers["X-Worker"])
        except (OSError, TimeoutError, aiohttp.ClientError):
            pass
        await asyncio.sleep(0.01)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let tests of a parallel run take turns; first, so that to wait for one is no part of a test's time limit."""
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI runs, everything a test needs is there: a test that was skipped is a test that failed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("CI: skipped tests fail the run", red=True)
        session.exitstatus = SKIPPED


def _url(services: LocalServices, name: str) -> str:
    return services.database_url.rpartition("/")[0] + "/" + name


async def _execute(services: LocalServices, statement: str) -> None:
    connection = await asyncpg.connect(services.database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def artifacts() -> Path:
    """Where tests leave what a person may want to look at."""
    folder = Path(__file__).parent.parent / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder
