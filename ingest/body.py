"""The bounded reader of a request body: 400, 408, 413 and 415 are decided here."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from ingest.inflate import gunzip, unzstd
from ingest.intake import Share
from schemas.errors import BodyTooSlow, TooLarge, UnsupportedMediaType

INFLATERS: dict[str, Callable[[bytes, int], bytes] | None] = {
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


async def read_body(request: Request, limits: BodyLimits, share: Share) -> bytes:
    """Read and inflate a JSON body.

    Raises UnsupportedMediaType, TooLarge and Overloaded (both before reading, where Content-Length says so),
    BodyTooSlow, Malformed.
    """
    _check_json(request)
    encoding = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if encoding not in INFLATERS:
        raise UnsupportedMediaType("Content-Encoding may be gzip, zstd or none")
    length = int(request.headers.get("content-length", 0))
    if length > limits.max_bytes:
        raise TooLarge("body_bytes", limits.max_bytes)
    share.cover(length)
    try:
        async with asyncio.timeout(limits.receive_s):
            body = await _receive(request, limits.max_bytes, share)
    except TimeoutError:
        raise BodyTooSlow(f"the body must arrive within {limits.receive_s:g} s") from None
    return inflated(body, encoding, limits.max_bytes)


def inflated(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body out of its Content-Encoding. Raises TooLarge and Malformed."""
    inflate = INFLATERS[encoding]
    return body if inflate is None else inflate(body, max_bytes)


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


def _check_json(request: Request) -> None:
    types = request.headers.getlist("content-type")
    if types == ["application/json"]:
        return
    kind, _, parameters = (types[0] if len(types) == 1 else "").lower().partition(";")
    if kind.strip() != "application/json" or parameters.replace(" ", "").replace('"', "") not in {"", "charset=utf-8"}:
        raise UnsupportedMediaType("send 'Content-Type: application/json', in UTF-8")
