"""Attributes of OTLP as tags: what a KeyValue holds, as text."""

import base64
import json
import struct
from typing import Any

from ingest.formats.mapping import UnmappableError
from ingest.formats.wire import BYTES, FIXED64, VARINT, Wire, signed
from schemas.errors import Malformed, TooLarge

MAX_DEPTH = 8  # of arrays and maps in an attribute
MAX_ATTRIBUTES = 256  # of a resource, a scope or a data point; 32 of them can be labels
MAX_ATTRIBUTES_BYTES = 64 << 10  # all of them together
_FIELDS_TO_ATTRIBUTES = 16  # of the wire: one that is a text has four, one that is a list as many as it is long
SCOPE_NAME, SCOPE_VERSION = "otel.scope.name", "otel.scope.version"
_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _MAP, _BYTES = 1, 2, 3, 4, 5, 6, 7  # fields of an AnyValue
_KINDS = {_STRING: BYTES, _BOOL: VARINT, _INT: VARINT, _DOUBLE: FIXED64, _ARRAY: BYTES, _MAP: BYTES, _BYTES: BYTES}
_NO_ATTRIBUTE = "an attribute is not a KeyValue of OTLP"


def attributes_of(content: bytes, number: int | None = None) -> list[tuple[str, str]]:
    """The attributes in these fields, all of them or those of one number; one without a value is none.

    Raises UnmappableError, also where there are too many, and Malformed where they are no attributes.
    """
    if len(content) > MAX_ATTRIBUTES_BYTES:
        raise _too_many()
    wire = Wire(content, _FIELDS_TO_ATTRIBUTES * MAX_ATTRIBUTES)
    extents = []
    try:
        for field, kind, begin, end in wire.fields(0, len(content)):
            if field == (number or field):
                _expect(kind, BYTES)
                extents.append((begin, end))
        if len(extents) > MAX_ATTRIBUTES:
            raise _too_many()
        pairs = [_pair(wire, *extent) for extent in extents]
    except TooLarge:
        raise _too_many() from None
    return [(name, _shown(value)) for name, value in pairs if value is not None]


def resource_of(content: bytes) -> dict[str, str]:
    """The attributes of a Resource; of one that stands twice, the last. Raises as `attributes_of`."""
    return dict(attributes_of(content, 1))


def scope_of(content: bytes) -> dict[str, str]:
    """The attributes of an InstrumentationScope, its name and its version among them. Raises as `attributes_of`."""
    tags = dict(attributes_of(content, 3))
    wire = Wire(content, len(content))
    for number, kind, begin, end in wire.fields(0, len(content)):
        if number in (1, 2):
            _expect(kind, BYTES)
            tags[SCOPE_NAME if number == 1 else SCOPE_VERSION] = as_text(content[begin:end])
    return {name: value for name, value in tags.items() if value}


def _too_many() -> UnmappableError:
    holders = "a resource, a scope and a data point have"
    limits = f"at most {MAX_ATTRIBUTES} attributes each, lists in them counted, of {MAX_ATTRIBUTES_BYTES >> 10} KiB"
    return UnmappableError("too_many_attributes", f"{holders} {limits}: delete what is not needed before it is sent")


def as_text(content: bytes) -> str:
    """Raises UnmappableError."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UnmappableError("encoding", "a name or an attribute is not UTF-8") from None


def _pair(wire: Wire, start: int, stop: int, depth: int = 0) -> tuple[str, Any]:
    """Name and value of a KeyValue."""
    name, value = b"", None
    for number, kind, begin, end in wire.fields(start, stop):
        if number in (1, 2):
            _expect(kind, BYTES)
        if number == 1:
            name = wire.body[begin:end]
        elif number == 2:
            value = _value(wire, begin, end, depth)
    return as_text(name), value


def _value(wire: Wire, start: int, stop: int, depth: int) -> Any:
    """What an AnyValue holds; None: nothing."""
    if depth > MAX_DEPTH:
        raise UnmappableError("attribute_invalid", f"an attribute is nested deeper than {MAX_DEPTH} levels")
    value: Any = None
    for number, kind, begin, end in wire.fields(start, stop):
        if number in _KINDS:
            _expect(kind, _KINDS[number])
        content = wire.body[begin:end] if kind in (BYTES, FIXED64) else b""
        if number == _STRING:
            value = as_text(content)
        elif number == _BOOL:
            value = begin != 0
        elif number == _INT:
            value = signed(begin)
        elif number == _DOUBLE:
            value = struct.unpack("<d", content)[0]
        elif number == _BYTES:
            value = base64.b64encode(content).decode()
        elif number in (_ARRAY, _MAP):
            extents = list(wire.fields(begin, end))
            for _, inner, _, _ in extents:
                _expect(inner, BYTES)
            if number == _ARRAY:
                value = [_value(wire, each[2], each[3], depth + 1) for each in extents]
            else:
                value = dict(_pair(wire, each[2], each[3], depth + 1) for each in extents)
    return value


def _shown(value: Any) -> str:
    """A value as a label has it: texts as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _expect(kind: int, wanted: int) -> None:
    if kind != wanted:
        raise Malformed(_NO_ATTRIBUTE)
