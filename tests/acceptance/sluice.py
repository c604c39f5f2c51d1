"""`sluice` as a person starts it: a process of its own, of which only what it prints is known."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from server.leash import until

COMMAND = (sys.executable, "-m", "server.cli")
READY_S = 90.0
COMMAND_S = 90.0
READY = re.compile(r"ready\s+(?P<url>http://\S+) \((?P<workers>\d+) workers, PID (?P<pid>\d+)\)")


def environment(**more: str) -> dict[str, str]:
    """This process's environment without any setting of Sluice's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")} | more


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


async def sluice(folder: Path, *words: str, **variables: str) -> Done:
    """Run `sluice …` to its end, in a folder whose `.env` counts, with these variables set."""
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, *words),
        cwd=folder,
        env=environment(**variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), COMMAND_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Done(process.returncode or 0, out.decode(), err.decode())


class Up:
    """`sluice up` while it is entered; leaving it ends whatever is left of it."""

    def __init__(self, data_dir: Path, *options: str, command: Sequence[str] = COMMAND) -> None:
        self.data_dir = data_dir
        self._command = command
        self.lines: list[str] = []
        """What it printed until it was ready."""
        self.url = ""
        self.ready_after_s = 0.0
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._family: list[Process] = []

    async def __aenter__(self) -> Self:
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        # Files, not pipes: its children inherit them, and a pipe is at its end only when the last of those has ended.
        with self.out.open("wb") as out, self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - asyncio's own hears of its end by a pipe as well
                [*self._command, "up", "--data-dir", str(self.data_dir), *self._options],
                cwd=self.data_dir.parent,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )
        try:
            await until(lambda: self._told_all() or self._process_ended(), READY_S)
            self.ready_after_s = time.monotonic() - began
            assert self._told_all(), f"{self.lines}\n{self.log.read_text()[-2_000:]}"
            found = READY.fullmatch(self.line("ready "))
            assert found, self.lines
            assert int(found["pid"]) == self.pid
            self.url = found["url"]
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if not self._process_ended():
            self._family = descendants(self.pid)
            self._process.kill()
            self._process.wait()
            await until(lambda: not any(map(lives, self._family)), 10)
        for process in filter(lives, self._family):  # there is none unless a test has failed
            os.kill(process.pid, signal.SIGKILL)

    def _told_all(self) -> bool:
        """Whether it has printed the line that comes last."""
        text = self.out.read_text()
        self.lines = text.splitlines()
        return text.endswith("\n") and any(line.startswith("curl ") for line in self.lines)

    def _process_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    @property
    def out(self) -> Path:
        """What it prints."""
        return self.data_dir.with_suffix(".out")

    @property
    def log(self) -> Path:
        """What it and its children wrote to stderr."""
        return self.data_dir.with_suffix(".log")

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def key(self) -> str:
        """The admin key."""
        return (self.data_dir / "admin.key").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        """Headers that authenticate."""
        return {"Authorization": f"Bearer {self.key}"}

    def line(self, start: str) -> str:
        """The printed line that starts so."""
        [line] = [line for line in self.lines if line.startswith(start)]
        return line

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, and to it alone."""
        self._family = descendants(self.pid)
        os.kill(self.pid, number)

    async def ended(self, patience_s: float) -> int:
        """Wait for its end; gives the exit code. A failure if that takes longer."""
        assert self._process is not None
        assert await until(self._process_ended, patience_s), f"still runs after {patience_s} s"
        return int(self._process.returncode)


class Process(NamedTuple):
    """A process as it was seen. Its start tells it from a later one that was given the same number."""

    pid: int
    start: str
    command: str


def look(pid: int) -> Process | None:
    """See a process; None where it has ended, also if nobody has reaped it yet."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else Process(pid, rest[18], command)


def lives(process: Process) -> bool:
    """Whether it still runs."""
    seen = look(process.pid)
    return seen is not None and seen.start == process.start


def descendants(pid: int) -> list[Process]:
    """Everything below a process."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    below: list[int] = []
    new = [pid]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        below += new
    return [process for process in map(look, below) if process is not None]


def matching(processes: list[Process], words: str) -> list[Process]:
    """Those whose command line contains these words."""
    return [process for process in processes if words in process.command]


async def eventually(condition: Callable[[], bool], within_s: float, otherwise: Callable[[], object]) -> None:
    """Fail, saying how things stand, unless the condition comes true in time."""
    assert await until(condition, within_s), f"after {within_s} s: {otherwise()}"
