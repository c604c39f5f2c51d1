"""Devices that do what was drawn for them, each request until it is answered 200, and remember how it went."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.conftest import Server
from tests.faults.plans import DevicePlan, Request
from tests.faults.rules import Watch

RETRYABLE = {0, 503, 504}
"""What may be answered while a worker is killed, besides 200; 0: the connection broke."""
PATIENCE_S = 30.0
TIMEOUT = aiohttp.ClientTimeout(total=20)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST, and what became of it. Times are seconds since the example began."""

    number: int
    sent_s: float
    answered_s: float
    status: int
    text: str


@dataclass(slots=True)
class Story:
    """One device of one example."""

    device: str
    watch: Watch
    plan: DevicePlan
    requests: list[Request]
    now_us: int
    """When the example began; no reading's age then is near to 300 s."""
    began: float
    """The same by the monotonic clock, seconds."""
    attempts: list[Attempt] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    """Answers that break the contract."""


class Sending:
    """Sends the requests of stories."""

    def __init__(
        self, server: Server, kept: aiohttp.ClientSession, fresh: aiohttp.ClientSession, chance: random.Random
    ) -> None:
        self._url = f"{server.url}/v1/readings"
        self._headers = server.headers()
        self._sessions = {False: kept, True: fresh}
        self._chance = chance

    async def tell(self, story: Story, on_answer: Callable[[], None]) -> None:
        """Live one story to its end."""
        sends = (self._deliver(story, number, on_answer) for number in range(len(story.requests)))
        if story.plan.awaits:
            for send in sends:
                await send
        else:
            await asyncio.gather(*sends)

    async def _deliver(self, story: Story, number: int, on_answer: Callable[[], None]) -> None:
        """Send a request until it is stored; the same words each time."""
        request = story.requests[number]
        readings = [reading._asdict() for reading in request.readings]
        body = {
            "device": story.device,
            "readings": [{"ts": each["ms"], "metric": each["metric"], "value": each["value"]} for each in readings],
        }
        params = {"on_conflict": "replace"} if request.replace else {}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            sent = time.monotonic()
            status, answer = await self._post(body, params, fresh=request.fresh)
            now = time.monotonic()
            story.attempts.append(Attempt(number, sent - story.began, now - story.began, status, str(answer)))
            on_answer()
            if status == 200:
                counted = sum(answer.values()) if isinstance(answer, dict) else -1
                if counted != len(readings):
                    story.trouble.append(f"request {number}: {len(readings)} readings sent, answered {answer}")
                return
            if status not in RETRYABLE or now > deadline:
                story.trouble.append(f"request {number}: answered {status} {answer}")
                return
            await asyncio.sleep(self._chance.uniform(0.005, 0.05))

    async def _post(self, body: object, params: dict[str, str], *, fresh: bool) -> tuple[int, object]:
        try:
            async with self._sessions[fresh].post(
                self._url, json=body, params=params, headers=self._headers
            ) as response:
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return 0, repr(error)


@asynccontextmanager
async def sending(server: Server, chance: random.Random) -> AsyncIterator[Sending]:
    """Connections that are kept, and connections for one request each, which the kernel spreads over all workers."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=TIMEOUT) as kept,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=TIMEOUT) as fresh,
    ):
        yield Sending(server, kept, fresh, chance)
