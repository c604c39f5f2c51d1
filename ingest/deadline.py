"""A deadline that moves all the time, for one timer that hardly ever does."""

import asyncio
from collections.abc import Callable
from math import inf


class Deadline:
    """Calls `act` once `due` has passed.

    Moving `due` later costs an assignment: the timer looks at it when it fires, and waits for the rest. So one timer is
    enough for a connection that carries a thousand requests a second.
    """

    __slots__ = ("_act", "_fires", "_loop", "_timer", "due")

    def __init__(self, loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        self._loop, self._act = loop, act
        self.due = inf
        """Of the loop's clock, seconds. Set it to infinity at will, to anything else by `within`."""
        self._fires = inf
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> None:
        """Have it due in so many seconds."""
        self.due = due = self._loop.time() + seconds
        if due < self._fires:
            self._arm(due)

    def cancel(self) -> None:
        """Never act any more."""
        self.due = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer, self._fires = None, inf
        if self.due == inf:
            return
        if self.due > self._loop.time():
            self._arm(self.due)
        else:
            self.due = inf
            self._act()
