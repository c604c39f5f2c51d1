"""Devices that send, true to the contract's status table, and the record of what they were answered."""

import asyncio
import random
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from math import isfinite
from typing import Self

import aiohttp

from load.batch import Batch, Cell, Layout
from load.device import Answer, Device, KeyRefusedError, Tally
from load.findings import Findings
from load.ledger import Ledger
from load.verdict import Backoff
from load.verifier import verify

METRICS = ("vibration_x", "vibration_y", "temperature", "running")
SAMPLES = 5
READINGS = SAMPLES * len(METRICS)
"""In each batch."""

DAY_US = 86_400_000_000
RETRYABLE = {0, 408, 429, 503, 504}
"""What a device may be answered while something is broken, besides 200; 0: the connection broke before an answer."""


def batches(number: int, first_us: int) -> Iterator[Batch]:
    """What device `number` sends: values of any bits there are, so that a rounding anywhere shows.

    Every other device takes its times to the microsecond, which go out as text; the others' are whole milliseconds.
    """
    chance = random.Random(number)
    labels = {"line": f"Süd {number % 3}"} if number % 4 == 0 else {}
    step = 1_001 if number % 2 else 1_000
    at = first_us // 1_000_000 * 1_000_000
    while True:
        times = range(at, at + SAMPLES * step, step)
        values: dict[str, list[Cell]] = {name: [any_float(chance) for _ in times] for name in METRICS[:-1]}
        values[METRICS[-1]] = [chance.random() < 0.5 for _ in times]
        yield Batch(f"kiln-{number}", times, values, labels)
        at += SAMPLES * step


def any_float(chance: random.Random) -> float:
    """A finite float64 of any magnitude, denormal and negative zero included."""
    if chance.random() < 0.02:
        return chance.choice((-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2))
    while True:
        (value,) = struct.unpack("<d", chance.randbytes(8))
        if isfinite(value):
            return float(value)


class Watched(Device):
    """A device that also counts what it was answered."""

    answers: Counter[int]
    breaks: Counter[str]

    async def _post(self, body: bytes) -> Answer:
        answer = await super()._post(body)
        self.answers[answer.status] += 1
        if answer.status == 0:
            self.breaks[answer.text] += 1
        return answer


class Fleet:
    """Devices of one server, which share a record of everything that was acknowledged."""

    def __init__(self, url: str, key: str) -> None:
        self.ledger = Ledger()
        self.answers: Counter[int] = Counter()
        """By status."""
        self.breaks: Counter[str] = Counter()
        """Requests without an answer, by what the client saw of it."""
        self.tally = Tally()
        self.refused: list[str] = []
        self._url, self._key = url, key
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._stack.aclose()

    def device(self, number: int) -> Watched:
        """A device; two of one number are one device's two connections."""
        assert self._session is not None
        device = Watched(
            self._session,
            self._url,
            self._key,
            layout=list(Layout)[number % 2],
            backoff=Backoff(first_s=0.05, most_s=0.5),
            tally=self.tally,
            on_receipt=self.ledger.note,
            on_trouble=self.refused.append,
        )
        device.answers, device.breaks = self.answers, self.breaks
        return device

    async def findings(self, database_url: str) -> Findings:
        """Hold what was acknowledged against what is stored."""
        return await verify(self.ledger.columns(), database_url)

    def check_answers(self) -> None:
        """Fail unless every answer was 200 or one that asks for a retry, and every receipt added up."""
        assert not self.refused, self.refused[:3]
        assert set(self.answers) <= RETRYABLE | {200}, self.answers
        assert self.ledger.miscounted == 0
        assert self.ledger.accepted + self.ledger.duplicates == len(self.ledger)


class Traffic(Fleet):
    """Devices that go on sending while it is entered, each awaiting its answers; leaving it lets them finish."""

    def __init__(self, url: str, key: str, devices: int = 20) -> None:
        super().__init__(url, key)
        self._count = devices
        self._acknowledged = [0] * devices  # batches
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        # Two days back, so that times stay in the past however long it takes, and several partitions are written.
        now_us = time.time_ns() // 1_000
        firsts = [now_us - 2 * DAY_US + number * DAY_US // 10 for number in range(self._count)]
        self._tasks = [asyncio.create_task(self._send(*each)) for each in enumerate(firsts)]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.stop()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await super().__aexit__(kind)

    async def stop(self, patience_s: float = 30.0) -> None:
        """Let each device bring home the batch it holds, and send no more."""
        self._stopping = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), patience_s)

    async def flows(self, count: int = 5, patience_s: float = 30.0) -> None:
        """Wait until each device was acknowledged `count` batches more."""
        goal = [done + count for done in self._acknowledged]
        deadline = time.monotonic() + patience_s
        while any(done < wanted for done, wanted in zip(self._acknowledged, goal, strict=True)):
            assert time.monotonic() < deadline, f"after {patience_s} s still waiting; {self.answers}"
            for task in self._tasks:
                assert not task.done(), task
            await asyncio.sleep(0.01)

    async def _send(self, number: int, first_us: int) -> None:
        device = self.device(number)
        for batch in batches(number, first_us):
            if self._stopping:
                return
            try:
                await device.send([batch])
            except KeyRefusedError as error:
                self.refused.append(str(error))
                return
            self._acknowledged[number] += 1
