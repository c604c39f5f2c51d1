"""A dashboard that comes and goes, and recovers each time what it missed; it keeps the offsets and nothing else."""

import asyncio
import json
import random
import re
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

OFFSETS = re.compile(r'"offset":(\d+),"data":')
"""Of publications: to parse each as JSON would cost more than the server needs to send them."""
ANSWER_S = 20.0
SILENCE_S = 30.0
"""Without a push for so long it is stuck."""


@dataclass(slots=True)
class Subscriber:
    """Takes `alerts` from the first offset on."""

    url: str
    key: str
    chance: random.Random
    epoch: str
    offsets: list[int] = field(default_factory=list)
    connections: int = 0
    recoveries: int = 0
    """Connections whose answer brought publications."""
    refusals: int = 0
    """Answers that asked to try again."""

    async def run(self, stays: tuple[int, int]) -> None:
        """Watch for ever; leave after so many publications of one connection, drawn between two bounds."""
        while True:
            try:
                async with connect(
                    self.url, compression=None, max_size=None, ping_interval=None, proxy=None, open_timeout=ANSWER_S
                ) as socket:
                    await self._visit(socket, self.chance.randint(*stays))
                    socket.transport.abort()  # as a network does that goes away
            except (ConnectionClosed, InvalidHandshake, OSError):
                await asyncio.sleep(self.chance.uniform(0.05, 0.2))

    async def _visit(self, socket: ClientConnection, stays: int) -> None:
        """Subscribe, then take publications until there were enough of them."""
        await socket.send(json.dumps({"id": 1, "connect": {"token": self.key}}))
        answer = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_S))
        assert "connect" in answer, answer
        position = self.offsets[-1] if self.offsets else 0
        body = {"channel": "alerts", "recover": True, "epoch": self.epoch, "offset": position}
        await socket.send(json.dumps({"id": 2, "subscribe": body}))
        text = str(await asyncio.wait_for(socket.recv(), ANSWER_S))
        answer = json.loads(text.partition("\n")[0])
        if answer.get("error", {}).get("temporary"):
            self.refusals += 1
            await asyncio.sleep(self.chance.uniform(0.05, 0.2))
            return
        assert answer["subscribe"]["recovered"], answer
        self.connections += 1
        self.recoveries += "publications" in answer["subscribe"]
        until = len(self.offsets) + stays
        while True:
            self.offsets += map(int, OFFSETS.findall(text))
            if len(self.offsets) >= until:
                return
            text = str(await asyncio.wait_for(socket.recv(), SILENCE_S))
            if text.startswith("{}") or "\n{}" in text:  # the server's ping
                await socket.send("{}")
