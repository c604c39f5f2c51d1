"""A PgBouncer in transaction mode before the session's PostgreSQL."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tests.proxy import HOST, free_port

BINARY = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
START_S = 10
NOBODY = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None  # it will not run as root


@dataclass
class PgBouncer:
    """One that runs."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, or start it again."""
        assert BINARY is not None
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "--quiet", self.folder / "pgbouncer.ini"], user=NOBODY, stdout=log, stderr=log, cwd="/"
            )

    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text()

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@asynccontextmanager
async def pgbouncer(database_url: str, sessions: int) -> AsyncIterator[PgBouncer]:
    """Start one that lends so many sessions of the database to whoever comes."""
    # Not below the folder of a test, where nobody but its owner may look.
    with tempfile.TemporaryDirectory(prefix="sluice-pgbouncer-") as folder:
        async with _running(Path(folder), database_url, sessions) as running:
            yield running


@asynccontextmanager
async def _running(folder: Path, database_url: str, sessions: int) -> AsyncIterator[PgBouncer]:
    place = urlsplit(database_url)
    name, port = place.path.strip("/"), free_port()
    lines = [
        "[databases]",
        f"{name} = host={place.hostname} port={place.port} dbname={name}",
        "[pgbouncer]",
        f"listen_addr = {HOST}",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = plain",
        f"auth_file = {folder / 'users.txt'}",
        "pool_mode = transaction",
        f"default_pool_size = {sessions}",
        "max_client_conn = 500",
    ]
    files = {"users.txt": f'"{place.username}" "{place.password}"', "pgbouncer.ini": "\n".join(lines)}
    for name, text in files.items():
        (folder / name).write_text(text + "\n")
    if NOBODY is not None:
        for path in (folder, *(folder / name for name in files)):
            os.chown(path, NOBODY, -1)
    running = PgBouncer(urlunsplit(place._replace(netloc=f"{place.username}:{place.password}@{HOST}:{port}")), folder)
    running.start()
    try:
        await _answers(running)
        yield running
    finally:
        running.kill()


async def _answers(running: PgBouncer) -> None:
    deadline = asyncio.get_running_loop().time() + START_S
    while True:
        try:
            connection = await asyncpg.connect(running.url, timeout=1, statement_cache_size=0)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            assert asyncio.get_running_loop().time() < deadline, running.log()
            await asyncio.sleep(0.05)
        else:
            await connection.close()
            return
