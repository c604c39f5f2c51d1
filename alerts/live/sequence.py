"""The order of events as one node sees it: what may be delivered now, what waits, and whether something is missing.

Pure: the feed gives it what it hears and what it reads, and delivers what comes out.
"""

from collections.abc import Iterable

from schemas.events import Event

MAX_HELD = 4_096
"""Events held beyond a gap. What does not fit is read from the table instead, so this bounds memory, not delivery."""


class Sequence:
    """One ascending sequence of events, each let through once, however often and in whatever order it is heard of."""

    def __init__(self, position: int, max_held: int = MAX_HELD) -> None:
        self.position = position
        """The offset of the last event let through."""
        self.known = position
        """The highest offset that exists, as far as anybody said."""
        self._held: dict[int, Event] = {}
        self._max_held = max_held

    @property
    def behind(self) -> bool:
        """Whether events are known to exist that were not let through."""
        return self.known > self.position

    @property
    def held(self) -> int:
        """How many events wait for the ones before them."""
        return len(self._held)

    def hear_of(self, offset: int) -> None:
        """Note that events up to this offset exist."""
        self.known = max(self.known, offset)

    def offer(self, events: Iterable[Event]) -> list[Event]:
        """Take events as they come; return those that are next, in order.

        Events at or below the position are doubles and dropped; events beyond a gap wait until it is filled.
        """
        released: list[Event] = []
        for event in events:
            self.hear_of(event.offset)
            if event.offset == self.position + 1:
                self.position = event.offset
                released.append(event)
                released += self._release()
            elif event.offset > self.position and len(self._held) < self._max_held:
                self._held.setdefault(event.offset, event)
        return released

    def fill(self, events: Iterable[Event], up_to: int) -> list[Event]:
        """Take what the table holds above the position, complete up to the offset `up_to`; return what is next.

        The table is the truth: an offset that is not in it will never come, so it is not waited for.
        """
        passed = [event for event in events if event.offset > self.position]
        self.position = max(self.position, up_to, passed[-1].offset if passed else 0)
        self.hear_of(self.position)
        self._held = {offset: event for offset, event in self._held.items() if offset > self.position}
        return passed + self._release()

    def trust_table(self, known: int) -> None:
        """Forget events nobody will ever see, after `fill` up to a head that was read when `known` was what it is now.

        Whatever was known then was committed, so it was in the table; or it was a mistake (a failover lost the end).
        """
        if self.known == known:
            self.known = self.position
            self._held.clear()

    def _release(self) -> list[Event]:
        released: list[Event] = []
        while (event := self._held.pop(self.position + 1, None)) is not None:
            self.position = event.offset
            released.append(event)
        return released
