"""What the tests break besides the network (a Redis that is killed and frozen), and whom it must not hurt."""

import asyncio
import os
import signal
import time
from pathlib import Path

from alerts.live.feed import FeedTimes
from server.local import LocalValkey
from tests.integration.live import Client, Node


class Redis:
    """A Valkey of this test's own, which it may kill and freeze."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: LocalValkey | None = None

    async def start(self) -> str:
        """Start it, or start it again: empty, at the same address."""
        if self._running is not None:
            await self._running.__aexit__(None, None, None)
        self._running = LocalValkey(self._folder)
        await self._running.__aenter__()
        return self._running.url

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._running is not None
        assert self._running.pid is not None
        os.kill(self._running.pid, number)

    async def stop(self) -> None:
        """End it, whatever was done to it."""
        if self._running is not None:
            await self._running.__aexit__(None, None, None)


def pair(database: str, redis_url: str, name: str, times: FeedTimes | None = None) -> tuple[Node, Node]:
    """Two workers on the same services."""
    return Node(database, redis_url, name, times=times), Node(database, redis_url, name, times=times)


async def subscribers(*nodes: Node, each: int = 5) -> list[Client]:
    """Subscribers to `alerts`, `each` on every node."""
    clients = [await Client.connected(node) for node in nodes for _ in range(each)]
    for client in clients:
        await client.subscribe()
    return clients


async def carried(node: Node, clients: list[Client], after: int) -> None:
    """Redis is well, and brings events: a dozen in a row come sooner than heartbeats, two a second, would tell of."""
    began = time.monotonic()
    for offset in range(after + 1, after + 13):
        await node.commit("pump-1")
        await served(clients, [offset])
    assert time.monotonic() - began < 4


async def served(clients: list[Client], expected: list[int]) -> float:
    """Wait until every client got exactly these offsets; return the seconds that took."""
    began = time.monotonic()
    got = await asyncio.gather(*(client.offsets(len(expected)) for client in clients))
    assert all(each == expected for each in got)
    return time.monotonic() - began
