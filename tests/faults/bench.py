"""One server on which all examples are tried: devices live their stories, workers are killed, books are compared."""

import asyncio
import os
import random
import signal
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from tests.conftest import Server
from tests.faults.books import audit
from tests.faults.plans import BASE_S, DevicePlan
from tests.faults.record import Recorded, offsets_have_no_gap, read
from tests.faults.rules import Watch
from tests.faults.sender import Sending, Story

REST_S = 10.0
"""After the last write, everything is at rest (contract §5)."""
KILL_EVERY = 10
"""In a tenth of the examples a worker is killed."""
AT_ONCE = 200
"""Devices whose books are compared at once."""


@dataclass
class Bench:
    """Tries examples."""

    server: Server
    sending: Sending
    pool: asyncpg.Pool
    watches: Sequence[Watch]
    chance: random.Random
    examples: int = 0
    kills: int = 0
    transitions: int = 0
    flaps: int = 0
    """How often flapping began or ended."""
    attempts: int = 0
    broken: int = 0
    """Attempts that were not answered 200."""
    stories: list[Story] = field(default_factory=list)

    async def example(self, plans: Sequence[DevicePlan]) -> None:
        """Let the devices send, all at once; then hold what is recorded against the machine."""
        self.examples += 1
        now_us, began = time.time_ns() // 1_000, time.monotonic()
        stories = []
        for place, plan in enumerate(plans):
            # By a hash: drawn, a few would be taken most of the time, since Hypothesis likes small numbers.
            watch = self.watches[zlib.crc32(repr((place, plan)).encode()) % len(self.watches)]
            requests = plan.requests(now_us // 1_000 - BASE_S * 1_000)
            stories.append(Story(watch.device(f"{self.examples}-{place}"), watch, plan, requests, now_us, began))
        await self._live(stories)
        recorded = await self._settle(stories)
        assert await offsets_have_no_gap(self.pool)
        self.stories += stories
        self.transitions += sum(map(len, recorded.told.values()))
        self.flaps += sum(map(len, recorded.flaps.values()))
        answers = [attempt.status for story in stories for attempt in story.attempts]
        self.attempts += len(answers)
        self.broken += sum(status != 200 for status in answers)

    async def compare_all(self) -> None:
        """Hold everything of all examples against the machine again: nothing may have come later."""
        for start in range(0, len(self.stories), AT_ONCE):
            stories = self.stories[start : start + AT_ONCE]
            faults = find_faults(stories, await read(self.pool, [story.device for story in stories]))
            assert not faults, "\n".join(["later on:", *faults])

    async def _live(self, stories: Sequence[Story]) -> None:
        total = sum(len(story.requests) for story in stories)
        kills = self.examples % KILL_EVERY == KILL_EVERY // 2
        left = self.chance.randint(0, max(0, total - 1)) if kills else -1
        moment = asyncio.Event()
        if left == 0:
            moment.set()

        def on_answer() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                moment.set()

        killer = asyncio.create_task(self._kill(moment))
        try:
            await asyncio.gather(*(self.sending.tell(story, on_answer) for story in stories))
            if kills:
                await killer
        finally:
            killer.cancel()

    async def _kill(self, moment: asyncio.Event) -> None:
        """Kill any worker, at any moment of what it is doing."""
        await moment.wait()
        await asyncio.sleep(self.chance.uniform(0, 0.004))
        os.kill(self.chance.choice(self.server.supervisor.pids), signal.SIGKILL)
        self.kills += 1

    async def _settle(self, stories: Sequence[Story]) -> Recorded:
        """Wait until the books agree; what is recorded then."""
        deadline = time.monotonic() + REST_S
        while True:
            recorded = await read(self.pool, [story.device for story in stories])
            faults = find_faults(stories, recorded)
            if not faults:
                return recorded
            if time.monotonic() > deadline:
                head = f"example {self.examples}, {REST_S:g} s after its last write:"
                raise AssertionError("\n".join([head, *faults]))
            await asyncio.sleep(0.1)


def find_faults(stories: Sequence[Story], recorded: Recorded) -> list[str]:
    """What is not as it has to be."""
    return [line for story in stories for line in audit(story, recorded)]
