"""Contract §3, 408, 413, 429 and 503 of limits, each by its setting."""

import asyncio
import gzip
import time

import asyncpg
import pytest
import pytest_asyncio

from tests.acceptance.posting import (
    BOTH_DOORS,
    assert_life_goes_on,
    assert_retryable,
    batch,
    post,
    raw,
    stored,
)
from tests.conftest import Server, StartServer

UNREAD = "Content-Type: application/json\r\nContent-Length: 500\r\n"
"""Of a request whose body does not come: whoever waits for it answers 408, ten seconds later."""
SOON_S = 5
"""Not after those, on whatever machine."""


@pytest_asyncio.fixture(scope="module")
async def impatient(start_shared_server: StartServer) -> Server:
    """A worker that waits half a second for a body, and takes a small one."""
    return await start_shared_server(workers=1, receive_s=0.5, max_body_bytes=20_000)


@pytest.mark.parametrize("kind", ["Content-Length: 500", "Transfer-Encoding: chunked"])
async def test_408_of_a_slow_body(impatient: Server, kind: str) -> None:
    server = impatient
    await assert_life_goes_on(server)
    before = await stored(server)
    beginning = b"5\r\n[    \r\n" if "chunked" in kind else b'{"device":"pump-7",'
    status, problem, took = await raw(server, f"Content-Type: application/json\r\n{kind}\r\n", beginning)
    assert (status, problem["code"]) == (408, "body_too_slow")
    assert 0.4 < took < 9  # not the ten seconds of production
    assert await stored(server) == before
    await assert_life_goes_on(server)


async def test_413_of_an_inflated_body(impatient: Server) -> None:
    status, problem, _ = await post(impatient, gzip.compress(bytes(20_001)), {"Content-Encoding": "gzip"})
    assert (status, problem["limit"], problem["value"]) == (413, "body_bytes", 20_000)
    await assert_life_goes_on(impatient)


@pytest.mark.parametrize("policy", ["requests", "readings"])
async def test_429_of_a_quota_of_this_key(start_server: StartServer, policy: str) -> None:
    server = await start_server(workers=1, **{f"quota_{policy}_per_s": 5})
    greedy, modest = await server.key("ingest"), await server.key("ingest")
    size = 1 if policy == "requests" else 3
    accepted = 0
    for _ in range(50):
        status, answer, headers = await post(server, batch(size), key=greedy)
        if status != 200:
            break
        accepted += size
        await asyncio.sleep(0.002)
    assert (status, answer["code"]) == (429, "quota_exceeded")
    wait = int(headers["retry-after"])
    assert 1 <= wait <= 2
    assert headers["ratelimit-policy"] == f'"{policy}";q=5;w=1'
    assert headers["ratelimit"] == f'"{policy}";r=0;t={wait}'
    assert await stored(server) == accepted, "a refused batch was stored"
    if policy == "readings":  # whose bucket is emptied by one batch, on credit
        await post(server, batch(40))
        status, problem, took = await raw(server, UNREAD, b"[")
        assert (status, problem["code"]) == (429, "quota_exceeded"), "refused by its head"
        assert took < SOON_S
    assert (await post(server, batch(1, "other"), key=modest))[0] == 200, "another key pays for it"
    await asyncio.sleep(wait)
    assert (await post(server, batch(1), key=greedy))[0] == 200


async def test_503_when_too_much_is_waiting(start_server: StartServer) -> None:
    server = await start_server(workers=1, queue_rows=4, flush_rows=2, lanes=1)
    await assert_life_goes_on(server)
    before = await stored(server)
    blocking = await asyncpg.connect(server.database_url)
    try:
        held = blocking.transaction()
        await held.start()
        await blocking.execute("LOCK TABLE readings, runs, newest IN ACCESS EXCLUSIVE MODE")
        taken = []
        for _ in range(3):  # one group in flight, four rows waiting
            taken.append(asyncio.create_task(post(server, batch(2))))
            await asyncio.sleep(0.1)
        for params in BOTH_DOORS:
            began = time.monotonic()
            assert_retryable(*await post(server, batch(2), **params), code="overloaded")
            assert time.monotonic() - began < SOON_S
        status, problem, took = await raw(server, UNREAD, b"[")
        assert (status, problem["code"]) == (503, "overloaded"), "refused by its head"
        assert took < SOON_S
        await held.rollback()
    finally:
        await blocking.close()
    assert [(status, answer) for status, answer, _ in await asyncio.gather(*taken)] == [
        (200, {"accepted": 2, "duplicates": 0})
    ] * 3
    assert await stored(server) == before + 6
    await assert_life_goes_on(server)
