"""A TCP proxy that misbehaves on demand: what stands between two of our processes when the network is at fault."""

import asyncio
import itertools
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from server.local_memory import PORTS, is_free

HOST = "127.0.0.1"
CHUNK = 65_536  # bytes read at a time
COMMIT = b"Q\0\0\0\x0bCOMMIT\0"  # PostgreSQL's simple query: kind, length of the rest (4 bytes, big-endian), text, NUL


def free_port() -> int:
    """One that no outgoing connection can take while nobody listens on it."""
    return next(port for port in random.sample(PORTS, 100) if is_free(port))


@dataclass(eq=False)
class Link:
    """One connection through the proxy."""

    number: int
    """How many were accepted before it."""
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    mute: bool = False
    """Whether what the server says is swallowed."""
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def reset(self) -> None:
        """Cut both ends, without a goodbye."""
        for end in (self.client, self.server):
            end.transport.abort()


class Proxy:
    """Passes bytes on to an address, until it is told to stall, to drop one direction, or to reset."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._links: set[Link] = set()
        self._numbers = itertools.count()
        self._stalled = 0  # of connections with a number below this one no byte is passed on
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self.trigger: bytes | None = None
        """When a client sends this, all that the server answers on that connection is swallowed; then it is cleared."""
        self.triggered = asyncio.Event()
        """Set when the server has answered what the trigger was part of."""
        self.reset_when_triggered = False
        """Whether the connection is then cut, too, instead of staying silent."""
        self.drop_answers = False
        """Whether everything that servers answer is swallowed."""
        self.drop_requests = False
        """Whether everything that clients send is swallowed."""
        self._left: int | None = None

    @classmethod
    def to(cls, url: str) -> Self:
        """In front of the service at a URL; `through` says where it is reached then."""
        parts = urlsplit(url)
        return cls(str(parts.hostname), int(parts.port or 0))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        tasks = [task for link in self._links for task in link.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    def stall(self, first: int = sys.maxsize) -> None:
        """Pass nothing on, in either direction, and lose nothing: a frozen machine, or a full buffer.

        With `first`, only of so many connections, those that were accepted first.
        """
        self._stalled = first
        self._flowing.clear()

    def go_on(self) -> None:
        """Undo `stall` and both drops."""
        self.drop_answers = self.drop_requests = False
        self._flowing.set()

    @asynccontextmanager
    async def stalled(self, first: int = sys.maxsize) -> AsyncIterator[None]:
        """`stall`, and `go_on` in the end."""
        self.stall(first)
        yield
        self.go_on()

    def reset(self) -> None:
        """Cut every connection that is open."""
        for link in self._links:
            link.reset()

    def cut_after(self, count: int | None) -> None:
        """Pass on so many bytes more of what clients send, then cut every connection, once; None: never."""
        self._left = count

    def lead_to(self, host: str, port: int) -> None:
        """Connect to this address from now on."""
        self._address = (host, port)

    def lead_to_url(self, url: str) -> None:
        """The same, of the service at a URL."""
        parts = urlsplit(url)
        self.lead_to(str(parts.hostname), int(parts.port or 0))

    def swallow_the_answer_to(self, request: bytes, *, reset: bool = False) -> None:
        """Let the next such request through, and keep its answer; cut the connection then, or leave it silent."""
        self.triggered.clear()
        self.trigger, self.reset_when_triggered = request, reset

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, server = await asyncio.open_connection(*self._address)
        except OSError:
            writer.transport.abort()
            return
        link = Link(next(self._numbers), writer, server)
        self._links.add(link)
        link.tasks = [
            asyncio.create_task(self._pass(link, reader, server, answers=False)),
            asyncio.create_task(self._pass(link, there, writer, answers=True)),
        ]
        await asyncio.gather(*link.tasks, return_exceptions=True)
        link.reset()
        self._links.discard(link)

    async def _pass(
        self, link: Link, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        """Pass one direction on until its source ends."""
        try:
            while data := await source.read(CHUNK):
                if link.number < self._stalled:
                    await self._flowing.wait()
                if answers and link.mute:
                    self.triggered.set()
                    if self.reset_when_triggered:
                        link.reset()
                elif not (self.drop_answers if answers else self.drop_requests):
                    if not answers and self.trigger is not None and self.trigger in data:
                        self.trigger, link.mute = None, True
                    target.write(data if answers else self._within_limit(data))
                    await target.drain()
                    if self._left == 0:
                        self._left = None
                        self.reset()
            target.write_eof()
        except OSError:
            link.reset()

    def _within_limit(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        data = data[: self._left]
        self._left -= len(data)
        return data


def through(url: str, proxy: Proxy, **parameters: str) -> str:
    """The same URL by way of a proxy, with these parameters."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return urlunsplit(parts._replace(netloc=f"{user}{at}{HOST}:{proxy.port}", query=query))
