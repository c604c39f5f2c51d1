"""An ExportMetricsServiceRequest of OTLP as Protocol Buffers have it, to readings whose names are not mapped yet.

A data point of a gauge or a sum, as all exporters write it, is cut where it lies: its attributes stay the bytes they
are, times and values are taken from all points at once. Any other is read field by field.
"""

from ingest.formats.otlp_kinds import KINDS, read_number
from ingest.formats.otlp_points import Place, Points
from ingest.formats.wire import BYTES, Extent, Wire, of_kind

FIELDS_TO_READINGS = 40  # of the wire: a data point has four, each of its attributes as many, but in common
_GAUGE, _SUM = 5, 7  # fields of a Metric
_POINT, _ATTRIBUTE = 0x0A, 0x3A  # tags: of the points of any of these, of the attributes of a number
_START, _TIME, _DOUBLE, _INTEGER = 0x11, 0x19, 0x21, 0x31  # tags of a NumberDataPoint
_VALUES = (_DOUBLE, _INTEGER)
_NAME, _PROSE, _NUMBERS = 0x0A, (0x12, 0x1A), (0x2A, 0x3A)  # tags of a Metric: description and unit; gauge and sum


def read(body: bytes, most: int) -> Points:
    """The readings of a request, `most` at most. Raises Malformed and TooLarge."""
    return _Reader(body, most).read()


class _Reader:
    """Reads one request."""

    def __init__(self, body: bytes, most: int) -> None:
        self._wire = Wire(body, FIELDS_TO_READINGS * most)
        self._body = body
        self._points = Points(body, most)

    def read(self) -> Points:
        """All of it."""
        _, requests = self._parts_of(0, len(self._body), 0, 1)
        for request in requests:
            resource, parts = self._parts_of(*request, 1, 2)
            for part in parts:
                scope, metrics = self._parts_of(*part, 1, 2)
                sender = self._points.sender(resource, scope)
                for start, stop in metrics:
                    name, kind, messages = self._plain_metric(start, stop) or self._metric(start, stop)
                    self._read_metric(Place(sender, name), kind, messages)
        return self._points

    def _parts_of(self, start: int, stop: int, head: int, part: int) -> tuple[bytes, list[tuple[int, int]]]:
        """What a message says of its parts, as it lies, and where these lie, by the numbers of both."""
        heads: list[bytes] = []
        parts: list[tuple[int, int]] = []
        for number, kind, begin, end in self._wire.fields(start, stop):
            if number == part:
                parts.append((of_kind(kind, BYTES, begin), end))
            elif number == head:
                heads.append(self._body[of_kind(kind, BYTES, begin) : end])
        return b"".join(heads), parts  # of several heads all, as they are one message then

    def _plain_metric(self, start: int, stop: int) -> tuple[bytes, int, list[Extent]] | None:
        """The name of a metric, what it is, and where its points lie: of a small gauge or sum, as all write it."""
        body, name, position = self._body, b"", start
        while position + 2 < stop:
            tag, size, begin = body[position], body[position + 1], position + 2
            if size >= 0x80:
                size += (body[begin] << 7) - 0x80
                begin += 1
            position = begin + size
            if tag == _NAME:
                name = body[begin:position]
            elif tag in _NUMBERS and position == stop and size <= 0x3FFF:
                return name, tag >> 3, [Extent(begin, stop)]
            elif tag not in _PROSE:
                return None
        return None

    def _metric(self, start: int, stop: int) -> tuple[bytes, int, list[Extent]]:
        """The same of any metric."""
        name, kind = b"", 0
        messages: list[Extent] = []
        for number, wired, begin, end in self._wire.fields(start, stop):
            if number == 1:
                name = self._body[of_kind(wired, BYTES, begin) : end]
            elif number in KINDS:
                if number != kind:  # one of these there is: the last
                    kind, messages = number, []
                messages.append(Extent(of_kind(wired, BYTES, begin), end))
        return name, kind, messages

    def _read_metric(self, place: Place, kind: int, messages: list[Extent]) -> None:
        for message in messages:
            if kind in (_GAUGE, _SUM):
                self._numbers(message, place)
            else:
                for point in self._parts_of(*message, 0, 1)[1]:
                    self._points.begin()
                    KINDS[kind](self._points, self._wire, Extent(*point), place)

    def _numbers(self, extent: Extent, place: Place) -> None:
        """The points of a gauge or a sum."""
        body, points, (position, stop) = self._body, self._points, extent
        seen = points.seen(place)
        codes, numbers, places = points.codes, points.numbers, points.places
        number = points.count
        while position + 1 < stop:
            code, size, start = None, body[position + 1], position + 2
            if size >= 0x80 and start < stop:
                size += (body[start] << 7) - 0x80
                start += 1
            end = start + size
            if size > 17 and size <= 0x3FFF and end <= stop and body[position] == _POINT:
                at = start + 9 if body[start] == _START else start
                if end - at > 17 and body[at] == _TIME and body[at + 9] in _VALUES:
                    attributes = body[at + 18 : end]
                    if (code := seen.get(attributes)) is None and _are_attributes(attributes):
                        code = points.add_key(place, attributes, seen)
            if code is None:  # it is another field, or a point that has to be read
                points.count = number
                position = self._strictly(Extent(position, stop), place)
                number = points.count
                continue
            position = end
            codes.append(code)
            numbers.append(number)
            places.append(at)
            number += 1
            if number > points.most:
                break
        else:
            if position < stop:  # half of a field
                self._strictly(Extent(position, stop), place)
        points.count = number
        points.check()

    def _strictly(self, extent: Extent, place: Place) -> int:
        """The first field of a gauge or a sum; returns where it ends."""
        number, kind, begin, end = next(self._wire.fields(*extent))
        if number == 1:
            self._points.begin()
            read_number(self._points, self._wire, Extent(of_kind(kind, BYTES, begin), end), place)
        return end


def _are_attributes(content: bytes) -> bool:
    """Whether these bytes are whole fields, all of them attributes of a number."""
    position, whole = 0, len(content)
    while position + 1 < whole and content[position] == _ATTRIBUTE:
        size, start = content[position + 1], position + 2
        if size >= 0x80 and start < whole:
            size += (content[start] << 7) - 0x80
            start += 1
        if size > 0x3FFF:
            return False
        position = start + size
    return position == whole
