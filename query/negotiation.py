"""What a client takes: which form of an answer, and whether compressed."""

import zlib
from collections.abc import Iterable
from typing import Protocol

import zstandard

GZIP_LEVEL, ZSTD_LEVEL = 1, 1  # 0.3 and 0.1 µs a reading; the next levels cost twice that for a tenth of the size
LEAST_BYTES = 1_024  # smaller answers are not worth it


class Compressor(Protocol):
    """Compresses a stream piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """What comes out so far."""

    def flush(self) -> bytes:
        """The rest."""


def preferred(header: str | None, offered: Iterable[str]) -> str | None:
    """Which of what is offered (the first is ours to prefer) a header like `Accept` wants most; None for none of it."""
    best, best_weight = None, 0.0
    weights = _weights(header or "")
    for name in offered:
        weight = next((weights[key] for key in (name, name.partition("/")[0] + "/*", "*/*", "*") if key in weights), 0)
        if weight > best_weight:
            best, best_weight = name, weight
    return best


def _weights(header: str) -> dict[str, float]:
    weights = {}
    for item in header.split(",")[:32]:
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = min(1.0, max(0.0, float(parameter[2:])))
                except ValueError:
                    weight = 0.0
        weights[name] = weight
    return weights


def coding(accept_encoding: str | None) -> str | None:
    """The name of the compression the client takes; None for none."""
    return preferred(accept_encoding, ("zstd", "gzip")) if accept_encoding else None


def compressor(name: str) -> Compressor:
    """One for a stream."""
    if name == "zstd":
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)


def compressed(name: str, data: bytes) -> bytes:
    """All of it at once."""
    made = compressor(name)
    return made.compress(data) + made.flush()
