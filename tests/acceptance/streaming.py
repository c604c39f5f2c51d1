"""A real client that streams numbers from a process of its own, and tells how that goes: a JSON object a line.

It streams until its stdin is closed. The numbers are the metric `stream` of a device, 0, 1, 2 … in order.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from tests.acceptance.fragile import PATIENCE_S

ROOT = Path(__file__).parents[2]


class Client:
    """One that runs, and what it said so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []

    async def listen(self) -> None:
        """Hear it to its end."""
        assert self.process.stdout
        async for line in self.process.stdout:
            self.said.append(json.loads(line))

    def of(self, name: str) -> list[Any]:
        """All that it said of one kind."""
        return [each[name] for each in self.said if name in each]

    async def is_told(self, reason: int | str) -> bool:
        """Whether it was told this, and means to come again."""
        assert self.process.returncode is None, self.said
        return reason in self.of("again")

    async def has_delivered(self, database: str, device: str) -> None:
        """Fail unless it lost nothing, and everything that it says it sent is stored."""
        assert self.of("lost") == [], self.said
        (sent,) = self.of("done")
        assert await streamed(database, device) == [float(number) for number in range(sent)], (device, self.said)


@asynccontextmanager
async def streaming(
    command: Sequence[str], *, packages: Path = ROOT, folder: Path | None = None
) -> AsyncIterator[Client]:
    """Run a client whose modules are in `packages`; when this is left, it is told to end, and has ended well."""
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=clean | {"PYTHONPATH": str(packages)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    client = Client(process)
    hearing = asyncio.create_task(client.listen())
    try:
        yield client
        assert process.stdin
        process.stdin.close()
        await asyncio.wait_for(process.wait(), PATIENCE_S)
        await hearing
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        hearing.cancel()
    assert process.returncode == 0, client.said


async def streamed(database: str, device: str) -> list[float]:
    """What is stored of a stream, in order; PostgreSQL itself is asked, which is never away."""
    connection = await asyncpg.connect(database)
    try:
        query = "SELECT value FROM telemetry WHERE device = $1 AND metric = 'stream' ORDER BY ts"
        return [record["value"] for record in await connection.fetch(query, device)]
    finally:
        await connection.close()
