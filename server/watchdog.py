"""The watchdog of a worker: hears its signs of life, and where it was when they ended."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import structlog

log = structlog.get_logger(__name__)

TELL_WHERE = signal.SIGUSR2  # asks a worker for the stacks of its threads (faulthandler)
START_S = 30.0  # for a worker's first sign of life
START_CPU_S = 8.0  # a start takes two or three: one that had less, after all that time, is hardly let run
START_STARVED_S = 150.0  # for such a one: another in its place would be let run no sooner
SILENT_S = 4.0  # without one: the worker is frozen, or its loop blocked
TELL_S = 0.3  # for its stacks; one that is frozen tells nothing
STARVED_S = 8.0  # the same, where it would run but is hardly let: to kill it would only add to the load
STARVED_CPU_S = 1.0  # had since its last sign of life: more, and it is its own doing
LOOK_S = 0.25  # between two looks at the pipe
MAX_STACK_CHARS = 8_000


class Running(NamedTuple):
    """What the kernel says of a process (Linux)."""

    state: str
    """Of its main thread: R where it runs or would run, S where it sleeps, T where it is stopped."""
    cpu_s: float
    """Used so far, by all its threads."""

    @classmethod
    def of(cls, pid: int) -> "Running":
        """Nothing but a state that nobody knows, where the kernel does not say."""
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            return cls("", 0.0)
        return cls(words[0], sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK"))


def is_over(silent_s: float, then: Running, now: Running) -> bool:
    """Whether a worker that gave signs of life, and has been silent since `then`, is to be given up. Pure."""
    starved = now.state == "R" and now.cpu_s - then.cpu_s < STARVED_CPU_S
    return silent_s > (STARVED_S if starved else SILENT_S)


def is_stillborn(silent_s: float, now: Running) -> bool:
    """Whether a worker that has given no sign of life yet is to be given up. Pure."""
    return silent_s > (START_STARVED_S if now.cpu_s < START_CPU_S else START_S)


async def wait_for_silence(descriptor: int, pid: int) -> None:
    """Return when nothing came for too long through a pipe to which a worker, `pid`, writes signs of life."""
    os.set_blocking(descriptor, False)
    last, then = time.monotonic(), None
    while True:
        await asyncio.sleep(LOOK_S)
        if _read(descriptor):
            last, then = time.monotonic(), Running.of(pid)
            continue
        silent_s = time.monotonic() - last
        now = Running.of(pid)
        if is_stillborn(silent_s, now) if then is None else is_over(silent_s, then, now):
            return


async def ask_where(descriptor: int, send: Callable[[signal.Signals], None]) -> str:
    """Where the threads of a silent worker are, the innermost call first; empty where it does not tell."""
    send(TELL_WHERE)
    await asyncio.sleep(TELL_S)
    return _read(descriptor).decode(errors="replace").strip(". \n")[:MAX_STACK_CHARS]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""
