"""Dashboards that recover over `/ws`, and keep what they were told."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

ANSWER_S = 10.0
SILENCE_S = 20.0
"""Without anything for so long, the connection is given up: what a half-open one looks like from here."""
TEMPORARY = {100, 109}

decoded = lru_cache(maxsize=512)(json.loads)
"""A reply. A crowd is told the same, and to take it apart for each was a third of this process' time."""


class Told(NamedTuple):
    """A publication."""

    offset: int
    event: str
    alert: int
    device: str
    at: float
    """When it came, monotonic seconds."""


@dataclass
class Dashboard:
    """Subscribes to one channel, and comes back with its offset whenever the connection ends."""

    url: str
    key: str
    channel: str
    position: int
    """The offset to begin behind."""
    epoch: str
    chance: random.Random
    told: list[Told] = field(default_factory=list)
    connections: int = 0
    closes: list[tuple[int, str]] = field(default_factory=list)
    forgotten: list[tuple[int, int]] = field(default_factory=list)
    """Answers of `recovered: false`: after how many publications, and the offset from which on it goes on."""
    trouble: list[str] = field(default_factory=list)
    """Whatever else breaks the contract."""
    last: int = 0
    """The last offset it knows of."""
    resumed: list[float] = field(default_factory=list)
    """When subscriptions were answered, monotonic seconds."""

    def __post_init__(self) -> None:
        self.last = self.position

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            try:
                async with connect(
                    f"{self.url.replace('http', 'ws', 1)}/ws",
                    compression=None,
                    max_size=None,
                    ping_interval=None,
                    proxy=None,
                    open_timeout=ANSWER_S,
                    close_timeout=0.2,
                ) as socket:
                    try:
                        await self._visit(socket)
                    finally:
                        if socket.close_code is not None:
                            self.closes.append((socket.close_code, socket.close_reason or ""))
            except (ConnectionClosed, InvalidHandshake, OSError, EOFError):
                pass
            await asyncio.sleep(self.chance.uniform(0.03, 0.15))

    async def _visit(self, socket: ClientConnection) -> None:
        await socket.send(json.dumps({"id": 1, "connect": {"token": self.key}}))
        for line in (await received(socket, ANSWER_S)).split("\n"):
            if "connect" not in json.loads(line):
                return  # refused for now: PostgreSQL is away
        body = {"channel": self.channel, "recover": True, "epoch": self.epoch, "offset": self.last}
        await socket.send(json.dumps({"id": 2, "subscribe": body}))
        while True:
            for line in (await received(socket, SILENCE_S)).split("\n"):
                reply = decoded(line)
                if not reply:
                    await socket.send("{}")
                elif reply.get("id") == 2:
                    if not self._subscribed(reply):
                        return
                elif publication := reply.get("push", {}).get("pub"):
                    self._take(publication)

    def _subscribed(self, reply: dict[str, Any]) -> bool:
        if error := reply.get("error"):
            if not error.get("temporary"):
                self.trouble.append(f"subscribe to {self.channel} was refused: {error}")
            return False
        answer = reply["subscribe"]
        if not answer["recovered"]:
            self.forgotten.append((len(self.told), answer["offset"]))
            self.epoch, self.last = answer["epoch"], answer["offset"]
        self.connections += 1
        self.resumed.append(time.monotonic())
        for publication in answer.get("publications", ()):
            self._take(publication)
        return True

    def _take(self, publication: dict[str, Any]) -> None:
        data, self.last = publication["data"], publication["offset"]
        self.told.append(
            Told(publication["offset"], data["event"], data["alert"]["id"], data["alert"]["device"], time.monotonic())
        )


async def received(socket: ClientConnection, patience_s: float) -> str:
    """The next frame. No `wait_for`, which before Python 3.12 may swallow a cancellation."""
    async with asyncio.timeout(patience_s):
        return str(await socket.recv())


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they end: what they wait in may swallow a cancellation."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.5)
    await asyncio.gather(*tasks, return_exceptions=True)


async def refused(url: str, key: str, channel: str) -> int:
    """Ask for a channel; gives the code of the error, 0 where it was granted. Raises what a connection raises."""
    address = f"{url.replace('http', 'ws', 1)}/ws"
    async with connect(address, compression=None, ping_interval=None, proxy=None, open_timeout=ANSWER_S) as socket:
        await socket.send(json.dumps({"id": 1, "connect": {"token": key}}))
        await received(socket, ANSWER_S)
        await socket.send(json.dumps({"id": 2, "subscribe": {"channel": channel}}))
        for line in (await received(socket, ANSWER_S)).split("\n"):
            reply = json.loads(line)
            if reply.get("id") == 2:
                return int(reply.get("error", {}).get("code", 0))
    return 0
