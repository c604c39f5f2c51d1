"""Batches as clients POST them, and what every answer has to be.

A plain request whose key and series are known takes the express door, all others the app. So a refusal is provoked at
both, on a connection's first request and again when everything about it is known.
"""

import asyncio
import itertools
import json
import time
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import Server

MAX_PROBLEM_BYTES = 4_096
Headers = dict[str, str]
BOTH_DOORS: tuple[dict[str, Any], ...] = ({}, {"partial": "true"})
"""Parameters of a request that takes the express door, where it can, and of one that never does."""

_times = itertools.count(time.time_ns() // 1_000_000 - 3_600_000)  # milliseconds, none of them twice


def now_ms() -> int:
    """Now, as devices send it."""
    return time.time_ns() // 1_000_000


def batch(count: int = 1, device: str = "pump-7", **more: Any) -> dict[str, Any]:
    """A good batch, of times that were never sent before."""
    readings = [{"ts": next(_times), "metric": "temperature", "value": place + 0.5} for place in range(count)]
    return {"device": device, "readings": readings} | more


async def post(
    server: Server, body: bytes | dict[str, Any], headers: Headers | None = None, key: str | None = None, **params: Any
) -> tuple[int, dict[str, Any], Headers]:
    """POST raw bytes, or a document; gives status, body and headers. A problem is checked for what all have."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | server.headers(key) | (headers or {})
    async with server.http.post(f"{server.url}/v1/readings", data=data, params=params, headers=sent) as response:
        raw = await response.read()
        answer: dict[str, Any] = json.loads(raw)
        if response.status != 200:
            assert response.content_type == "application/problem+json"
            assert len(raw) <= MAX_PROBLEM_BYTES
            assert answer["status"] == response.status
            assert {"type", "title", "code"} <= set(answer)
        return response.status, answer, {name.lower(): value for name, value in response.headers.items()}


async def stored(server: Server) -> int:
    """Readings in the table."""
    return int(
        (
            await server.fetch(
                "SELECT (SELECT count(*) FROM readings) + (SELECT coalesce(sum(cardinality(values)), 0) FROM runs)"
            )
        )[0][0]
    )


async def assert_life_goes_on(server: Server, key: str | None = None) -> None:
    """The next good request succeeds, through both doors."""
    for params in BOTH_DOORS:
        status, answer, _ = await post(server, batch(2), key=key, **params)
        assert (status, answer["accepted"], answer["duplicates"]) == (200, 2, 0), answer


async def raw(server: Server, head: str, body: bytes, patience_s: float = 30) -> tuple[int, dict[str, Any], float]:
    """Send a head and some of a body, and then nothing; gives status, problem, and the seconds it took."""
    parts = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        began = time.monotonic()
        lines = f"POST /v1/readings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.admin_key}\r\n{head}\r\n"
        writer.write(lines.encode() + body)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience_s)
        took = time.monotonic() - began
        fields = dict(line.split(": ", 1) for line in answer.decode().lower().split("\r\n")[1:] if line)
        assert fields["content-type"] == "application/problem+json"
        document = json.loads(await reader.readexactly(int(fields["content-length"])))
        return int(answer.split()[1]), document, took
    finally:
        writer.close()


def assert_retryable(status: int, answer: dict[str, Any], headers: Headers, code: str) -> None:
    """A 503 says why, and in whole seconds when to come back."""
    assert (status, answer["code"]) == (503, code), answer
    assert int(headers["retry-after"]) >= 1
