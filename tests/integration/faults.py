"""What the tests break (a network that goes deaf, a Redis that is killed and frozen), and whom it must not hurt."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from alerts.live.feed import FeedTimes
from server.local import LocalValkey
from tests.integration.live import Client, Node


class Proxy:
    """A TCP proxy that can go deaf: connections stay open, bytes stop."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._hears = asyncio.Event()
        self._hears.set()
        self._accepted = 0
        self._deaf_below = 0  # connections accepted before this one
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._target.netloc.rpartition("@")
        self.url = urlunsplit(self._target._replace(netloc=f"{user}{at}127.0.0.1:{port}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @asynccontextmanager
    async def deaf(self, connections: int | None = None) -> AsyncIterator[None]:
        """Let no byte through, in either direction; with `connections`, only of the first so many."""
        self._deaf_below = sys.maxsize if connections is None else connections
        self._hears.clear()
        yield
        self._hears.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection(self._target.hostname, self._target.port)
        number, self._accepted = self._accepted, self._accepted + 1
        for source, target in ((reader, here), (there, writer)):
            task = asyncio.create_task(self._pump(source, target, number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, number: int) -> None:
        try:
            while data := await source.read(65_536):
                if number < self._deaf_below:
                    await self._hears.wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()


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


async def served(clients: list[Client], expected: list[int]) -> float:
    """Wait until every client got exactly these offsets; return the seconds that took."""
    began = time.monotonic()
    got = await asyncio.gather(*(client.offsets(len(expected), 10) for client in clients))
    assert all(each == expected for each in got)
    return time.monotonic() - began
