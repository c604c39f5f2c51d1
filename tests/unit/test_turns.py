"""Turns of test processes: one that is alone is alone, and is not passed by for ever."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import turns

PATIENCE_S = 10.0
BRIEFLY_S = 0.2


class Guest(threading.Thread):
    """Somebody who takes a turn; locks of one process are as those of several, each being on a descriptor."""

    def __init__(self, *, alone: bool) -> None:
        super().__init__()
        self.alone, self.inside, self.leave = alone, threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        """Stay until asked to leave."""
        with turns.turn(alone=self.alone):
            self.inside.set()
            self.leave.wait(PATIENCE_S)


@pytest.fixture
def guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Guest]]:
    """Whoever came, gone in the end; on locks of this test's own, since it sits in those of the run itself."""
    for name in ("GATE", "ROOM"):
        monkeypatch.setattr(turns, name, tmp_path / name)
        (tmp_path / name).touch()
    came: list[Guest] = []
    yield came
    for guest in came:
        guest.leave.set()
    for guest in came:
        guest.join(PATIENCE_S)


def test_most_sit_side_by_side(guests: list[Guest]) -> None:
    guests += [Guest(alone=False) for _ in range(3)]
    assert all(guest.inside.wait(PATIENCE_S) for guest in guests)


def test_one_that_wants_to_be_alone_is_and_those_who_come_later_wait_for_it(guests: list[Guest]) -> None:
    guests.append(early := Guest(alone=False))
    assert early.inside.wait(PATIENCE_S)
    guests.append(alone := Guest(alone=True))
    assert not alone.inside.wait(BRIEFLY_S)
    guests.append(late := Guest(alone=False))
    assert not late.inside.wait(BRIEFLY_S), "passed one that waits"
    early.leave.set()
    assert alone.inside.wait(PATIENCE_S)
    assert not late.inside.wait(BRIEFLY_S)
    alone.leave.set()
    assert late.inside.wait(PATIENCE_S)
