"""The unmodified SDK of OpenTelemetry and its exporter: stored, refused, throttled, and PostgreSQL away meanwhile."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from tests.acceptance.fragile import Fragile, until
from tests.acceptance.streaming import Client, streamed, streaming
from tests.conftest import Server

SDK = (sys.executable, "-m", "tests.acceptance.clients.opentelemetry_sdk")


@asynccontextmanager
async def run(server: Server, key: str, device: str) -> AsyncIterator[Client]:
    """A client that streams readings; when this is left, it ends, and all that it has sent is stored."""
    async with streaming((*SDK, server.url, key, device)) as client:
        yield client
    await client.has_delivered(server.database_url, device)


async def outlast(fragile: Fragile, away_s: float) -> Client:
    """Have the SDK stream while PostgreSQL is taken away and given back; gives the client, which lost nothing."""
    server = fragile.server
    key = await server.key("ingest")
    async with run(server, key, "pump") as client:

        async def has_begun() -> bool:
            assert client.process.returncode is None, client.said
            return len(await streamed(server.database_url, "pump")) > 3

        await until(has_begun, "it has stored something")
        fragile.take_away()
        await asyncio.sleep(away_s)
        await until(partial(client.is_told, "Service Unavailable"), "it was told to come again")
        fragile.give_back()
    return client


async def throttle(server: Server) -> None:
    """Have the SDK send more than its key may."""
    key = await server.key("ingest", quota_requests_per_s=10)
    async with run(server, key, "slow") as client:
        await until(partial(client.is_told, "Too Many Requests"), "it was throttled")


async def test_the_sdk_stores_is_refused_throttled_and_survives(fragile: Fragile) -> None:
    server = fragile.server
    client, _ = await asyncio.gather(outlast(fragile, 1), throttle(server))
    assert client.of("refused") == [400, 401]
    (count,) = client.of("done")
    query = "SELECT metric, labels::text, max(value) FROM telemetry WHERE device = 'pump' GROUP BY 1, 2"
    found = {(metric, labels): value for metric, labels, value in await server.fetch(query)}
    plain = '{"service.name": "plant"}'
    assert (found["stream", plain], found["total", plain]) == (count - 1, 2 * count)
    assert (found["wait.count", plain], found["wait.max", plain]) == (count, count - 1)
    buckets = {json.loads(labels)["le"]: value for (metric, labels), value in found.items() if metric == "wait.bucket"}
    assert buckets == {"0.5": 1, "10": min(count, 11), "+Inf": count}
    parts = {f"wait.{part}" for part in ("count", "sum", "min", "max", "bucket")}
    assert {metric for metric, _ in found} == {"stream", "total", *parts}


@pytest.mark.long
async def test_the_sdk_survives_thirty_seconds(fragile: Fragile) -> None:
    await outlast(fragile, 30)
