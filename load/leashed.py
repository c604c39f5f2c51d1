"""`python -m load.leashed MODULE …`: runs a module as a command that ends with whoever started it."""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Linux, `man 2 prctl`."""


def die_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent dies, even by kill -9 (Linux only)."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may have died between the two lines above; then no signal comes any more.
    if os.getppid() != parent:
        raise SystemExit(0)


if __name__ == "__main__":
    die_with_parent()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
