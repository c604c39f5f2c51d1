"""A little of Protocol Buffers, for those who write: fields with a length, numbers, labels of remote write."""


def field(number: int, content: bytes) -> bytes:
    """A field that has a length."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(number: int) -> bytes:
    """A number, seven bits a byte, the lowest first."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def label(name: str, value: str) -> bytes:
    """A label of a series in a WriteRequest of Prometheus."""
    return field(1, field(1, name.encode()) + field(2, value.encode()))
