"""Cells: what is told of the readings of one span of time, and how cells are folded into longer ones. Pure.

A sum of floats depends on the order of its terms, so the order is laid down, and whoever computes a bucket, from
readings or from cells kept for later, comes to the same bits: the sum of a minute is that of its readings in order of
time, the sum of an hour that of its minutes, of a day that of its hours; a bucket folds the longest of these that
divides it (its readings, where none does); several series are folded in the order of their ids, each whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from schemas.columns import Bools, Float64s, Int64s

LEVELS_US = (60_000_000, 3_600_000_000, 86_400_000_000)
"""Minute, hour, day."""


@dataclass(frozen=True, slots=True)
class Cells:
    """n cells of one series, or of several that were merged, in order of time; none is empty."""

    start: Int64s
    """(n,) microseconds since the Unix epoch."""
    count: Int64s
    sum: Float64s
    """(n,) infinite where the sum is no float any more."""
    min: Float64s
    max: Float64s
    first: Float64s
    first_us: Int64s
    """(n,) when the first reading was; of two series at one time, that of the smaller id."""
    last: Float64s
    last_us: Int64s
    """(n,) when the last one was; of two series at one time, that of the larger id."""

    def __len__(self) -> int:
        return len(self.start)

    def take(self, places: Int64s | Bools | slice) -> "Cells":
        """The cells at these places."""
        return Cells(*(getattr(self, field.name)[places] for field in fields(Cells)))


def of_readings(ts: Int64s, value: Float64s) -> Cells:
    """Every reading as a cell of its own."""
    return Cells(ts, np.ones(len(ts), np.int64), value, value, value, value, ts, value, ts)


def joined(parts: Iterable[Cells]) -> Cells:
    """One after the other."""
    parts = list(parts) or [of_readings(np.empty(0, np.int64), np.empty(0))]
    return Cells(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Cells)))


def levels(width_us: int) -> list[int]:
    """Through which widths readings are folded into buckets of this one, which is the last of them."""
    return [level for level in LEVELS_US if width_us % level == 0 and level != width_us] + [width_us]


def fold(cells: Cells, width_us: int) -> Cells:
    """Cells in order of time as longer ones, which begin at multiples of their width since the epoch."""
    if not len(cells):
        return cells
    start = cells.start // width_us * width_us
    first = np.flatnonzero(np.diff(start, prepend=start[0] - 1))
    last = np.append(first[1:], len(start)) - 1
    place = np.repeat(np.arange(len(first)), last - first + 1)
    total = np.full(len(first), -0.0)  # to which everything adds up unchanged, -0.0 too
    with np.errstate(over="ignore", invalid="ignore"):
        np.add.at(total, place, cells.sum)  # one after the other, where `reduceat` would add pairs
    return Cells(
        start[first],
        np.add.reduceat(cells.count, first),
        total,
        _least(cells.min, first),
        -_least(-cells.max, first),
        cells.first[first],
        cells.first_us[first],
        cells.last[last],
        cells.last_us[last],
    )


def _least(values: Float64s, first: Int64s) -> Float64s:
    """The least of each group that begins there; -0.0 is less than 0.0, else it would depend on how they are cut."""
    least: Float64s = np.minimum.reduceat(values, first)
    if (zero := least == 0).any():
        negative = np.logical_or.reduceat((values == 0) & np.signbit(values), first)
        least[zero] = np.where(negative[zero], -0.0, 0.0)
    return least


def merge(series: Sequence[Cells]) -> Cells:
    """Cells of one width of several series, given in order of their ids, as those of all of them."""
    if len(series) == 1:
        return series[0]
    every = joined(series)
    if not len(every):
        return every
    order = np.argsort(every.start, kind="stable")  # within a cell, in order of ids
    every = every.take(order)
    begins = np.flatnonzero(np.diff(every.start, prepend=every.start[0] - 1))
    place = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(order)))
    total = np.full(len(begins), -0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        np.add.at(total, place, every.sum)
    turn = np.arange(len(order))
    earliest = np.lexsort((turn, every.first_us, place))[begins]
    latest = np.lexsort((turn, every.last_us, place))[np.append(begins[1:], len(order)) - 1]
    return Cells(
        every.start[begins],
        np.add.reduceat(every.count, begins),
        total,
        _least(every.min, begins),
        -_least(-every.max, begins),
        every.first[earliest],
        every.first_us[earliest],
        every.last[latest],
        every.last_us[latest],
    )
