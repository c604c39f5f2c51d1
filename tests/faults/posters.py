"""Devices that do nothing but cross a limit, to and fro: every request is a transition, and it is known when."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.acceptance.dashboard import connection
from tests.conftest import Server
from tests.faults.rules import PROBE, known_everywhere

RULE = {
    "name": "Overheating",
    "device": "oven-*",
    "metric": "temperature",
    "condition": {"type": "threshold", "levels": [{"severity": "critical", "above": 80}]},
}
PACE_S = 0.04
"""Between two requests of one device."""


@dataclass
class Poster:
    """One device, with a connection to one worker that it keeps."""

    server: Server
    session: aiohttp.ClientSession
    device: str
    statuses: list[int] = field(default_factory=list)
    answered: dict[float, float] = field(default_factory=dict)
    """By value, which comes once: when the answer came, by `time.perf_counter`."""
    _ms: int = 0

    async def cross(self) -> None:
        """Cross the limit once, and wait for the answer."""
        number = len(self.statuses)
        value = (10 if number % 2 else 90) + number / 1_000_000
        self._ms = max(self._ms + 1, time.time_ns() // 1_000_000)
        reading = {"ts": self._ms, "metric": "temperature", "value": value}
        body = json.dumps({"device": self.device, "readings": [reading]})
        headers = self.server.headers() | {"Content-Type": "application/json"}
        async with self.session.post(f"{self.server.url}/v1/readings", data=body, headers=headers) as response:
            await response.read()
            self.statuses.append(response.status)
        self.answered[value] = time.perf_counter()

    async def cross_often(self, count: int) -> None:
        """Cross it so many times, at an even pace."""
        began = time.perf_counter()
        for number in range(count):
            await self.cross()
            await asyncio.sleep(began + (number + 1) * PACE_S - time.perf_counter())


@asynccontextmanager
async def posters(server: Server) -> AsyncIterator[list[Poster]]:
    """One for each worker; all know the rule about them."""
    for rule in (RULE, PROBE):
        status, body = await server.call("POST", "/v1/rules", rule)
        assert status == 201, body
    await known_everywhere(server)
    async with AsyncExitStack() as stack:
        found: dict[int, Poster] = {}
        while len(found) < len(server.supervisor.pids):
            async with AsyncExitStack() as attempt:
                session, worker = await attempt.enter_async_context(connection(server.url))
                if worker in found:
                    continue  # the kernel gave us another one of the same worker: hang up
                found[worker] = Poster(server, session, f"oven-{worker}")
                stack.push_async_exit(attempt.pop_all())
        yield list(found.values())


async def last_offset(server: Server) -> int:
    """How many events there are."""
    (row,) = await server.fetch("SELECT last_offset FROM alert_offset")
    return int(row["last_offset"])
