"""Background tasks that never die quietly: named, owned, and fatal to the process when one breaks."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

import structlog

log = structlog.get_logger(__name__)


class Tasks:
    """Owns forever-coroutines, and some that end. One that breaks is logged, fails readiness, and stops the process.

    A TaskGroup around the lifespan would not do: its failure cancels nothing that the server is serving.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self.failure: str | None = None
        """The name of the task that broke."""

    async def __aenter__(self) -> Self:
        return self

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        """Run a forever-coroutine."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine that ends; one that breaks is as fatal."""
        task = asyncio.create_task(work, name="later")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, ends=True))

    def _ended(self, task: asyncio.Task[Any], *, ends: bool = False) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if self._stopping or (ends and error is None):
            return
        self.failure = task.get_name()
        log.critical("a background task broke; stopping", task=self.failure, exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        # Again and again, as before Python 3.12 a library that uses wait_for may swallow a cancellation.
        while pending := list(self._tasks):
            for task in reversed(pending):
                task.cancel()
            await asyncio.wait(pending, timeout=2)
