"""One embedded server: a process below this one, with a port, a password and a folder that survive restarts.

What PostgreSQL and Valkey have in common; `server.postgres_local` and `server.valkey_local` say what differs.
"""

import asyncio
import contextlib
import fcntl
import math
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from server import leash
from server.leash import MYSELF, Identity, LocalServiceError
from server.local_memory import Memory

PORT_ATTEMPTS = 5
READY_S = 60.0  # crash recovery of a large write-ahead log is included
ORPHAN_S = 10.0  # for a server of a parent that was killed; it has got its signal already
REAP_S = 5.0  # after SIGKILL


class LocalServer(ABC):
    """A server that may be started, stopped, killed and frozen any number of times, always with the same data."""

    name: ClassVar[str]
    death_signal: ClassVar[signal.Signals]  # sent by the kernel when our thread dies
    stop_steps: ClassVar[Sequence[tuple[signal.Signals, float]]]  # what to send, how many seconds to wait for the end

    def __init__(self, data_dir: Path) -> None:
        """Say where it lives: DATA_DIR/<name>, DATA_DIR/<name>.json (0600) and DATA_DIR/log/<name>.log."""
        self.data_dir = data_dir.absolute()
        self.folder = self.data_dir / self.name
        self.log = self.data_dir / "log" / f"{self.name}.log"
        self.identity: Identity = MYSELF
        self.memory = Memory(self.data_dir / f"{self.name}.json", 0, "", "")
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    @abstractmethod
    def program(self) -> Path:
        """The server's executable."""

    @property
    @abstractmethod
    def url(self) -> str:
        """How a client connects, password included; the same after every restart."""

    @abstractmethod
    async def prepare(self) -> None:
        """Make the folder ready for a start."""

    @abstractmethod
    def command(self) -> tuple[list[str | Path], str]:
        """Return the command line, and what to give on stdin."""

    @abstractmethod
    async def answers(self) -> bool:
        """Try once whether it serves."""

    @property
    def pid(self) -> int | None:
        """The server's process id, None when it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Return when it serves. From a thread that lives as long as the server is to live (see `server.launch`)."""
        if self.pid is not None:
            return
        self._make_folders()
        self._take_lock()
        try:
            self.memory = Memory.recall(self.memory.path)
            self.identity = await leash.choose_identity(self.program, self.data_dir)
            await self._end_orphans()
            await self.prepare()
            await self._start_on_a_port()
        except BaseException:
            await self.stop()
            raise

    async def runs_elsewhere(self) -> bool:
        """Tell whether another process runs it on this folder; `url` then leads there."""
        self.memory = Memory.recall(self.memory.path)
        return bool(self.memory.port and self.leaders()) and await self.answers()

    async def stop(self) -> None:
        """Stop cleanly, in bounded time: asks, insists, kills. Does nothing to what does not run."""
        process = self._process
        try:
            if process is not None:
                self.thaw()
                for number, patience_s in self.stop_steps:
                    leash.signal_all([process.pid] if process.poll() is None else [], number)
                    if await leash.ended(process, patience_s):
                        break
                # Nothing is left after a clean stop; something may be after an unclean one of its main process.
                await leash.until(lambda: not self.processes(), REAP_S)
        finally:
            self.kill()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL to every process of it."""
        if self._process is not None:
            leash.discard(self._process)  # the main one first, so that it starts no others
            self._process = None
            leash.signal_all(self.processes(), signal.SIGKILL)

    def freeze(self) -> None:
        """Stop every process of it from running, connections open: what a client sees of a machine that hangs."""
        leash.signal_all(self.processes(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run on."""
        leash.signal_all(self.processes(), signal.SIGCONT)

    async def gone(self) -> None:
        """Wait until it does not run any more, for whatever reason."""
        await leash.until(lambda: self.pid is None, math.inf)

    def processes(self) -> list[int]:
        """Return the ids of all its processes, our own children or not."""
        return leash.processes_marked(self.memory.mark) if self.memory.mark else []

    def leaders(self) -> list[int]:
        """Return those of its processes that end the others when asked to end."""
        return self.processes()

    async def _end_orphans(self) -> None:
        """End what a killed parent left. We hold the lock, so whatever bears the mark is nobody's."""
        leash.signal_all(self.processes(), signal.SIGCONT)
        leash.signal_all(self.leaders(), self.stop_steps[0][0])
        if not await leash.until(lambda: not self.processes(), ORPHAN_S):
            leash.signal_all(self.processes(), signal.SIGKILL)
            await leash.until(lambda: not self.processes(), REAP_S)

    async def _start_on_a_port(self) -> None:
        """Start on the port of last time, on another one where somebody else has taken that."""
        for _ in range(PORT_ATTEMPTS):
            self.memory.choose_port()
            if await self._comes_up():
                return
            if "Address already in use" not in leash.tail(self.log):
                break
            self.memory.port = 0
        raise LocalServiceError(
            f"{self.name} did not start. The end of {self.log}:\n{leash.tail(self.log)}\n"
            f"Mend what it names and start again; the data in {self.folder} is untouched."
        )

    async def _comes_up(self) -> bool:
        """Start the process; tell whether it came to serve."""
        argv, given = self.command()
        self.log.parent.mkdir(exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))  # one start, one log: a tail shows nothing older
        with self.log.open("wb") as output:
            process = leash.spawn(argv, self.folder, self.identity, self.death_signal, output)
        self._process = process
        assert process.stdin is not None  # noqa: S101 - for mypy: it is always a pipe
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(given.encode())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                while process.poll() is None:
                    if await self.answers():
                        return True
                    await asyncio.sleep(leash.POLL_S)
        return False

    def _make_folders(self) -> None:
        """Make the data folder where it is missing. Root's may be passed through by the user its servers run as."""
        try:
            self.data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            (self.data_dir / "log").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LocalServiceError(
                f"{error}. Choose a folder you may write in by --data-dir or SLUICE_DATA_DIR."
            ) from error

    def _take_lock(self) -> None:
        """Make sure that nobody else runs this server on this folder; the kernel lets go when we die."""
        if self._lock is not None:
            return
        lock = os.open(self.data_dir / f"{self.name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 20, 0).decode().strip()
            os.close(lock)
            raise LocalServiceError(
                f"{self.data_dir} is in use by process {owner}. Stop that one first, or choose another folder "
                "by --data-dir or SLUICE_DATA_DIR."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._lock = lock
