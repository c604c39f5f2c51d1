"""No defect: a worker that can be asked what it is doing, for the timeline of a trial in which it hangs."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

WITNESS = "FAULTS_WITNESS"
"""The variable that names the folder for what it says: a file for each process id."""


def install() -> None:
    """Have SIGUSR1 write down where every task is."""
    if "server.worker" in sys.orig_argv:
        signal.signal(signal.SIGUSR1, _testify)


def _testify(number: int, frame: FrameType | None) -> None:
    lines = [f"the loop: {place}" for place in _frames(frame)]
    for task in [task for task in asyncio.all_tasks() if not task.done()]:
        lines += [f"task {task.get_name()}, cancelled {task.cancelling()} times:", *_places(task.get_coro())]
    (Path(os.environ[WITNESS]) / f"{os.getpid()}.witness").write_text("\n".join(lines) + "\n")


def _frames(frame: FrameType | None) -> list[str]:
    places = []
    while frame is not None:
        places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return places


def _places(awaited: Any) -> list[str]:
    """Where a coroutine waits, and what it waits for, down to the last."""
    places = []
    while awaited is not None:
        frame = next(
            (found for name in ("cr_frame", "gi_frame", "ag_frame") if (found := getattr(awaited, name, None))), None
        )
        places += (
            [f"  {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"] if frame else [f"  {awaited!r}"]
        )
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return places


def testimony(folder: Path, pid: int) -> str:
    """What a process has said; it has to have been asked, and given a moment."""
    path = folder / f"{pid}.witness"
    return path.read_text() if path.exists() else "it says nothing, so its loop does not run"


DEFECTS = {"witness": install}
