"""What foreign names became: senders send the same ones all day, so each is read once."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np

from ingest.formats.mapping import Mapping
from ingest.formats.terms import Terms
from schemas.columns import Columns, Float64s, Int32s, Int64s, SeriesKey
from schemas.errors import Fault

MAX_REMEMBERED_BYTES = 16 << 20  # of one protocol
_COST = 400  # bytes that a remembered name takes besides its characters

Key = TypeVar("Key", bound=Hashable)

Read = Callable[[Key, Terms], SeriesKey]
"""Raises where names make no series."""


class Names(Generic[Key]):
    """The series of names as they came, by mapping and by the one device of the sender's key."""

    def __init__(self, size: Callable[[Key], int]) -> None:
        """`size` is what names take, in bytes."""
        self._size = size
        self._known: dict[tuple[Mapping, str | None], dict[Key, SeriesKey]] = {}
        self.bytes = 0
        """What they take, about."""
        self.forgotten = 0
        """How often all of them had to make room, since the start."""

    def known(self, terms: Terms) -> dict[Key, SeriesKey]:
        """Those that are known on these terms."""
        place = terms.mapping, terms.own_device
        found = self._known.get(place)
        if found is None:
            self._make_room(0)
            found = self._known[place] = {}
        return found

    def learn(self, key: Key, terms: Terms, read: Read[Key]) -> SeriesKey:
        """The series of names that are not known yet. Raises what `read` raises."""
        series = read(key, terms)
        self._make_room(self._size(key))
        self.known(terms)[key] = series
        return series

    def _make_room(self, size: int) -> None:
        self.bytes += _COST + 2 * size
        if self.bytes > MAX_REMEMBERED_BYTES:
            self._known.clear()
            self.bytes = _COST + 2 * size
            self.forgotten += 1


def with_used(series: list[SeriesKey], codes: Int32s, ts: Int64s, value: Float64s, rejected: list[Fault]) -> Columns:
    """Columns with only those series that a reading is left of: a bad one must not leave a series behind."""
    used, places = np.unique(codes, return_inverse=True)
    return Columns([series[code] for code in used.tolist()], places.astype(np.int32), ts, value, rejected)
