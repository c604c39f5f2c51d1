"""The wire of Protocol Buffers: the fields of a message, and nothing of what they mean."""

from collections.abc import Iterator

from schemas.errors import Malformed, TooLarge

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of fields. Groups (3, 4) are of a time before all protocols here."""

_MAX_VARINT = 10  # bytes
_WIDTHS = {FIXED64: 8, FIXED32: 4}
_NO_MESSAGE = "the body is no message of Protocol Buffers, or is cut short"


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
