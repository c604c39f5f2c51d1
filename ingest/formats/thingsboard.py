"""The decoder of ThingsBoard's HTTP device API: telemetry and attributes, as its devices write them.

Numbers and booleans are readings, and so are texts that are numbers, as ThingsBoard takes them; objects within values
are read by their paths. Other texts, lists and nulls are no readings: they are skipped and counted.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ingest.formats.mapping import UnmappableError
from ingest.formats.names import Names, with_used
from ingest.formats.terms import Terms
from ingest.formats.times import read_times
from ingest.formats.tree import parsed_within
from schemas.columns import Columns, SeriesKey
from schemas.errors import Fault, Invalid, Loc, TooLarge
from schemas.names import MAX_NAME_CHARS

ATTRIBUTES = "attributes"
"""What the metrics of attributes begin with: ThingsBoard keeps them apart from telemetry."""

_PARTS_TO_READINGS = 10  # of the JSON
_NUMBER = re.compile(r"-?(?:\d*\.)?\d+", re.ASCII)
_PLAIN = {float, int, bool}
_DAY_TEXT = re.compile(r"\d{1,19}", re.ASCII)
_NONE = ""  # of the values that came without a time


def decode(body: bytes, terms: Terms, *, attributes: bool = False) -> Columns:
    """Read a body. What is wrong with single values is named in `rejected`. Raises Malformed, TooLarge and Invalid."""
    most = terms.bounds.max_readings
    tree = parsed_within(body, _PARTS_TO_READINGS * most)
    items = [tree] if attributes or not isinstance(tree, list) else tree
    if len(items) > most:
        raise TooLarge("readings", most)
    found = _Found(terms, attributes=attributes)
    for place, item in enumerate(items):
        found.take(item, (place,) if items is tree else ())
        if len(found.names) + found.skipped + len(found.faults) > most:
            raise TooLarge("readings", most)
    return found.columns()


class _Found:
    """The values of a request, in order, not yet mapped to series."""

    def __init__(self, terms: Terms, *, attributes: bool) -> None:
        self._terms, self._attributes = terms, attributes
        self._separator = terms.mapping.separator
        self.names: list[str] = []
        self.faults: list[Fault] = []
        self.skipped = 0
        self._values: list[float] = []
        self._times: list[int] = []
        self._counts: list[int] = []
        """Of readings, by time."""
        self._locs: list[Loc] = []
        self._dated: list[bool] = []

    def take(self, item: Any, loc: Loc) -> None:
        """One object: values, or their time and values."""
        if not isinstance(item, dict):
            raise Invalid([Fault(loc, "layout", 'send {"key": value}, {"ts": …, "values": {…}}, or a list of these')])
        ts, before = self._terms.arrived_us // 1_000, len(self.names)
        dated = not self._attributes and "ts" in item and "values" in item
        if dated:
            self.skipped += len(item) - 2
            ts, item = _milliseconds(item["ts"], loc), item["values"]
            if not isinstance(item, dict):
                raise Invalid([Fault((*loc, "values"), "layout", "'values' is an object: keys and their values")])
        prefix = ATTRIBUTES + self._separator if self._attributes else ""
        for name, value in item.items():
            if type(value) in _PLAIN:
                self._add(prefix + name, value, loc)
            else:
                for path, each in _leaves(prefix + name, value, self._separator):
                    self._add(path, each, loc)
        self._times.append(ts)
        self._counts.append(len(self.names) - before)
        self._locs.append(loc)
        self._dated.append(dated)

    def _add(self, name: str, value: Any, loc: Loc) -> None:
        try:
            number = float(value) if type(value) in _PLAIN or _is_number(value) else None
        except OverflowError:
            number = math.inf
        if number is None:
            self.skipped += 1
        elif math.isfinite(number):
            self.names.append(name)
            self._values.append(number)
        else:
            self.faults.append(Fault((*loc, name), "not_finite", "a value must be finite"))

    def columns(self) -> Columns:
        """What they become."""
        series: dict[SeriesKey, int] = {}
        places: dict[str, int] = {}
        known = NAMES.known(self._terms)
        for name in dict.fromkeys(self.names):
            try:
                places[name] = series.setdefault(known.get(name) or NAMES.learn(name, self._terms, _named), len(series))
            except UnmappableError as error:
                places[name] = -1
                self.faults.append(Fault((name,), error.code, str(error)))
        codes = np.fromiter(map(places.__getitem__, self.names), np.int32, len(self.names))
        value = np.array(self._values, np.float64)
        micros, late = self._read_times()
        kept = (codes >= 0) & ~late
        if kept.all() and not self.faults:
            return Columns(list(series), codes, micros, value, skipped=self.skipped)
        columns = with_used(list(series), codes[kept], micros[kept], value[kept], self.faults)
        columns.skipped = self.skipped
        return columns

    def _read_times(self) -> tuple[Any, Any]:
        """The time of each reading (n,), and where that is not to be used."""
        times = read_times(self._times, self._terms.bounds)
        micros = np.where(self._dated, times.micros, self._terms.arrived_us)
        bad = np.zeros(len(micros), np.bool_) if times.bad is None else times.bad & np.array(self._dated, np.bool_)
        self.faults += [times.fault(place, (*self._locs[place], "ts")) for place in np.flatnonzero(bad).tolist()]
        return np.repeat(micros, self._counts), np.repeat(bad, self._counts)


def _leaves(path: str, value: Any, separator: str) -> Iterator[tuple[str, Any]]:
    """What is in a value that may be an object: each with its path."""
    if not isinstance(value, dict):
        yield path, value
        return
    for name, inner in value.items():
        # No longer than it takes to be refused: each leaf has a copy of all that is above it.
        yield from _leaves(f"{path}{separator}{name}"[: MAX_NAME_CHARS + 1], inner, separator)


def _is_number(value: Any) -> bool:
    """Whether a text is a number as ThingsBoard knows them: digits with a point, and no exponent."""
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _milliseconds(ts: Any, loc: Loc) -> int:
    """The time as a number: ThingsBoard takes it as a text as well. Raises Invalid."""
    if isinstance(ts, str) and _DAY_TEXT.fullmatch(ts):
        return int(ts)
    if isinstance(ts, float) and ts.is_integer():
        return int(ts)
    if not isinstance(ts, int) or isinstance(ts, bool):
        raise Invalid([Fault((*loc, "ts"), "ts_type", "'ts' is an integer: milliseconds since the Unix epoch")])
    return ts


def _named(name: str, terms: Terms) -> SeriesKey:
    return terms.mapping.named("", name, {}, terms.own_device)


NAMES: Names[str] = Names(len)
