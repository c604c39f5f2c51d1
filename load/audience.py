"""Thousands of dashboards in one process that do next to nothing: what `load.fanout` measures with.

``python -m load.audience URL SIZE``, the key in `SLUICE_AUDIENCE_TOKEN`: prints a JSON object when all have subscribed,
and one for each event when all have it; ends with its standard input.
"""

import asyncio
import json
import os
import resource
import sys
import time
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from load.batch import microseconds

TOKEN = "SLUICE_AUDIENCE_TOKEN"  # noqa: S105 - the variable it is passed in: arguments are seen by everybody
AT_ONCE = 200  # connections that are being opened
PATIENCE_S = 60.0


class Dashboard(asyncio.Protocol):
    """A subscriber of `alerts`."""

    def __init__(self, crowd: "Crowd", token: str) -> None:
        self._crowd, self._token = crowd, token
        self._buffer = b""
        self.offset = -1  # of the last event; -1: not subscribed yet
        self.subscribed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the WebSocket, and behind it, without waiting, for the channel."""
        self._transport = cast(asyncio.Transport, transport)
        key = "Sec-WebSocket-Key: c2x1aWNlIHNsdWljZSBzbA==\r\nSec-WebSocket-Version: 13"
        head = f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n\r\n"
        self._transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        """Read frames: the server's are not masked."""
        self._buffer += data
        if not self._token:
            self._read_frames()
        elif b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if b" 101 " not in head.partition(b"\r\n")[0]:
                raise SystemExit(f"no WebSocket: {head!r}")
            connect = {"id": 1, "connect": {"token": self._token}}
            self._send(f'{json.dumps(connect)}\n{{"id":2,"subscribe":{{"channel":"alerts"}}}}')
            self._token = ""
            self._read_frames()

    def connection_lost(self, exc: Exception | None) -> None:
        """A subscriber that is lost makes the figures worthless."""
        self._crowd.lost += 1

    def _read_frames(self) -> None:
        while len(self._buffer) >= 2:
            size, start = self._buffer[1], 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(self._buffer[2:start])
            if len(self._buffer) < start + size or len(self._buffer) < start:
                return
            text, self._buffer = self._buffer[start : start + size], self._buffer[start + size :]
            for line in text.split(b"\n"):
                self._take(line)

    def _take(self, line: bytes) -> None:
        if line == b"{}":
            self._send("{}")
        elif line.startswith(b'{"push"'):
            found = line.index(b'"offset":') + 9
            offset = int(line[found : line.index(b",", found)])
            self._crowd.skipped += offset != self.offset + 1
            self.offset = offset
            self._crowd.arrived(offset, line)
        elif line.startswith(b'{"id":2'):
            self.offset = json.loads(line)["subscribe"]["offset"]
            self.subscribed.set_result(None)

    def _send(self, text: str) -> None:
        data = text.encode()  # masked with zeros, which changes nothing
        length = bytes([128 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
        self._transport.write(b"\x81" + length + b"\0\0\0\0" + data)


class Crowd:
    """Subscribers, and when each event reached how many of them."""

    def __init__(self, size: int) -> None:
        self.lost = self.skipped = 0
        self._size = size
        self._times: dict[int, list[float]] = {}

    def arrived(self, offset: int, line: bytes) -> None:
        """Count one more; the last one reports, and says how old the reading was that it is about."""
        times = self._times.setdefault(offset, [])
        times.append(time.perf_counter())
        if len(times) == self._size:
            at = [times[0], times[len(times) // 2], times[-1]]
            say({"offset": offset, "at": at, "age_ms": _age_ms(json.loads(line))} | self.troubles())
            del self._times[offset]

    def troubles(self) -> dict[str, int]:
        """What must be 0."""
        return {"lost": self.lost, "skipped": self.skipped}


def _age_ms(reply: dict[str, Any]) -> float | None:
    """From the reading's own time to now; None where the event is of another kind."""
    data = reply["push"]["pub"]["data"]
    moment = data["alert"].get({"firing": "fired_at", "resolved": "resolved_at"}.get(data["event"], ""))
    return None if moment is None else time.time() * 1e3 - microseconds(moment) / 1e3


def say(line: dict[str, Any]) -> None:
    """One JSON object a line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def attend(host: str, port: int, token: str, size: int) -> None:
    """Be the crowd until standard input ends."""
    crowd, loop, turn = Crowd(size), asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
    dashboards: list[Dashboard] = []

    async def come() -> None:
        async with turn, asyncio.timeout(PATIENCE_S):
            _, dashboard = await loop.create_connection(lambda: Dashboard(crowd, token), host, port)
            await dashboard.subscribed
            dashboards.append(dashboard)

    await asyncio.gather(*(come() for _ in range(size)))
    say({"ready": size, "offset": min(each.offset for each in dashboards)} | crowd.troubles())
    await loop.run_in_executor(None, sys.stdin.read)


def raise_file_limit() -> None:
    """Let this process, and those it starts, open as many sockets as they may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """The command."""
    address = urlsplit(sys.argv[1])
    raise_file_limit()
    uvloop.run(attend(address.hostname or "", address.port or 80, os.environ[TOKEN], int(sys.argv[2])))


if __name__ == "__main__":
    main()
