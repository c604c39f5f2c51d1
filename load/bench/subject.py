"""A subject: a server that is measured, whatever it is."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from load.bench.body import Door
from load.bench.case import Case
from load.bench.meter import Meter


class SubjectError(Exception):
    """A server cannot be measured; the message says why."""


class Subject(Protocol):
    """What the runner asks of a server."""

    @property
    def name(self) -> str:
        """What the output calls it."""

    @property
    def meter(self) -> Meter:
        """Knows its processes."""

    def door(self, case: Case) -> Door:
        """Where a case's requests go."""

    def workers(self) -> list[int]:
        """The processes whose memory is of interest."""

    async def figures(self) -> dict[str, float]:
        """What it says of itself: names and numbers as in Prometheus' text."""

    async def stored(self) -> int:
        """How many readings of the benchmark's devices it holds."""

    async def settle(self) -> None:
        """Return when what it put off is done, so that it does not fall upon the next case."""


def parse_figures(text: str) -> dict[str, float]:
    """Read Prometheus' text; samples that differ only in their labels are added up."""
    figures: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            sample, _, value = line.rpartition(" ")
            name = sample.partition("{")[0]
            figures[name] = figures.get(name, 0) + float(value)
    return figures


def say(text: str) -> None:
    """A line of progress."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


@contextmanager
def on_cores(cores: set[int] | None) -> Iterator[None]:
    """Processes that are started within inherit these cores."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
