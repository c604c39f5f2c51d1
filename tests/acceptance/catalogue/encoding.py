"""Encoding: types, charsets, compression, and how long a body may be."""

import gzip
import json
import zlib

import zstandard

from tests.acceptance.catalogue.case import DOORS, JSON, Case, batch, head, posted

JSON_LINE = JSON.removesuffix(b"\r\n")
GZIP, ZSTD = b"Content-Encoding: gzip", b"Content-Encoding: zstd"
MAX_BODY_BYTES = 8 << 20
PLAIN = json.dumps(batch()).encode()
PACKED = gzip.compress(PLAIN)


def typed(name: str, *lines: bytes) -> Case:
    """A good body under a type that is not taken."""
    return posted(name, 415, "unsupported_media_type", batch(), *(lines or (b"X-None: 1",)))


def packed(name: str, status: int, code: str, body: bytes, encoding: bytes = GZIP, *, stored: int = 0) -> Case:
    """A body in an encoding."""
    return posted(name, status, code, body, JSON_LINE, encoding, stored=stored)


def chunked(name: str, size: int) -> Case:
    """A body of spaces, in chunks of 64 KiB, which has no length beforehand."""
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    body = chunk * (size // 65_536 + 1) + b"0\r\n\r\n"
    lines = JSON_LINE, b"Transfer-Encoding: chunked"
    return Case(name, 413, "too_large", tuple(head(*lines, target=b"POST " + door) + body for door in DOORS))


def oversize(name: str, length: int) -> Case:
    """A length that says too much; not a byte of the body follows."""
    lines = JSON_LINE, b"Content-Length: %d" % length
    return Case(name, 413, "too_large", tuple(head(*lines, target=b"POST " + door) for door in DOORS))


def bad_crc() -> bytes:
    """A gzip member whose checksum is not that of its data."""
    return PACKED[:-8] + bytes(byte ^ 0xFF for byte in PACKED[-8:-4]) + PACKED[-4:]


ENCODING = [
    typed("no type"),
    typed("an empty type", b"Content-Type: "),
    typed("text/plain", b"Content-Type: text/plain"),
    typed("a form", b"Content-Type: application/x-www-form-urlencoded"),
    typed("another kind of JSON", b"Content-Type: application/json-patch+json"),
    typed("two types", JSON_LINE, b"Content-Type: text/plain"),
    typed("charset=utf-16", b"Content-Type: application/json; charset=utf-16"),
    packed("br", 415, "unsupported_media_type", PLAIN, b"Content-Encoding: br"),
    packed("deflate", 415, "unsupported_media_type", zlib.compress(PLAIN), b"Content-Encoding: deflate"),
    packed("gzip, gzip", 415, "unsupported_media_type", gzip.compress(PACKED), b"Content-Encoding: gzip, gzip"),
    posted("gzip in two headers", 415, "unsupported_media_type", gzip.compress(PACKED), JSON_LINE, GZIP, GZIP),
    packed("a gzip bomb", 413, "too_large", gzip.compress(bytes(256 << 20), 1)),
    packed("a zstd bomb", 413, "too_large", zstandard.ZstdCompressor().compress(bytes(256 << 20)), ZSTD),
    packed("gzip that inflates to one byte too many", 413, "too_large", gzip.compress(bytes(MAX_BODY_BYTES + 1))),
    packed("members that share one limit", 413, "too_large", gzip.compress(b" " * (MAX_BODY_BYTES // 2 + 1)) * 2),
    packed("two members", 200, "", gzip.compress(PLAIN[:20]) + gzip.compress(PLAIN[20:]), stored=1),
    packed("truncated gzip", 400, "malformed", PACKED[:-9]),
    packed("gzip without its trailer", 400, "malformed", PACKED[:-8]),
    packed("gzip, of which only the head is there", 400, "malformed", PACKED[:10]),
    packed("bad CRC", 400, "malformed", bad_crc()),
    packed("bad size in gzip", 400, "malformed", PACKED[:-4] + b"\0\0\0\0"),
    packed("garbage behind gzip", 400, "malformed", PACKED + b"s3cretValue"),
    packed("plain text labelled gzip", 400, "malformed", PLAIN),
    packed("plain text labelled zstd", 400, "malformed", PLAIN, ZSTD),
    packed("truncated zstd", 400, "malformed", zstandard.ZstdCompressor().compress(PLAIN)[:-3], ZSTD),
    packed("gzip of nothing", 400, "malformed", gzip.compress(b"")),
    packed("nothing labelled gzip", 400, "malformed", b""),
    oversize("one byte too long, unread", MAX_BODY_BYTES + 1),
    oversize("a terabyte, unread", 1 << 40),
    chunked("too long in chunks", MAX_BODY_BYTES),
    posted("an empty body", 400, "malformed", b""),
]
