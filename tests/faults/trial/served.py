"""`sluice serve` as an operator runs it: a process of its own, which is asked to end and started again."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Self

from tests.acceptance.sluice import environment
from tests.faults.trial.cluster import Cluster, variables
from tests.faults.trial.kinds.workers import who_answers

READY_S = 180.0
END_S = 20.0
WORKERS = 2


@dataclass
class Served:
    """The server while it is entered. `log` is a descriptor; without one, what it logs is thrown away."""

    cluster: Cluster
    """Whose services it uses; its `url` is this server's."""
    port: int
    workers: int = WORKERS
    log: int = subprocess.DEVNULL
    settings: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._process = subprocess.Popen(  # noqa: ASYNC220 - nothing is read of it
            [sys.executable, "-m", "server.cli", "serve", "--workers", str(self.workers), "--port", str(self.port)],
            env=environment(**(variables(self.cluster) | self.settings)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            process_group=0,
        )
        deadline = time.monotonic() + READY_S
        while not await who_answers(self.cluster, 200):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"`sluice serve` did not get ready; it ended with {self._process.poll()}")
            await asyncio.sleep(0.02)

    def kill(self) -> None:
        """End it at once, with its workers, as when its machine loses power."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    async def stop(self) -> tuple[int, float]:
        """Ask it to end; gives its exit code, and how many seconds that took."""
        assert self._process is not None
        began = time.monotonic()
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
        code = await asyncio.to_thread(self._process.wait, END_S)
        return code, time.monotonic() - began
