"""PostgreSQL freezes while hardly anybody sends: a lone sender is answered in time too (F2).

A busy fleet keeps its key known and its series warm. A device that sends now and then meets a worker that has to ask
about the key first, and may never have heard of it: the time for that must not come on top of the batch's own.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from server.local import LocalPostgres, LocalServices
from server.migrations import migrate
from tests.acceptance.posting import batch
from tests.conftest import Server, _start

DEADLINE_S = 5.0
ANSWERED_S = 5.5
"""The promise, whatever has to be asked before the batch's own deadline begins."""
FROZEN_S = 30.0
STALE_S = 6.0
"""After which a worker asks again about a key that it knows."""


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[LocalPostgres]:
    """A PostgreSQL that a test may freeze."""
    async with LocalPostgres(tmp_path / "data") as postgres:
        await migrate(postgres.url)
        yield postgres


async def send(server: Server, key: str, **params: str) -> tuple[int, float]:
    """One batch on a connection of its own, so by any worker; the status, and seconds until it came."""
    began = time.monotonic()
    url, headers = f"{server.url}/v1/readings", server.headers(key)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
        http.post(url, json=batch(1), params=params, headers=headers) as response,
    ):
        await response.read()
        return response.status, time.monotonic() - began


@pytest.mark.alone
@pytest.mark.long  # what the ordinary run has of it: tests/unit/test_recall.py, and F2 under load
@pytest.mark.timeout(300)
async def test_every_answer_comes_in_time(own_postgres: LocalPostgres, services: LocalServices) -> None:
    settings = {"redis_prefix": "lone", "log_level": "critical", "deadline_s": DEADLINE_S}
    async with AsyncExitStack() as stack:
        server = await _start(stack, services, own_postgres.url, 2, settings)
        known, unknown = await server.key("ingest"), [await server.key("ingest") for _ in range(20)]
        while len({(await send(server, known))[0] for _ in range(8)}) > 1:
            pass
        await asyncio.sleep(STALE_S)  # the time in which a key is believed is over, and nobody keeps it fresh
        answers: list[tuple[int, float]] = []
        own_postgres.freeze()
        began, number = time.monotonic(), 0
        try:
            while time.monotonic() - began < FROZEN_S:
                key = unknown[number // 3] if number % 3 == 2 else known
                answers.append(await send(server, key, **({"partial": "true"} if number % 2 else {})))
                number += 1
        finally:
            own_postgres.thaw()
        while (await send(server, known))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    slowest = max(took for _, took in answers)
    told = {"answers": dict(Counter(status for status, _ in answers)), "slowest_s": round(slowest, 2)}
    sys.stdout.write(json.dumps(told) + "\n")
    assert {status for status, _ in answers} <= {503, 504}
    assert slowest <= ANSWERED_S, answers
