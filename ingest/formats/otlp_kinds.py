"""A data point of OTLP, field by field: what each kind has to be stored."""

import math
import struct
from collections.abc import Callable

import numpy as np

from ingest.formats.otlp_points import Place, Points, bound_texts, number_text
from ingest.formats.wire import Extent, Message, Wire
from schemas.errors import TooLarge

_NO_VALUE = 1  # of the flags: the series has no value at this time
_NOT_FINITE = "parts of histograms and summaries that are not finite"
_BUCKETS = "the buckets of exponential histograms (their count, sum, min and max are stored)"


def read_number(points: Points, wire: Wire, extent: Extent, place: Place) -> None:
    """Of a gauge or a sum the value: of a sum as it is sent, cumulative or delta."""
    point = Message(wire, extent, 7)
    if _is_left_out(points, point, 8, 5):
        return
    given = [(point.found[number][-1][2], number) for number in (4, 6) if number in point.found]
    if not given:
        points.fault(place.metric, "value_missing", "a data point needs a value")
        return
    _, number = max(given)  # of two that exclude each other the last one counts
    value = struct.unpack("<d" if number == 4 else "<q", point.bits(number) or b"")[0]
    points.add(place, point.attributes, point.unsigned(3), float(value))


def _histogram(points: Points, wire: Wire, extent: Extent, place: Place) -> None:
    """Its count, sum, min and max, and of each bucket how many are not above its upper bound."""
    point = Message(wire, extent, 9)
    if _is_left_out(points, point, 10, 8):
        return
    counts, bounds = point.packed(6), point.packed(7)
    if len(counts) > 8 * points.most:
        raise TooLarge("readings", points.most)
    has_buckets = bool(counts and bounds)
    fits = not has_buckets or len(bounds) + 8 == len(counts)  # before bounds that only fill a body become texts
    texts = (bound_texts(bounds) if has_buckets else []) if fits else None
    if texts is None:
        message = "a histogram needs ascending, finite bounds, and one bucket more than bounds"
        points.fault(place.metric, "histogram_invalid", message)
        return
    time = _parts(points, point, place, (4, 5, 11, 12))
    below = np.frombuffer(counts, "<u8").astype(np.float64).cumsum().tolist() if texts else []
    for text, count in zip(texts, below, strict=True):
        points.add(Place(*place[:2], "bucket", "le", text), point.attributes, time, count)


def _exponential(points: Points, wire: Wire, extent: Extent, place: Place) -> None:
    """Its count, sum, min and max. Its buckets change their bounds as it grows: each change would be new series."""
    point = Message(wire, extent, 1)
    if _is_left_out(points, point, 10, 11):
        return
    _parts(points, point, place, (4, 5, 12, 13))
    if any(2 in Message(wire, each, 0).found for number in (8, 9) for each in point.messages(number)):
        points.skip(_BUCKETS)


def _summary(points: Points, wire: Wire, extent: Extent, place: Place) -> None:
    """Its count, sum and quantiles."""
    point = Message(wire, extent, 7)
    if _is_left_out(points, point, 8):
        return
    time = _parts(points, point, place, (4, 5))
    for part in point.messages(6):
        quantile = Message(wire, part, 0)
        text = number_text(quantile.double(1) or 0.0)
        value = quantile.double(2) or 0.0
        _add(points, Place(*place[:2], "", "quantile", text), point.attributes, time, value)


def _is_left_out(points: Points, point: Message, flags: int, exemplars: int = 0) -> bool:
    """Whether there is no value, by the numbers of its fields; exemplars are left out in any case."""
    points.skip(count=len(point.found.get(exemplars, ())))
    if no_value := point.varint(flags) & _NO_VALUE:
        points.skip()
    return bool(no_value)


def _parts(points: Points, point: Message, place: Place, numbers: tuple[int, ...]) -> int:
    """What all have that count: by the numbers of their fields count, sum, min, max. Returns the time."""
    time = point.unsigned(3)
    points.add(Place(*place[:2], "count"), point.attributes, time, float(point.unsigned(numbers[0])))
    for part, number in zip(("sum", "min", "max"), numbers[1:], strict=False):
        if (value := point.double(number)) is not None:
            _add(points, Place(*place[:2], part), point.attributes, time, value)
    return time


def _add(points: Points, place: Place, attributes: bytes, time: int, value: float) -> None:
    """A reading, if it is finite: a quantile of nothing is not, and that is no fault of its sender."""
    if math.isfinite(value):
        points.add(place, attributes, time, value)
    else:
        points.skip(_NOT_FINITE)


KINDS: dict[int, Callable[[Points, Wire, Extent, Place], None]] = {
    5: read_number,
    7: read_number,
    9: _histogram,
    10: _exponential,
    11: _summary,
}
"""By the field of a Metric that it is."""
