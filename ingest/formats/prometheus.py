"""The decoder of Prometheus remote write 1.0: a WriteRequest, out of its compression, to columns.

Prometheus sends each sample as a TimeSeries of its own, labels and all: that is for the quick reader
(`prometheus_quick.py`). The strict one takes whatever the wire allows.
"""

import struct
from collections import defaultdict
from contextlib import suppress
from itertools import count

import numpy as np

from ingest.formats.mapping import UnmappableError
from ingest.formats.names import Names, with_used
from ingest.formats.prometheus_quick import Samples, read_quick
from ingest.formats.terms import Terms
from ingest.formats.times import FIRST_MS
from ingest.formats.wire import BYTES, FIXED64, VARINT, Wire, signed
from schemas.columns import Bools, Columns, Int32s, SeriesKey
from schemas.errors import Fault, Malformed, TooLarge

FIELDS_TO_READINGS = 40  # of the wire: a sample has three, each of its labels three more, but in common
_METRIC = "__name__"
_FAR_MS = 1 << 52  # where times too large are put: outside any bound
_NOT_THIS = "the body is not a WriteRequest of Prometheus remote write 1.0 (prometheus.WriteRequest)"


def decode(body: bytes, terms: Terms) -> Columns:
    """Read a request. Samples with a fault are left out, each named in `rejected`; values that are not finite, as stale
    markers are not, are skipped, with histograms and exemplars. Raises Malformed and TooLarge."""
    most = terms.bounds.max_readings
    samples = read_quick(body, NAMES.known(terms))
    if samples is None or len(samples.heads) > most:
        samples = read_strictly(body, most)
    return _assembled(samples, terms)


def read_strictly(body: bytes, most: int) -> Samples:
    """The samples of any request. Raises Malformed and TooLarge."""
    wire = Wire(body, FIELDS_TO_READINGS * most)
    heads: list[bytes] = []
    found: list[tuple[float, int, int]] = []
    skipped = number_of = 0
    for number, kind, begin, end in wire.fields(0, len(body)):
        if number != 1:  # metadata
            continue
        head, samples, others = _series(wire, _message(kind, begin), end)
        if not samples:  # of others the labels are read when they are named
            with suppress(UnmappableError):
                _labels(head)
        skipped += others
        heads += [head] * len(samples)
        found += [(value, time, number_of) for value, time in samples]
        number_of += 1
        if len(heads) + skipped > most:
            raise TooLarge("readings", most)
    value, time, place = zip(*found, strict=True) if found else ((), (), ())
    return Samples(heads, np.array(value, np.float64), np.array(time, np.int64), np.array(place, np.int64), skipped)


def _series(wire: Wire, start: int, stop: int) -> tuple[bytes, list[tuple[float, int]], int]:
    """A TimeSeries: its labels as they came, its samples, and how much else it has."""
    labels: list[bytes] = []
    samples: list[tuple[float, int]] = []
    others, last = 0, start
    for number, kind, begin, end in wire.fields(start, stop):
        if number == 1:
            _message(kind, begin)
            labels.append(wire.body[last:end])
        elif number == 2:
            samples.append(_sample(wire, _message(kind, begin), end))
        else:
            others += 1
        last = end
    return b"".join(labels), samples, others


def _sample(wire: Wire, start: int, stop: int) -> tuple[float, int]:
    value, time = 0.0, 0
    for number, kind, begin, _ in wire.fields(start, stop):
        if number == 1 and kind == FIXED64:
            value = struct.unpack_from("<d", wire.body, begin)[0]
        elif number == 2 and kind == VARINT:
            time = max(-_FAR_MS, min(signed(begin), _FAR_MS))
        elif number < 3:
            raise Malformed(_NOT_THIS)
    return value, time


def _message(kind: int, begin: int) -> int:
    """Where a field begins that has to be a message or a text."""
    if kind != BYTES:
        raise Malformed(_NOT_THIS)
    return begin


def _labels(head: bytes) -> list[tuple[str, str]]:
    """Labels as they came. Raises Malformed where they are none, and UnmappableError."""
    wire = Wire(head, len(head))
    found: list[tuple[bytes, bytes]] = []
    for _, _, start, stop in wire.fields(0, len(head)):
        texts = {1: b"", 2: b""}
        for number, kind, begin, end in wire.fields(start, stop):
            if number in texts:
                texts[number] = head[_message(kind, begin) : end]
        found.append((texts[1], texts[2]))
    try:
        return [(name.decode(), value.decode()) for name, value in found]
    except UnicodeDecodeError:
        raise UnmappableError("encoding", "a label is not UTF-8") from None


def _named(head: bytes, terms: Terms) -> SeriesKey:
    """The series of these labels, of which one without a value is none. Raises UnmappableError and Malformed."""
    labels = [(name, value) for name, value in _labels(head) if value]
    metrics = [value for name, value in labels if name == _METRIC]
    if len(metrics) != 1:
        raise UnmappableError("metric_missing", "there is not one label __name__, which names the metric")
    tags = [label for label in labels if label[0] != _METRIC]
    return terms.mapping.series(metrics[0], "", tags, terms.own_device)


NAMES: Names[bytes] = Names(len)


def _assembled(samples: Samples, terms: Terms) -> Columns:
    places: defaultdict[bytes, int] = defaultdict(count().__next__)
    codes = np.fromiter(map(places.__getitem__, samples.heads), np.int32, len(samples.heads))
    series: dict[SeriesKey, int] = {}
    merged = np.zeros(len(places), np.int32)
    unmapped: dict[int, UnmappableError] = {}
    known = NAMES.known(terms)
    for head, place in places.items():
        if (found := known.get(head)) is None:
            try:
                found = NAMES.learn(head, terms, _named)
            except UnmappableError as error:
                unmapped[place] = error
                continue
        merged[place] = series.setdefault(found, len(series))
    micros, value = samples.time * 1_000, samples.value
    finite = np.isfinite(value)
    late, early = micros > terms.bounds.newest_us, micros < max(terms.bounds.oldest_us, FIRST_MS * 1_000)
    if not unmapped and finite.all() and not late.any() and not early.any():
        return Columns(list(series), merged[codes], micros, value, skipped=samples.skipped)
    bad = (late | early | np.isin(codes, list(unmapped))) & finite
    rejected = _faults(samples, codes, unmapped, bad, late)
    kept = finite & ~bad
    columns = with_used(list(series), merged[codes[kept]], micros[kept], value[kept], rejected)
    columns.skipped = samples.skipped + int((~finite).sum())
    return columns


def _faults(
    samples: Samples, codes: Int32s, unmapped: dict[int, UnmappableError], bad: Bools, late: Bools
) -> list[Fault]:
    """One fault for each sample that has any, by the place of its TimeSeries."""
    found: list[Fault] = []
    for sample in np.flatnonzero(bad).tolist():
        loc = ("timeseries", int(samples.place[sample]))
        if (error := unmapped.get(int(codes[sample]))) is not None:
            found.append(Fault(loc, error.code, str(error)))
        elif late[sample]:
            message = "further ahead of the server's clock than it allows"
            found.append(Fault(loc, "ts_in_future", message, retryable=True))
        else:
            found.append(Fault(loc, "ts_too_old", "older than readings are kept"))
    return found
