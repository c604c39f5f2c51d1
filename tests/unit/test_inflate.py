"""Inflating: whole, truncated, damaged, followed by garbage, in several members, and never beyond the limit."""

import gzip
import time
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard

from ingest.inflate import gunzip, unzstd
from schemas.errors import Malformed, TooLarge

LIMIT = 1 << 20


def zstd(data: bytes) -> bytes:
    """One frame."""
    return zstandard.ZstdCompressor().compress(data)


Codec = tuple[Callable[[bytes], bytes], Callable[[bytes, int], bytes]]
CODECS = [pytest.param((gzip.compress, gunzip), id="gzip"), pytest.param((zstd, unzstd), id="zstd")]
each_codec = pytest.mark.parametrize("codec", CODECS)


@each_codec
@pytest.mark.parametrize("data", [b"", b"x", b"0123456789" * 5_000, bytes(range(256)) * 64])
def test_round_trip(codec: Codec, data: bytes) -> None:
    pack, inflate = codec
    assert inflate(pack(data), LIMIT) == data


@each_codec
def test_members_one_after_another_are_one_body(codec: Codec) -> None:
    pack, inflate = codec
    assert inflate(pack(b"ab") + pack(b"") + pack(b"cd"), LIMIT) == b"abcd"


@each_codec
def test_the_limit_is_exact_and_shared_by_members(codec: Codec) -> None:
    pack, inflate = codec
    assert len(inflate(pack(bytes(LIMIT)), LIMIT)) == LIMIT
    assert len(inflate(pack(bytes(LIMIT // 2)) * 2, LIMIT)) == LIMIT
    for bomb in (pack(bytes(LIMIT + 1)), pack(bytes(LIMIT // 2 + 1)) * 2):
        with pytest.raises(TooLarge) as refused:
            inflate(bomb, LIMIT)
        assert (refused.value.limit, refused.value.value) == ("body_bytes", LIMIT)


@each_codec
def test_every_truncation_is_refused(codec: Codec) -> None:
    pack, inflate = codec
    whole = pack(b"some readings, and some more of them")
    for length in range(len(whole)):
        with pytest.raises(Malformed):
            inflate(whole[:length], LIMIT)


@each_codec
@pytest.mark.parametrize("garbage", [b"x", b"garbage behind", b"\0"])
def test_garbage_behind_is_refused(codec: Codec, garbage: bytes) -> None:
    pack, inflate = codec
    with pytest.raises(Malformed):
        inflate(pack(b"data") + garbage, LIMIT)


@each_codec
@pytest.mark.parametrize("data", [b"", b"{}", b"plain text", bytes(100)])
def test_what_is_not_compressed_is_refused(codec: Codec, data: bytes) -> None:
    with pytest.raises(Malformed):
        codec[1](data, LIMIT)


def test_a_wrong_checksum_is_refused() -> None:
    whole = bytearray(gzip.compress(b"some readings"))
    whole[-6] ^= 1
    with pytest.raises(Malformed):
        gunzip(bytes(whole), LIMIT)


@each_codec
def test_a_bomb_costs_no_more_than_the_limit(codec: Codec) -> None:
    pack, inflate = codec
    bomb = pack(bytes(256 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(bomb, LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LIMIT * 8


@each_codec
def test_a_body_of_nothing_but_empty_members_does_not_hold_the_loop(codec: Codec) -> None:
    pack, inflate = codec
    empty = pack(b"")
    body = empty * ((8 << 20) // len(empty))
    started = time.process_time()
    with pytest.raises(Malformed):
        inflate(body, 8 << 20)
    assert time.process_time() - started < 1


def test_a_frame_may_not_claim_a_huge_window() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = stream.compress(b"x" * 100) + stream.flush()
    with pytest.raises(Malformed):
        unzstd(frame, LIMIT)
