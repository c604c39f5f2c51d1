"""Readings as parallel arrays: what every decoder makes and the writer takes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.errors import Fault

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]

LATE_AFTER_US = 300_000_000
"""A reading older than this on arrival is stored and changes no state; a batch of such only is no sign of life."""


HELD_BY_REQUEST = 2_500  # bytes: its connection's state, its reply, the objects around its arrays
HELD_BY_SERIES = 200  # bytes, without the characters of its names
HELD_BY_READING = 24  # bytes: code, series id, time, value


class SeriesKey(NamedTuple):
    """What a series is called: its identity before it has an id."""

    device: str
    metric: str
    labels: str = "{}"
    """By `canonical_labels`."""


def canonical_labels(labels: dict[str, str]) -> str:
    """Labels as the text that equal labels share."""
    return json.dumps(labels, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(slots=True)
class Columns:
    """The valid readings of one request, n of them over k distinct series.

    A decoder has checked everything here: names, finite values, times within bounds.
    """

    series: list[SeriesKey]
    """k distinct series, in order of first appearance."""
    codes: Int32s
    """(n,) for each reading, the place of its series in `series`."""
    ts: Int64s
    """(n,) microseconds since the Unix epoch."""
    value: Float64s
    """(n,) finite."""
    rejected: list[Fault] = field(default_factory=list)
    """Readings that were left out because the sender asked for ``partial``, or because its protocol is so."""
    skipped: int = 0
    """Values that came along and are no readings (text), left out with success."""
    notes: list[str] = field(default_factory=list)
    """Of these, what the sender should hear of, where its protocol can tell."""

    def __len__(self) -> int:
        return len(self.ts)

    def leave_out(self, series: Int64s) -> None:
        """Drop the readings of series, given by their places in `series`; the names stay."""
        kept = ~np.isin(self.codes, series)
        self.codes, self.ts, self.value = self.codes[kept], self.ts[kept], self.value[kept]

    def held_bytes(self) -> int:
        """Memory, in bytes, that a request with these columns holds while it waits: near enough to bound it."""
        names = sum(map(len, chain.from_iterable(self.series)))
        return HELD_BY_REQUEST + HELD_BY_SERIES * len(self.series) + names + HELD_BY_READING * len(self.ts)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a request's readings, after COMMIT: `accepted + duplicates` are all its valid ones."""

    accepted: int
    duplicates: int

    def as_json(self) -> bytes:
        """The body of the answer 200."""
        return b'{"accepted":%d,"duplicates":%d}' % (self.accepted, self.duplicates)


@dataclass(frozen=True, slots=True)
class PartReceipt(Receipt):
    """The same of a request that brought more than valid readings: its sender's protocol may want to tell."""

    skipped: int = 0
    """Values that are no readings."""
    rejected: Sequence[Fault] = ()
    notes: Sequence[str] = ()
    """What of the skipped values the sender should hear of."""

    def as_json(self) -> bytes:
        """The same, with what was skipped, if anything was."""
        more = b',"skipped":%d}' % self.skipped if self.skipped else b"}"
        return b'{"accepted":%d,"duplicates":%d%b' % (self.accepted, self.duplicates, more)


@dataclass(slots=True)
class Rows:
    """Readings of one group as they are stored: no two of the same identity, in order of (series, ts)."""

    series_id: Int32s
    """(n,)"""
    ts: Int64s
    """(n,) microseconds since the Unix epoch."""
    value: Float64s
    """(n,)"""
    arrived: Int64s
    """(n,) microseconds since the Unix epoch at which the server received the reading."""

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, places: Int64s | Bools) -> "Rows":
        """The rows at these places."""
        return Rows(self.series_id[places], self.ts[places], self.value[places], self.arrived[places])
