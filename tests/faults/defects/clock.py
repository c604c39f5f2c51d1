"""A worker whose wall clock a trial can step; the monotonic one goes on as it is, which is what a step is."""

import mmap
import os
import struct
import time
from pathlib import Path

CLOCK_FILE = "FAULTS_CLOCK"
"""The variable that names the file: eight bytes, a little-endian float64, seconds to add."""
OFFSET = struct.Struct("<d")


def install() -> None:
    """Put a clock in the place of `time.time` and `time.time_ns`."""
    with Path(os.environ[CLOCK_FILE]).open("rb") as file:
        shared = mmap.mmap(file.fileno(), OFFSET.size, access=mmap.ACCESS_READ)
    now, now_ns = time.time, time.time_ns

    def stepped() -> float:
        return now() + float(OFFSET.unpack_from(shared)[0])

    def stepped_ns() -> int:
        return now_ns() + int(OFFSET.unpack_from(shared)[0] * 1e9)

    time.time, time.time_ns = stepped, stepped_ns


def step(path: Path, seconds: float) -> None:
    """Set the clock of all who look at this file."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(OFFSET.pack(seconds))


DEFECTS = {"clock": install}
