"""Turns of parallel test processes: most tests run side by side, one that is marked `alone` while no other does.

What measures times would measure its neighbours, too. The locks are on files of this folder, so they also hold between
processes that were started separately.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM = Path(__file__)
GATE = Path(__file__).with_name("conftest.py")


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Wait for a place in the room, by oneself or among others, and hold it.

    Whoever waits to be alone keeps the gate shut: else the others would come and go before its eyes for ever, since the
    kernel grants a shared lock whenever it can.
    """
    with GATE.open("rb") as gate, ROOM.open("rb") as room:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
