"""A server that does nothing but answer 200 as soon as a request is whole.

What a generator reaches against it is the generator's own ceiling.
"""

import asyncio
import multiprocessing
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import cast

import uvloop

HOST = "127.0.0.1"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Sink(asyncio.Protocol):
    """Counts bytes; one request at a time, as the generators send."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._left:
            data = self._head + data
            end = data.find(b"\r\n\r\n")
            found = _LENGTH.search(data, 0, end + 2) if end > 0 else None
            if found is None:
                self._head = data
                return
            self._head = b""
            self._left = int(found[1]) + end + 4
        self._left -= len(data)
        if self._left <= 0 and self._transport is not None:
            self._left = 0
            self._transport.write(ANSWER)


@asynccontextmanager
async def sink(cores: set[int] | None) -> AsyncIterator[tuple[str, int]]:
    """Run it in a process of its own, on these cores; gives its address."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, cores), daemon=True)
    process.start()
    theirs.close()
    try:
        yield HOST, await asyncio.to_thread(ours.recv)
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection, cores: set[int] | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    if cores:
        os.sched_setaffinity(0, cores)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(pipe.fileno(), os._exit, 0)  # the parent is gone
        server = await loop.create_server(_Sink, HOST, 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
