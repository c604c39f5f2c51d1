"""The watchdog of a worker: hears its signs of life, and where it was when they ended."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

TELL_WHERE = signal.SIGUSR2  # asks a worker for the stacks of its threads (faulthandler)
START_S = 30.0  # for a worker's first sign of life
SILENT_S = 4.0  # without one: the worker is frozen, or its loop blocked
TELL_S = 0.3  # for its stacks; one that is frozen tells nothing
LOOK_S = 0.25  # between two looks at the pipe
MAX_STACK_CHARS = 8_000


async def wait_for_silence(descriptor: int) -> None:
    """Return when nothing came through a pipe, to which a worker writes signs of life, for too long."""
    os.set_blocking(descriptor, False)
    heard, last = False, time.monotonic()
    while time.monotonic() - last <= (SILENT_S if heard else START_S):
        await asyncio.sleep(LOOK_S)
        if _read(descriptor):
            heard, last = True, time.monotonic()


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
