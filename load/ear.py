"""A dashboard in a process of its own, and when it heard what: for benchmarks of the way from a reading to `/ws`."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from load.audience import TOKEN

PATIENCE_S = 60.0


class Ear:
    """The events of `alerts` since it began to listen."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._came = asyncio.Event()
        self.at: list[float] = []
        """When each came, in order of offset, by `time.perf_counter`, which all processes of a machine share."""

    async def has(self, count: int) -> None:
        """Wait until so many came."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.at) < count:
                self._came.clear()
                await self._came.wait()

    async def run(self) -> None:
        """Listen to its end. Raises SystemExit where an event was missed or doubled: no figure is worth that."""
        while line := await self._read():
            if line["lost"] or line["skipped"]:
                raise SystemExit(f"the dashboard did not hear everything once: {line}")
            self.at.append(line["at"][0])
            self._came.set()

    async def ready(self) -> None:
        """Wait until it has subscribed."""
        async with asyncio.timeout(PATIENCE_S):
            if not await self._read():
                raise SystemExit("the dashboard did not get in")

    async def _read(self) -> dict[str, list[float]]:
        text = await self._process.stdout.readline() if self._process.stdout else b""
        line: dict[str, list[float]] = json.loads(text or "{}")
        return line


@asynccontextmanager
async def listening(url: str, key: str) -> AsyncIterator[Ear]:
    """An ear that has subscribed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "load.audience", url, "1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {TOKEN: key},
    )
    ear = Ear(process)
    hearing = None
    try:
        await ear.ready()
        hearing = asyncio.create_task(ear.run())
        yield ear
    finally:
        if hearing is not None:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
