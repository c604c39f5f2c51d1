"""From fields of lines to columns: names mapped to series, times to microseconds, lines with a fault left out."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import compress, count
from typing import Self

import numpy as np

from ingest.formats.influx_line import BadLineError, read_head, read_name
from ingest.formats.mapping import UnmappableError
from ingest.formats.names import Names, with_used
from ingest.formats.terms import Terms
from ingest.formats.times import FIRST_MS
from schemas.columns import Bools, Columns, Float64s, Int32s, Int64s, SeriesKey
from schemas.errors import Fault

# Numerator and denominator: microseconds in a unit of time, by what `precision` says.
PRECISIONS = {
    "ns": (1, 1_000),
    "us": (1, 1),
    "ms": (1_000, 1),
    "s": (1_000_000, 1),
    "m": (60_000_000, 1),
    "h": (3_600_000_000, 1),
    "n": (1, 1_000),
    "u": (1, 1),
    "µs": (1, 1),
    "µ": (1, 1),
}
_FAR_US = 1 << 62

Key = tuple[bytes, bytes]
"""Head and field of a series, as they came."""


@dataclass(slots=True)
class Points:
    """Fields of lines that were read, n of them, not yet mapped to series."""

    keys: list[Key]
    value: Float64s
    time: Int64s
    """In the unit of the request."""
    timed: Bools
    """Whether the line brought a time."""
    line: Int64s
    """Counted from 1."""
    texts: Int64s
    """The line of every field that is text, and so no reading."""

    @classmethod
    def none(cls) -> Self:
        """No points."""
        no_line = np.empty(0, np.int64)
        return cls([], np.empty(0), no_line, np.empty(0, np.bool_), no_line, no_line)

    def without(self, lines: list[tuple[int, int]]) -> "Points":
        """What is not of these lines, each from the first to before the last."""
        if not lines:
            return self
        kept, texts = np.ones(len(self.keys), np.bool_), np.ones(len(self.texts), np.bool_)
        for first, last in lines:
            kept &= (self.line < first) | (self.line >= last)
            texts &= (self.texts < first) | (self.texts >= last)
        return self.only(kept, texts)

    def only(self, kept: Bools, texts: Bools) -> "Points":
        """Those of the places that are marked."""
        keys = list(compress(self.keys, kept.tolist()))
        return Points(keys, self.value[kept], self.time[kept], self.timed[kept], self.line[kept], self.texts[texts])

    @classmethod
    def joined(cls, one: Self, other: Self) -> Self:
        """Both, in the order of their lines."""
        line = np.concatenate([one.line, other.line])
        order = np.argsort(line, kind="stable")
        keys = one.keys + other.keys
        return cls(
            [keys[place] for place in order.tolist()],
            np.concatenate([one.value, other.value])[order],
            np.concatenate([one.time, other.time])[order],
            np.concatenate([one.timed, other.timed])[order],
            line[order],
            np.concatenate([one.texts, other.texts]),
        )


def _series(key: Key, terms: Terms) -> SeriesKey:
    """Raises UnmappableError and BadLineError."""
    measurement, tags = read_head(key[0])
    return terms.mapping.series(measurement, read_name(key[1]), tags, terms.own_device)


NAMES: Names[Key] = Names(lambda key: len(key[0]) + len(key[1]))


def assemble(points: Points, terms: Terms, precision: str) -> Columns:
    """Make columns of points; `rejected` names the lines left out, `skipped` counts the texts of all others."""
    places: defaultdict[Key, int] = defaultdict(count().__next__)
    codes = np.fromiter(map(places.__getitem__, points.keys), np.int32, len(points.keys))
    series: dict[SeriesKey, int] = {}
    merged: list[int] = []
    faults: dict[int, tuple[str, str]] = {}  # code and message: the exceptions would hold all that they were raised in
    known = NAMES.known(terms)
    for key in places:
        found = known.get(key)
        if found is None:
            try:
                found = NAMES.learn(key, terms, _series)
            except (UnmappableError, BadLineError) as error:
                faults[len(merged)] = error.code, str(error)
                merged.append(0)
                continue
        merged.append(series.setdefault(found, len(series)))
    if len(series) < len(places):  # the same tags in another order
        codes = np.array(merged, np.int32)[codes] if not faults else codes
    micros = _micros(points, terms, precision)
    late, early = micros > terms.bounds.newest_us, micros < max(terms.bounds.oldest_us, FIRST_MS * 1_000)
    if not faults and not late.any() and not early.any():
        return Columns(list(series), codes, micros, points.value, skipped=len(points.texts))
    rejected = _faults(points, codes, faults, late, early, precision)
    bad = [fault.loc[1] for fault in rejected]
    kept = ~np.isin(points.line, bad)
    if faults:
        codes = np.array(merged, np.int32)[codes]
    columns = with_used(list(series), codes[kept], micros[kept], points.value[kept], rejected)
    columns.skipped = int(np.isin(points.texts, bad, invert=True).sum())
    return columns


def _micros(points: Points, terms: Terms, precision: str) -> Int64s:
    times, per = PRECISIONS[precision]
    limit = _FAR_US // times
    time = np.clip(points.time, -limit, limit) * times if times > 1 else points.time // per
    return time if points.timed.all() else np.where(points.timed, time, terms.arrived_us)


def _faults(
    points: Points,
    codes: Int32s,
    unmapped: dict[int, tuple[str, str]],
    late: Bools,
    early: Bools,
    precision: str,
) -> list[Fault]:
    """One fault for each line that has any."""
    found: dict[int, Fault] = {}
    bad = late | early | np.isin(codes, list(unmapped))
    for place in np.flatnonzero(bad).tolist():
        line = int(points.line[place])
        if line in found:
            continue
        if (error := unmapped.get(int(codes[place]))) is not None:
            found[line] = Fault(("line", line), *error)
        elif late[place]:
            message = f"further ahead of the server's clock than it allows, read as {precision}"
            found[line] = Fault(("line", line), "ts_in_future", message, retryable=True)
        else:
            found[line] = Fault(("line", line), "ts_too_old", f"older than readings are kept, read as {precision}")
    return list(found.values())
