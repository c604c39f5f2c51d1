"""Contract §3, 503, 504 and 500: the database away, COMMIT unanswered, a defect of ours."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from server.local import LocalPostgres, LocalServices
from server.migrations import migrate
from tests.acceptance.defective import DEVICE
from tests.acceptance.posting import (
    BOTH_DOORS,
    assert_life_goes_on,
    assert_retryable,
    batch,
    post,
    stored,
)
from tests.conftest import Server, _start
from tests.proxy import COMMIT, Proxy, through

BUSY = 3
"""How many times longer than promised an answer may take beside other tests; `dev.py faults` measures the promise."""


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[LocalPostgres]:
    """A PostgreSQL that a test may stop."""
    async with LocalPostgres(tmp_path / "data") as postgres:
        await migrate(postgres.url)
        yield postgres


async def test_503_while_the_database_is_away(own_postgres: LocalPostgres, services: LocalServices) -> None:
    async with AsyncExitStack() as stack:
        server = await _start(stack, services, own_postgres.url, 2, {"redis_prefix": "away", "log_level": "critical"})
        for _ in range(20):
            await assert_life_goes_on(server)
        before = await stored(server)
        await own_postgres.stop()
        refused = []
        for params in BOTH_DOORS * 5:
            began = time.monotonic()
            sent = batch(3)
            assert_retryable(*await post(server, sent, **params), code="database_away")
            assert time.monotonic() - began < BUSY
            refused.append(sent)
        async with server.http.get(f"{server.url}/healthz") as response:
            assert response.status == 200
        async with server.http.get(f"{server.url}/readyz") as response:
            assert (response.status, (await response.json())["status"]) == (503, "not ready")
        await own_postgres.start()
        returned = time.monotonic()
        while (await post(server, refused[0]))[0] != 200:
            assert time.monotonic() - returned < BUSY, "the first 200 took more than a second, thrice"
            await asyncio.sleep(0.02)
        assert await stored(server) == before + 3, "a refused batch was stored"
        for sent in refused[1:]:
            while True:
                status, answer, _ = await post(server, sent)
                if status == 200:
                    break
                assert time.monotonic() - returned < 2 * BUSY
            assert answer == {"accepted": 3, "duplicates": 0}
        await assert_life_goes_on(server)


@pytest.mark.parametrize("reset", [True, False], ids=["connection reset", "silence"])
async def test_504_where_the_answer_to_commit_is_lost(services: LocalServices, database: str, reset: bool) -> None:
    async with Proxy.to(database) as proxy, AsyncExitStack() as stack:
        url = through(database, proxy, sslmode="disable")
        server = await _start(stack, services, url, 1, {"redis_prefix": f"commit-{reset}", "deadline_s": 2})
        server.database_url = database
        await assert_life_goes_on(server)
        before = await stored(server)
        for params in BOTH_DOORS:
            sent = batch(4)
            proxy.swallow_the_answer_to(COMMIT, reset=reset)
            began = time.monotonic()
            status, problem, headers = await post(server, sent, **params)
            assert (status, problem["code"]) == (504, "commit_unknown"), problem
            assert time.monotonic() - began < 5.5 * BUSY
            assert proxy.triggered.is_set()
            assert "retry-after" not in headers
            status, answer, _ = await post(server, sent, **params)
            assert (status, answer["accepted"], answer["duplicates"]) == (200, 0, 4)
            await assert_life_goes_on(server)
        assert await stored(server) == before + 2 * (4 + 4)


async def test_500_is_a_defect_of_ours_and_the_worker_lives_on(services: LocalServices, database: str) -> None:
    async with AsyncExitStack() as stack:
        sane = await _start(stack, services, database, 1, {"redis_prefix": "defect"})
        with socket.create_server(("127.0.0.1", 0)) as listening:
            environment = os.environ | {
                "SLUICE_DATABASE_URL": database,
                "SLUICE_REDIS_URL": services.redis_url,
                "SLUICE_REDIS_PREFIX": "defect",
            }
            process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond, and its end is waited for by none
                [sys.executable, "-m", "tests.acceptance.defective", str(listening.fileno())],
                pass_fds=[listening.fileno()],
                env=environment,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            port = listening.getsockname()[1]
        defective = Server(f"http://127.0.0.1:{port}", database, "", sane.admin_key, sane.supervisor, sane.http)
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with sane.http.get(f"{defective.url}/readyz") as response:
                        if response.status == 200:
                            break
                await asyncio.sleep(0.05)
        await assert_life_goes_on(defective)
        before = await stored(sane)
        for params in (*BOTH_DOORS, *BOTH_DOORS):
            status, problem, _ = await post(defective, batch(device=DEVICE), **params)
            assert (status, problem["code"]) == (500, "defect")
            assert "ZeroDivision" not in json.dumps(problem)
        assert await stored(sane) == before
        await assert_life_goes_on(defective)
        assert process.poll() is None
