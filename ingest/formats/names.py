"""What foreign names became: senders send the same ones all day, so each is read once."""

from collections.abc import Callable, Hashable
from itertools import islice
from typing import Generic, TypeVar

import numpy as np

from ingest.formats.mapping import Mapping, UnmappableError
from ingest.formats.terms import Terms
from schemas.columns import Columns, Float64s, Int32s, Int64s, SeriesKey
from schemas.errors import Fault

MAX_REMEMBERED_BYTES = 16 << 20  # of one protocol
MAX_NAME_BYTES = 64 << 10  # of one: whatever can be mapped has less, unless it is filled up
ONE_OF = 8  # is forgotten at once: it takes a look at all of them
_COST = 400  # bytes that a remembered name takes besides its characters

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_Place = tuple[Mapping, str | None]

Read = Callable[[Key, Terms], SeriesKey]
"""Raises where names make no series."""


class Names(Generic[Key]):
    """The series of names as they came, by mapping and by the one device of the sender's key.

    Where there are too many, one of eight makes room, whichever it is: who sends more than fits sends all of it again
    and again, so that to forget what was asked for longest ago would be to forget just what comes next.
    """

    def __init__(self, size: Callable[[Key], int]) -> None:
        """`size` is what names take, in bytes."""
        self._size = size
        self._known: dict[_Place, dict[Key, SeriesKey]] = {}
        self._unmappable: dict[_Place, dict[Key, tuple[str, str]]] = {}
        """Code and message of those that make no series."""
        self.bytes = 0
        """What they take, about."""
        self.forgotten = 0
        """How often one of eight had to make room, since the start."""

    def known(self, terms: Terms) -> dict[Key, SeriesKey]:
        """Those that are known on these terms."""
        return self._of(self._known, terms)

    def learn(self, key: Key, terms: Terms, read: Read[Key]) -> SeriesKey:
        """The series of names that are not in `known`. Raises what `read` raises."""
        unmappable = self._unmappable.get((terms.mapping, terms.own_device))
        if unmappable is not None and (fault := unmappable.get(key)) is not None:
            raise UnmappableError(*fault)
        try:
            series = read(key, terms)
        except UnmappableError as error:
            if self._make_room(key):
                self._of(self._unmappable, terms)[key] = error.code, str(error)
            raise
        if self._make_room(key):
            self.known(terms)[key] = series
        return series

    def _of(self, kind: dict[_Place, dict[Key, Value]], terms: Terms) -> dict[Key, Value]:
        place = terms.mapping, terms.own_device
        found = kind.get(place)
        if found is None:
            self._take(_COST)
            found = kind[place] = {}
        return found

    def _make_room(self, key: Key) -> bool:
        """Whether the names are to be remembered, for which there is room then."""
        size = self._size(key)
        if size <= MAX_NAME_BYTES:
            self._take(_COST + 2 * size)
        return size <= MAX_NAME_BYTES

    def _take(self, cost: int) -> None:
        self.bytes += cost
        if self.bytes > MAX_REMEMBERED_BYTES:
            self.forgotten += 1
            limit = MAX_REMEMBERED_BYTES // ONE_OF * (ONE_OF - 1)
            for step in range(ONE_OF, 0, -1):  # names are not of one size: until it is enough
                if self.bytes > limit:
                    self._thin(self._known, step)
                    self._thin(self._unmappable, step)

    def _thin(self, kind: dict[_Place, dict[Key, Value]], step: int) -> None:
        """Forget one of `step`, another one each time."""
        turn = self.forgotten
        for place, found in list(kind.items()):
            first, turn = -turn % step, turn + len(found)
            for key in list(islice(found, first, None, step)):
                del found[key]
                self.bytes -= _COST + 2 * self._size(key)
            if not found:
                del kind[place]
                self.bytes -= _COST


def with_used(series: list[SeriesKey], codes: Int32s, ts: Int64s, value: Float64s, rejected: list[Fault]) -> Columns:
    """Columns with only those series that a reading is left of: a bad one must not leave a series behind."""
    used, places = np.unique(codes, return_inverse=True)
    return Columns([series[code] for code in used.tolist()], places.astype(np.int32), ts, value, rejected)
