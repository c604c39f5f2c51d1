"""The wire of Protocol Buffers: the fields of a message, and nothing of what they mean."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from schemas.errors import Malformed, TooLarge

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of fields. Groups (3, 4) are of a time before all protocols here."""

_MAX_VARINT = 10  # bytes
_WIDTHS = {FIXED64: 8, FIXED32: 4}
_NO_MESSAGE = "the body is no message of Protocol Buffers, or is cut short"
_OTHER_KIND = "the body is another message of Protocol Buffers than this route takes"


def varint(body: bytes, start: int) -> tuple[int, int]:
    """An unsigned integer of at most 64 bits, and where it ends. Raises Malformed."""
    found = 0
    for turn, byte in enumerate(body[start : start + _MAX_VARINT]):
        found |= (byte & 0x7F) << (7 * turn)
        if byte < 0x80:
            return found & 0xFFFF_FFFF_FFFF_FFFF, start + turn + 1
    raise Malformed(_NO_MESSAGE)


def signed(number: int) -> int:
    """What a varint means as an int64."""
    return number - (1 << 64) if number >> 63 else number


class Wire:
    """A body whose fields are read, a bounded number of them."""

    def __init__(self, body: bytes, most: int) -> None:
        self.body = body
        self.most = self._left = most

    def fields(self, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
        """The fields of the message at this place: number, kind, begin, end; each begins where the last one ended.

        Of a varint the begin is its value. Raises Malformed, and TooLarge where the body has too many fields.
        """
        body, position = self.body, start
        while position < stop:
            self._left -= 1
            if self._left < 0:
                raise TooLarge("protobuf_fields", self.most)
            tag = body[position]
            if tag < 0x80:  # as nearly always
                position += 1
            else:
                tag, position = varint(body, position)
            kind = tag & 7
            begin, position = self._value(kind, position)
            if position > stop or not 0 < tag >> 3 < 1 << 29:
                raise Malformed(_NO_MESSAGE)
            yield tag >> 3, kind, begin, position

    def _value(self, kind: int, position: int) -> tuple[int, int]:
        if kind == BYTES:
            if (short := self.body[position : position + 1]) < b"\x80" and short:
                return position + 1, position + 1 + short[0]
            size, begin = varint(self.body, position)
            return begin, begin + size
        if kind == VARINT:
            return varint(self.body, position)
        if kind in _WIDTHS:
            return position, position + _WIDTHS[kind]
        raise Malformed(_NO_MESSAGE)


class Extent(NamedTuple):
    """Where a message lies."""

    start: int
    stop: int


class Message:
    """The fields of a message, by number: whatever else there is, is passed by."""

    __slots__ = ("attributes", "body", "found")

    def __init__(self, wire: Wire, extent: Extent, attribute: int) -> None:
        """`attribute` is the number of the attributes, which are kept as they lie. Raises Malformed."""
        self.body = wire.body
        self.found: dict[int, list[tuple[int, int, int]]] = {}
        attributes: list[bytes] = []
        last = extent.start
        for number, kind, begin, end in wire.fields(*extent):
            if number == attribute:
                attributes.append(wire.body[last:end])
                of_kind(kind, BYTES)
            else:
                self.found.setdefault(number, []).append((kind, begin, end))
            last = end
        self.attributes = b"".join(attributes)

    def bits(self, number: int) -> bytes | None:
        """The eight bytes of a field; of several, the last. None: there is none."""
        if (found := self.found.get(number)) is None:
            return None
        kind, begin, _ = found[-1]
        of_kind(kind, FIXED64)
        return self.body[begin : begin + 8]

    def double(self, number: int) -> float | None:
        """A double."""
        bits = self.bits(number)
        return None if bits is None else float(struct.unpack("<d", bits)[0])

    def unsigned(self, number: int) -> int:
        """A fixed64; 0 where there is none."""
        return int.from_bytes(self.bits(number) or b"", "little")

    def varint(self, number: int) -> int:
        """A varint; 0 where there is none."""
        if (found := self.found.get(number)) is None:
            return 0
        kind, value, _ = found[-1]
        of_kind(kind, VARINT)
        return value

    def packed(self, number: int) -> bytes:
        """Numbers of eight bytes each, in one field or in several."""
        pieces = []
        for kind, begin, end in self.found.get(number, ()):
            if kind != FIXED64:
                of_kind(kind, BYTES)
            if (end - begin) % 8:
                raise Malformed(_OTHER_KIND)
            pieces.append(self.body[begin:end])
        return b"".join(pieces)

    def messages(self, number: int) -> list[Extent]:
        """Messages."""
        extents = []
        for kind, begin, end in self.found.get(number, ()):
            of_kind(kind, BYTES)
            extents.append(Extent(begin, end))
        return extents

    def text(self, number: int) -> bytes:
        """A text, or a message that is kept as it lies: of several, all of them, as they are one message then."""
        return b"".join([self.body[begin:end] for begin, end in self.messages(number)])


def of_kind(kind: int, wanted: int, begin: int = 0) -> int:
    """Where a field begins that has to be of this kind. Raises Malformed."""
    if kind != wanted:
        raise Malformed(_OTHER_KIND)
    return begin


def field(number: int, content: bytes) -> bytes:
    """A field that has a length, as it is written."""
    return _written(number << 3 | BYTES) + _written(len(content)) + content


def integer(number: int, value: int) -> bytes:
    """A varint, as it is written; negative ones as int64."""
    return _written(number << 3 | VARINT) + _written(value & 0xFFFF_FFFF_FFFF_FFFF)


def fixed(number: int, content: bytes) -> bytes:
    """A field of 4 or 8 bytes, as it is written."""
    return _written(number << 3 | (FIXED64 if len(content) == 8 else FIXED32)) + content


def _written(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*digits, number))
