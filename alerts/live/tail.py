"""The newest events as they are sent: whoever comes back soon needs no read. Pure."""

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from alerts.live import protocol
from schemas.events import Event

BLOCK = 256
"""Offsets of one read, which begins at a multiple of this: readers at different places share it."""

MAX_EVENTS = 2_048
MAX_BYTES = 4 << 20
"""Of encoded publications. One block more than either is held before the oldest block goes."""


class Publication(NamedTuple):
    """An event, encoded once for all who get it."""

    offset: int
    device: str
    text: str

    @classmethod
    def of(cls, event: Event) -> "Publication":
        """Encode an event."""
        return cls(event.offset, event.device, protocol.publication(event))


class Tail:
    """Every event after the offset `after`, up to where the node is."""

    def __init__(self, after: int) -> None:
        self.after = after
        self._held: list[Publication] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def remember(self, events: Iterable[Event]) -> None:
        """Take the next events."""
        for event in events:
            publication = Publication.of(event)
            self._held.append(publication)
            self._bytes += len(publication.text)
        while len(self._held) > MAX_EVENTS or self._bytes > MAX_BYTES:
            self._drop()

    def since(self, after: int, limit: int, device: str | None = None) -> list[Publication] | None:
        """At most `limit` events after an offset, of one device or of all; None where some of them are gone."""
        if after < self.after:
            return None
        return select(self._held, after, limit, device)

    def _drop(self) -> None:
        """Forget the oldest block, so that `after`, up to which is read, seldom moves."""
        self.after = min((self.after // BLOCK + 1) * BLOCK, self._held[-1].offset)
        count = bisect_right(self._held, self.after, key=attrgetter("offset"))
        self._bytes -= sum(len(publication.text) for publication in self._held[:count])
        del self._held[:count]


def select(publications: list[Publication], after: int, limit: int, device: str | None = None) -> list[Publication]:
    """At most `limit` of these after an offset, of one device or of all."""
    start = bisect_right(publications, after, key=attrgetter("offset"))
    if device is None:
        return publications[start : start + limit]
    return [publication for publication in publications[start:] if publication.device == device][:limit]
