"""A small disk of a trial's own, that can be filled to the last byte: a tmpfs, where the machine lets us mount one."""

import contextlib
import errno
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Self

BALLAST = "ballast"
STEPS = (64 << 20, 1 << 20, 4 << 10)
"""Bytes taken at a time, ever fewer."""


class Disk:
    """A mounted tmpfs while it is entered."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.folder, self._size_mib = folder, size_mib
        self._mounted = False

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={self._size_mib}m,mode=711", "sluice-trial", str(self.folder))
        self._mounted = True
        return self

    def __exit__(self, *_: object) -> None:
        self.unmount()

    def unmount(self) -> None:
        """Throw it away, with all that is on it; a second time does nothing."""
        if self._mounted:
            self._mounted = False
            _run("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """Leave not one page."""
        ballast = os.open(self.folder / BALLAST, os.O_WRONLY | os.O_CREAT)
        try:
            for step in STEPS:
                with contextlib.suppress(_FullError):
                    while True:
                        _grow(ballast, step)
        finally:
            os.close(ballast)

    def empty(self) -> None:
        """Give the room back."""
        (self.folder / BALLAST).unlink(missing_ok=True)


class _FullError(Exception):
    """No room."""


def _grow(descriptor: int, count: int) -> None:
    try:
        os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, count)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _FullError from error
        raise


@functools.cache
def mounting_fails() -> str:
    """Why no tmpfs can be had here; empty where one can."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with Disk(Path(folder) / "try", 1):
                return ""
        except (OSError, subprocess.CalledProcessError) as error:
            return f"mounting a tmpfs fails: {getattr(error, 'stderr', b'') or error}"


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
