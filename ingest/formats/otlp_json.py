"""OTLP in JSON, written anew as Protocol Buffers: both then mean the same by being read by the same reader.

The JSON mapping of proto3: names in camelCase or as they are in the schema, integers of 64 bits as texts or numbers,
NaN and the infinities as texts, what is unknown is passed by. Exemplars are only counted, so how their ids are written
is of no matter.
"""

import base64
import binascii
import struct
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

from ingest.formats.wire import field, fixed, integer
from schemas.errors import Malformed, TooLarge

OBJECTS_TO_READINGS, TEXTS_TO_READINGS = 40, 120
"""So many braces and quotes a reading: those of a data point with attributes; parsed, each takes a hundred bytes."""

Write = Callable[[int, Any], bytes]
"""Writes a value as the field of this number. Raises ValueError, TypeError or OverflowError where it is none."""
Message = dict[str, tuple[int, Write]]
"""Fields by their names in JSON."""


def as_protobuf(body: bytes, most: int) -> bytes:
    """The same request in Protocol Buffers. Raises Malformed, and TooLarge where it holds far more than `most`."""
    if body.count(b"{") + body.count(b"[") > OBJECTS_TO_READINGS * most:
        raise TooLarge("json_objects", OBJECTS_TO_READINGS * most)
    if body.count(b'"') > TEXTS_TO_READINGS * most:
        raise TooLarge("json_quotes", TEXTS_TO_READINGS * most)
    try:
        document = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise Malformed("the body is not valid JSON") from None
    try:
        return _content(_REQUEST, document)
    except _NoValueError as error:
        raise Malformed(f"not an ExportMetricsServiceRequest of OTLP: {error}") from None


class _NoValueError(Exception):
    """A value is not of the kind of its field; the message names the field."""


def _content(message: Message, document: Any) -> bytes:
    """The fields of a message, in the order of their numbers. Raises _NoValueError."""
    if not isinstance(document, dict):
        raise _NoValueError("a message is an object")
    fields: list[tuple[int, bytes]] = []
    for name, value in document.items():
        if value is None or (known := message.get(name)) is None:
            continue
        number, write = known
        try:
            fields.append((number, write(number, value)))
        except (ValueError, TypeError, OverflowError, struct.error):
            raise _NoValueError(f"'{name}' has a value that it cannot have") from None
    fields.sort(key=_number_of)
    return b"".join([content for _, content in fields])


def _number_of(written: tuple[int, bytes]) -> int:
    return written[0]


def _message(message: Message) -> Write:
    return lambda number, value: field(number, _content(message, value))


def _many(message: Message) -> Write:
    def write(number: int, value: Any) -> bytes:
        return b"".join([field(number, _content(message, each)) for each in _items(value)])

    return write


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    """An integer as JSON may have it: `5`, `"5"`, `5.0`."""
    if isinstance(value, str):
        if not value.isascii() or value != value.strip() or "_" in value:
            raise ValueError
        value = int(value) if value.lstrip("-").isdigit() else float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise TypeError
    return value


def _double(value: Any) -> bytes:
    if isinstance(value, str) and (value != value.strip() or "_" in value or not value.isascii()):
        raise ValueError
    if isinstance(value, bool):
        raise TypeError
    return struct.pack("<d", float(value))


def _text(number: int, value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    return field(number, value.encode())


def _base64(number: int, value: Any) -> bytes:
    try:
        plain = value.replace("-", "+").replace("_", "/").rstrip("=")
        return field(number, base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True))
    except (binascii.Error, AttributeError):
        raise ValueError from None


