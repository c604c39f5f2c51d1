"""Quotas over workers, the cap on series, devices deleted while they send: on real servers with two workers."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from server.local import LocalValkey
from tests.conftest import Server, StartServer

DOORS: list[dict[str, str]] = [{}, {"on_conflict": "keep"}]
"""By parameters: the express door, and the long way."""


def batch(device: str, *metrics: str, count: int = 1) -> dict[str, Any]:
    """A batch of new readings."""
    now = time.time_ns() // 1_000_000
    readings = [{"ts": now - place, "metric": metric, "value": 1.0} for metric in metrics for place in range(count)]
    return {"device": device, "readings": readings}


async def test_a_key_makes_no_more_series_than_it_may(start_server: StartServer) -> None:
    server = await start_server(max_series_per_key=3)
    key, other = await server.key("ingest"), await server.key("ingest")
    # Many at once, on both workers: as many as it may, no more.
    answers = await asyncio.gather(*(server.write(batch("a", f"m{number}"), key) for number in range(20)))
    made = [f"m{number}" for number, (status, _) in enumerate(answers) if status == 200]
    assert len(made) == 3, answers
    beyond = [answer for status, answer in answers if status != 200]
    assert {(answer["status"], answer["errors"][0]["code"]) for answer in beyond} == {(422, "cardinality")}
    assert all(len(json.dumps(answer)) <= 4_096 for answer in beyond)
    assert (await server.fetch("SELECT count(*) FROM series"))[0][0] == 3
    # What exists flows on, alone and beside what is left out.
    for params in DOORS:
        assert (await server.write(batch("a", *made), key, **params))[0] == 200
    status, answer = await server.write(batch("a", made[0], "new", "newer", count=2), key, partial="true")
    assert (status, answer["accepted"] + answer["duplicates"], answer["rejected_count"]) == (200, 2, 4)
    assert {fault["code"] for fault in answer["rejected"]} == {"cardinality"}
    status, answer = await server.write(batch("b", "new"), key, partial="true")
    assert (status, answer["accepted"], answer["rejected_count"]) == (200, 0, 1)
    assert (await server.write(batch("a", made[0], "new"), key))[0] == 422
    assert await server.fetch("SELECT FROM devices WHERE name = 'b'") == []
    # Another key has room of its own, and what it makes this one may write.
    assert (await server.write(batch("a", "new"), other))[0] == 200
    assert (await server.write(batch("a", "new"), key))[0] == 200
    # What is deleted is room again.
    await server.fetch("DELETE FROM devices WHERE name = 'a'")
    async with asyncio.timeout(30):
        while (await server.write(batch("c", "m1", "m2", "m3"), key))[0] != 200:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.2)  # a worker remembers for seconds that a key may make no more
    assert (await server.write(batch("c", "m4"), key))[0] == 422


async def test_a_device_deleted_while_it_sends_is_made_anew_unseen(running_server: Server) -> None:
    for params in DOORS:
        for _ in range(4):  # so that both workers know it
            assert (await running_server.write(batch("a", "m"), **params))[0] == 200
        await running_server.fetch("DELETE FROM devices")
        answers = await asyncio.gather(*(running_server.write(batch(name, "m"), **params) for name in "aaab"))
        assert [status for status, _ in answers] == [200] * 4
        assert len(await running_server.fetch("SELECT FROM series")) == 2


@asynccontextmanager
async def greedy(server: Server, key: str, senders: int = 8) -> AsyncIterator[list[int]]:
    """Send as fast as answers come, batches of ten on many connections; the list is what was accepted and refused."""
    counts, stop = [0, 0], asyncio.Event()

    async def send(http: aiohttp.ClientSession, number: int) -> None:
        while not stop.is_set():
            body = batch(f"g{number}", "m", count=10)
            async with http.post(f"{server.url}/v1/readings", json=body, headers=server.headers(key)) as answer:
                assert answer.status in {200, 429}
                assert ("RateLimit" in answer.headers) == (answer.status == 429)
                counts[answer.status == 429] += 10

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        for number in range(senders):
            http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
            tasks.create_task(send(http, number))
        yield counts
        stop.set()


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[LocalValkey]:
    """A Valkey that a test may freeze."""
    async with LocalValkey(tmp_path / "valkey") as valkey:
        yield valkey


@pytest.mark.parametrize("away", [False, True])
async def test_workers_share_a_quota(start_server: StartServer, valkey: LocalValkey, away: bool) -> None:
    rate, over_s = 200, 2.0
    server = await start_server(redis_url=valkey.url, quota_readings_per_s=rate)
    key = await server.key("ingest")
    if away:
        valkey.freeze()
        await asyncio.sleep(2)
    began = time.monotonic()
    async with greedy(server, key) as counts:
        await asyncio.sleep(over_s)
    took = time.monotonic() - began
    valkey.thaw()
    fair = rate * took
    figures = {"redis": "frozen" if away else "there", "share": round(counts[0] / fair, 2), "refused": counts[1]}
    sys.stdout.write(json.dumps({"quota": figures}) + "\n")
    # A bucket holds a second's worth, and until they hear of each other each worker has one.
    assert 0.8 * fair <= counts[0] <= 1.1 * fair + 2 * rate
    assert counts[1] > fair


async def test_what_a_greedy_key_is_refused_nobody_else_is(running_server: Server) -> None:
    """Ten times its quota and more, on two workers; what it costs others in time: `python -m load.neighbour`."""
    quota, greedy = 10, await running_server.key("ingest", quota_requests_per_s=10)
    modest = await running_server.key("ingest")
    assert (await running_server.write(batch("greedy", "m"), greedy))[0] == 200
    statuses: list[int] = []

    async def storm(params: dict[str, str]) -> None:
        url, headers = f"{running_server.url}/v1/readings", running_server.headers(greedy)
        while True:
            body = batch("greedy", "m")
            async with running_server.http.post(url, json=body, params=params, headers=headers) as response:
                statuses.append(response.status)
                if response.status == 429:
                    wait = response.headers["Retry-After"]
                    assert response.headers["RateLimit-Policy"] == f'"requests";q={quota};w=1'
                    assert response.headers["RateLimit"] == f'"requests";r=0;t={wait}'

    began = time.monotonic()
    storms = [asyncio.create_task(storm(params)) for params in DOORS * 4]
    try:
        while len(statuses) < 100 * quota // 5 or time.monotonic() - began < 2:
            for params in DOORS:
                assert (await running_server.write(batch("modest", "m"), modest, **params))[0] == 200
            assert not any(task.done() for task in storms), storms
    finally:
        for task in storms:
            task.cancel()
        await asyncio.gather(*storms, return_exceptions=True)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) <= quota * (time.monotonic() - began + 2 + 1)  # a second's worth a worker more at most
