"""Inflating a whole compressed body under a limit: a bomb is refused at the limit, not after it."""

import zlib

import zstandard
from cramjam import DecompressionError, snappy

from schemas.errors import Malformed, TooLarge

MAX_MEMBERS = 100  # in one body: a body of a few hundred thousand empty ones would hold the loop for a minute
_SLICE = 64  # bytes of zstd at a time: they hold at most 16 blocks, which inflate to 2 MiB


def gunzip(data: bytes, max_bytes: int) -> bytes:
    """Inflate one or more gzip members (RFC 1952). Raises TooLarge and Malformed."""
    pieces: list[bytes] = []
    left = max_bytes
    while data or not pieces:
        if len(pieces) == MAX_MEMBERS:
            raise Malformed(f"more than {MAX_MEMBERS} gzip members")
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            piece = member.decompress(data, left + 1)
        except zlib.error:
            raise Malformed("garbage behind the gzip data" if pieces else "the body is not valid gzip") from None
        if len(piece) > left:
            raise TooLarge("body_bytes", max_bytes)
        if not member.eof:
            raise Malformed("the gzip data is truncated")
        pieces.append(piece)
        left -= len(piece)
        data = member.unused_data
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def unzstd(data: bytes, max_bytes: int) -> bytes:
    """Inflate one or more zstd frames (RFC 8878). Raises TooLarge and Malformed."""
    # A frame may ask for a window far larger than any body we take: bound the memory that it can claim.
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 23)
    pieces: list[bytes] = []
    left, start, frames = max_bytes, 0, 1
    frame = decompressor.decompressobj()
    try:
        while start < len(data):
            if frame.eof:
                frame = decompressor.decompressobj()
                frames += 1
                if frames > MAX_MEMBERS:
                    raise Malformed(f"more than {MAX_MEMBERS} zstd frames")
            piece = frame.decompress(data[start : start + _SLICE])
            start = min(start + _SLICE, len(data)) - len(frame.unused_data)
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                raise TooLarge("body_bytes", max_bytes)
    except zstandard.ZstdError:
        raise Malformed("the body is not valid zstd") from None
    if not frame.eof:
        raise Malformed("the zstd data is truncated")
    return b"".join(pieces)


def unsnappy(data: bytes, max_bytes: int) -> bytes:
    """Inflate one block of snappy, not framed. Raises TooLarge and Malformed."""
    try:
        if snappy.decompress_raw_len(data) > max_bytes:  # as it says of itself: no more is made of it in any case
            raise TooLarge("body_bytes", max_bytes)
        return bytes(snappy.decompress_raw(data))
    except DecompressionError:
        raise Malformed("the body is not a valid block of snappy (unframed)") from None