def _bool(number: int, value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError
    return integer(number, value)


def _int64(number: int, value: Any) -> bytes:
    found = _integer(value)
    if not -(1 << 63) <= found < 1 << 63:
        raise OverflowError
    return integer(number, found)


def _uint32(number: int, value: Any) -> bytes:
    found = _integer(value)
    if not 0 <= found < 1 << 32:
        raise OverflowError
    return integer(number, found)


def _doubles(number: int, value: Any) -> bytes:
    return field(number, b"".join(map(_double, _items(value))))


def _fixed64(number: int, value: Any) -> bytes:
    return fixed(number, struct.pack("<Q", _integer(value)))


def _fixed64s(number: int, value: Any) -> bytes:
    return field(number, b"".join([struct.pack("<Q", _integer(each)) for each in _items(value)]))


def _sfixed64(number: int, value: Any) -> bytes:
    return fixed(number, struct.pack("<q", _integer(value)))


def _float(number: int, value: Any) -> bytes:
    return fixed(number, _double(value))


def _present(number: int, value: Any) -> bytes:
    """That there is something, without what it is."""
    return field(number, b"") if not isinstance(value, list) else field(number, b"") * len(value)


def _buckets(number: int, value: Any) -> bytes:
    """The buckets of an exponential histogram, of which only is looked at whether there are any."""
    if not isinstance(value, dict):
        raise TypeError
    counts = value.get("bucketCounts", value.get("bucket_counts"))
    return field(number, field(2, b"\1") if counts else b"")


def _named(**fields: tuple[int, Write]) -> Message:
    """Fields by both of their names: `data_points` is `dataPoints` as well."""
    message: Message = {}
    for name, known in fields.items():
        first, *words = name.split("_")
        message[name] = message[first + "".join(map(str.title, words))] = known
    return message


_VALUE: Message = {}
_ATTRIBUTE = _named(key=(1, _text), value=(2, _message(_VALUE)))
_VALUE |= _named(
    string_value=(1, _text),
    bool_value=(2, _bool),
    int_value=(3, _int64),
    double_value=(4, _float),
    array_value=(5, _message(_named(values=(1, _many(_VALUE))))),
    kvlist_value=(6, _message(_named(values=(1, _many(_ATTRIBUTE))))),
    bytes_value=(7, _base64),
)
_TIMES = _named(start_time_unix_nano=(2, _fixed64), time_unix_nano=(3, _fixed64))
_NUMBER = _TIMES | _named(
    as_double=(4, _float),
    exemplars=(5, _present),
    as_int=(6, _sfixed64),
    attributes=(7, _many(_ATTRIBUTE)),
    flags=(8, _uint32),
)
_HISTOGRAM = _TIMES | _named(
    count=(4, _fixed64),
    sum=(5, _float),
    bucket_counts=(6, _fixed64s),
    explicit_bounds=(7, _doubles),
    exemplars=(8, _present),
    attributes=(9, _many(_ATTRIBUTE)),
    flags=(10, _uint32),
    min=(11, _float),
    max=(12, _float),
)
_EXPONENTIAL = _TIMES | _named(
    attributes=(1, _many(_ATTRIBUTE)),
    count=(4, _fixed64),
    sum=(5, _float),
    positive=(8, _buckets),
    negative=(9, _buckets),
    flags=(10, _uint32),
    exemplars=(11, _present),
    min=(12, _float),
    max=(13, _float),
)
_SUMMARY = _TIMES | _named(
    count=(4, _fixed64),
    sum=(5, _float),
    quantile_values=(6, _many(_named(quantile=(1, _float), value=(2, _float)))),
    attributes=(7, _many(_ATTRIBUTE)),
    flags=(8, _uint32),
)


def _points(point: Message) -> Write:
    return _message(_named(data_points=(1, _many(point))))


_METRIC = _named(
    name=(1, _text),
    gauge=(5, _points(_NUMBER)),
    sum=(7, _points(_NUMBER)),
    histogram=(9, _points(_HISTOGRAM)),
    exponential_histogram=(10, _points(_EXPONENTIAL)),
    summary=(11, _points(_SUMMARY)),
)
_SCOPE = _named(name=(1, _text), version=(2, _text), attributes=(3, _many(_ATTRIBUTE)))
_SCOPED = _named(scope=(1, _message(_SCOPE)), metrics=(2, _many(_METRIC)))
_RESOURCE = _named(attributes=(1, _many(_ATTRIBUTE)))
_REQUEST = _named(
    resource_metrics=(1, _many(_named(resource=(1, _message(_RESOURCE)), scope_metrics=(2, _many(_SCOPED)))))
)
