"""From readings of OTLP to columns: names mapped to series, times to microseconds, what has a fault left out."""

from collections.abc import Callable

import numpy as np

from ingest.formats.mapping import Common, Mapping, UnmappableError
from ingest.formats.names import Names, with_used
from ingest.formats.otlp_names import as_text, attributes_of, resource_of, scope_of
from ingest.formats.otlp_points import Key, Points, location
from ingest.formats.terms import Terms
from ingest.formats.times import FIRST_MS
from schemas.columns import Bools, Columns, SeriesKey
from schemas.errors import Fault

_ReadTags = Callable[[bytes], dict[str, str]]
"""Reads a resource or a scope. Raises UnmappableError and Malformed."""


class _Senders:
    """The resources and scopes of one request: each is read once, however many series it has."""

    def __init__(self, senders: dict[bytes, tuple[bytes, bytes]]) -> None:
        self._senders = senders
        self._known: dict[tuple[_ReadTags, bytes], Common | tuple[str, str]] = {}
        """By what it is; of those that cannot be mapped code and message, as the exception would hold its frames."""

    def series(self, key: Key, terms: Terms) -> SeriesKey:
        """Raises UnmappableError, and Malformed where the attributes are none."""
        place, mapping = key.place, terms.mapping
        resource, scope = self._senders[place.sender]
        common = self._read(resource_of, resource, mapping) | self._read(scope_of, scope, mapping)
        tags = attributes_of(key.attributes)
        if place.label:
            tags.append((place.label, place.value))
        metric = as_text(place.metric)
        if not metric:
            raise UnmappableError("metric_missing", "a metric needs a name")
        device, labels = mapping.place(tags, terms.own_device, common)
        return SeriesKey(device, mapping.metric(metric, place.part), labels)

    def _read(self, read: _ReadTags, content: bytes, mapping: Mapping) -> Common:
        """What a resource or a scope says. Raises as `series`."""
        if (found := self._known.get((read, content))) is None:
            try:
                found = mapping.common(read(content))
            except UnmappableError as error:
                found = error.code, str(error)
            self._known[read, content] = found
        if isinstance(found, Common):
            return found
        raise UnmappableError(*found)


def _size(key: Key) -> int:
    return len(key.attributes) + sum(map(len, key.place))


NAMES: Names[Key] = Names(_size)


def assemble(points: Points, terms: Terms) -> Columns:
    """Make columns of readings; `rejected` has one fault for each data point that has any. Raises Malformed."""
    series: dict[SeriesKey, int] = {}
    merged = np.zeros(len(points.keys), np.int32)
    unmapped: dict[int, tuple[str, str]] = {}  # code and message: the exceptions would hold the whole request
    known, senders = NAMES.known(terms), _Senders(points.senders)
    for place, key in enumerate(points.keys):
        if (found := known.get(key)) is None:
            try:
                found = NAMES.learn(key, terms, senders.series)
            except UnmappableError as error:
                unmapped[place] = error.code, str(error)
                continue
        merged[place] = series.setdefault(found, len(series))
    codes, (nanos, value) = np.array(points.codes, np.int32), points.columns()
    micros = (nanos // 1_000).astype(np.int64)
    micros[nanos == 0] = terms.arrived_us
    late, early = micros > terms.bounds.newest_us, micros < max(terms.bounds.oldest_us, FIRST_MS * 1_000)
    bad = late | early | ~np.isfinite(value)
    if unmapped:
        bad |= np.isin(codes, list(unmapped))
    if not bad.any():
        columns = Columns(list(series), merged[codes], micros, value, points.faults)
    else:
        rejected = [*points.faults, *_faults(points, unmapped, bad, late, early)]
        rejected.sort(key=lambda fault: fault.loc[-1])
        columns = with_used(list(series), merged[codes][~bad], micros[~bad], value[~bad], rejected)
    columns.skipped = points.skipped
    columns.notes = [f"{count} × {what}" for what, count in points.notes.items()]
    return columns


def _faults(points: Points, unmapped: dict[int, tuple[str, str]], bad: Bools, late: Bools, early: Bools) -> list[Fault]:
    """One fault for each data point that has any reading with one."""
    found: dict[int, Fault] = {}
    for place in np.flatnonzero(bad).tolist():
        number, code = points.numbers[place], points.codes[place]
        if number in found:
            continue
        loc = location(points.keys[code].place.metric, number)
        if (error := unmapped.get(code)) is not None:
            found[number] = Fault(loc, *error)
        elif late[place]:
            message = "further ahead of the server's clock than it allows"
            found[number] = Fault(loc, "ts_in_future", message, retryable=True)
        elif early[place]:
            found[number] = Fault(loc, "ts_too_old", "older than readings are kept")
        else:
            found[number] = Fault(loc, "not_finite", "a value must be finite")
    return list(found.values())
