"""A case: one way of sending readings, and how many of them make a measurement."""

import fnmatch
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from load.bench.body import Format

READINGS = {1: 40_000, 10: 200_000, 100: 600_000, 1_000: 1_200_000, 10_000: 1_200_000}
"""By batch: what a quick run sends in the closed loop. Enough for two seconds and more on one core."""

FULL_TIMES = 2
"""A full run sends so many times more."""

CONNECTIONS = {1: 64, 10: 64, 100: 32, 1_000: 16, 10_000: 8}
"""By batch: connections, each with one request in flight at most."""

WARM_SHARE = 10
"""One in so many requests more is sent before the clock starts."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way of sending."""

    batch: int
    layout: Format = Format.ROWS
    gzip: bool = False
    workers: int = 1
    duplicates: int = 0
    """Per cent of the requests that repeat an earlier one."""

    @property
    def name(self) -> str:
        """As `--only`, the table and `--compare` know it: `1000-rows`, `100-columns-gzip-2w-dup10`."""
        parts = [str(self.batch), self.layout.value]
        parts += ["gzip"] if self.gzip else []
        parts += [f"{self.workers}w"] if self.workers > 1 else []
        parts += [f"dup{self.duplicates}"] if self.duplicates else []
        return "-".join(parts)

    @property
    def connections(self) -> int:
        """How many connections send."""
        return CONNECTIONS.get(self.batch, 16)

    def requests(self, *, quick: bool) -> int:
        """Requests of the closed loop: a fixed number, so that the CPU they cost can be compared."""
        readings = READINGS.get(self.batch, 300_000) * (1 if quick else FULL_TIMES)
        return max(1, readings // self.batch)


QUICK = [
    Case(1),
    Case(100),
    Case(1_000),
    Case(1_000, Format.COLUMNS),
    Case(1_000, Format.LINES),
    Case(1_000, Format.SAMPLES),
    Case(1_000, Format.PACKS),
    Case(1_000, Format.CBORPACKS),
    Case(1_000, Format.THINGS),
    Case(1_000, Format.POINTS),
    Case(100, duplicates=10),
]

FOREIGN = set(Format) - {Format.ROWS, Format.COLUMNS}

AGAINST = QUICK[:4]
"""What another server is measured by."""


def full() -> list[Case]:
    """Every combination; those that share a number of workers are together, as each number needs a start.

    Other protocols than our own only plainly sent: the way behind their decoders is the same.
    """
    axes = itertools.product((1, 2), (0, 10), (False, True), (1, 10, 100, 1_000), Format)
    cases = [Case(batch, layout, gzip, workers, share) for workers, share, gzip, batch, layout in axes]
    return [case for case in cases if case.layout not in FOREIGN or not (case.gzip or case.duplicates)]


def select(cases: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """Those whose name fits one of the patterns (`*` and `?`); all where there is none."""
    if not patterns:
        return list(cases)
    return [case for case in cases if any(fnmatch.fnmatchcase(case.name, pattern) for pattern in patterns)]
