"""The bounded reader of a request body: 400, 408, 413 and 415 are decided here."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request

from ingest.inflate import gunzip, unzstd
from ingest.intake import Share
from schemas.errors import BodyTooSlow, TooLarge, UnsupportedMediaType

Inflaters = Mapping[str, Callable[[bytes, int], bytes] | None]
"""By Content-Encoding; None: nothing is to be done."""

INFLATERS: Inflaters = {
    "": None,
    "identity": None,
    "gzip": gunzip,
    "zstd": unzstd,
}


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What one body may be."""

    max_bytes: int = 8 << 20
    """After inflating; what comes over the wire may not be more either."""
    receive_s: float = 10.0
    """From the end of the headers to the end of the body."""


async def read_body(request: Request, limits: BodyLimits, share: Share, inflaters: Inflaters = INFLATERS) -> bytes:
    """Read and inflate a body.

    Raises UnsupportedMediaType, TooLarge and Overloaded (both before reading, where Content-Length says so),
    BodyTooSlow, Malformed.
    """
    encoding = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if encoding not in inflaters:
        raise UnsupportedMediaType(f"Content-Encoding may be {_named(inflaters)}")
    length = int(request.headers.get("content-length", 0))
    if length > limits.max_bytes:
        raise TooLarge("body_bytes", limits.max_bytes)
    share.cover(length)
    try:
        async with asyncio.timeout(limits.receive_s):
            body = await _receive(request, limits.max_bytes, share)
    except TimeoutError:
        raise BodyTooSlow(f"the body must arrive within {limits.receive_s:g} s") from None
    return inflated(body, encoding, limits.max_bytes, inflaters)


def inflated(body: bytes, encoding: str, max_bytes: int, inflaters: Inflaters = INFLATERS) -> bytes:
    """The body out of its Content-Encoding. Raises TooLarge and Malformed."""
    inflate = inflaters[encoding]
    return body if inflate is None else inflate(body, max_bytes)


def _named(inflaters: Inflaters) -> str:
    """What a sender may choose from: ``gzip, zstd or none``."""
    names = [name for name, inflate in inflaters.items() if name and inflate is not None]
    return ", ".join(names) + " or none" if inflaters.get("", len) is None else " or ".join(names)


async def _receive(request: Request, max_bytes: int, share: Share) -> bytes:
    chunks: list[bytes] = []
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise TooLarge("body_bytes", max_bytes)
        share.cover(received)
        chunks.append(chunk)
    return b"".join(chunks)


def check_json(request: Request) -> None:
    """Raise UnsupportedMediaType where the body is not said to be JSON."""
    types = request.headers.getlist("content-type")
    if types == ["application/json"]:
        return
    kind, _, parameters = (types[0] if len(types) == 1 else "").lower().partition(";")
    if kind.strip() != "application/json" or parameters.replace(" ", "").replace('"', "") not in {"", "charset=utf-8"}:
        raise UnsupportedMediaType("send 'Content-Type: application/json', in UTF-8")
