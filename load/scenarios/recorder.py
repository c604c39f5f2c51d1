"""What happened when: counts and latencies by moments of the run, small enough to keep for days and to send on.

Each process of a distributed run records its own share; what it has `take`n is merged by the one that leads.
"""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

BASE = 1.04
"""Latencies that differ by less than 4 % are one: a histogram of a minute's requests has some 50 steps."""
LEAST_MS = 0.01
SLOTS = 600
"""So many moments of a run are kept apart at most, however long it is."""

Histogram = Counter[int]
Moment = tuple[str, int]
"""A name, and the number of a slot."""


def step_of(ms: float) -> int:
    """The histogram's step for a latency."""
    return round(math.log(max(ms, LEAST_MS), BASE))


def quantile_ms(histogram: Histogram, share: float) -> float:
    """The latency that `share` (0…1) of them do not exceed, within 2 %; NaN of none."""
    left = math.ceil(share * histogram.total())
    for step in sorted(histogram):
        left -= histogram[step]
        if left <= 0:
            return round(float(BASE**step), 2)
    return math.nan


@dataclass(slots=True)
class Recorder:
    """Counts (`readings`, `failures`, …) and latencies (`write`, `alert`, …) of one run, by slots of equal width."""

    began: float
    """Unix time in seconds, the same in all processes of a run."""
    width_s: float = 1.0
    clock: Callable[[], float] = time.time
    counts: dict[Moment, float] = field(default_factory=lambda: defaultdict(float))
    latencies: dict[Moment, Histogram] = field(default_factory=lambda: defaultdict(Counter))

    @classmethod
    def of(cls, began: float, seconds: float) -> "Recorder":
        """One for a run that is to take so long."""
        return cls(began, max(1.0, seconds / SLOTS))

    def slot(self) -> int:
        """The number of the current slot."""
        return max(0, int((self.clock() - self.began) / self.width_s))

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a count, now."""
        self.counts[name, self.slot()] += amount

    def took(self, name: str, ms: float) -> None:
        """Enter a latency, now."""
        self.latencies[name, self.slot()][step_of(ms)] += 1

    def take(self) -> list[list[Any]]:
        """Everything since the last time, for `merge` in another process."""
        taken: list[list[Any]] = [[*moment, amount] for moment, amount in self.counts.items()]
        taken += [[*moment, list(steps.items())] for moment, steps in self.latencies.items()]
        self.counts.clear()
        self.latencies.clear()
        return taken

    def merge(self, taken: Iterable[list[Any]]) -> None:
        """Enter what another process has taken."""
        for name, slot, what in taken:
            if isinstance(what, list):
                self.latencies[name, slot].update(dict(what))
            else:
                self.counts[name, slot] += what

    def total(self, name: str, since: int = 0, until: int | None = None) -> float:
        """A count over the slots in [since, until)."""
        return sum(amount for (known, slot), amount in self.counts.items() if known == name and _in(slot, since, until))

    def histogram(self, name: str, since: int = 0, until: int | None = None) -> Histogram:
        """All latencies of a name in the slots [since, until)."""
        found: Histogram = Counter()
        for (known, slot), steps in self.latencies.items():
            if known == name and _in(slot, since, until):
                found.update(steps)
        return found

    def course(self, name: str, slots: int) -> list[float]:
        """A count by slot, a second."""
        return [self.counts.get((name, slot), 0.0) / self.width_s for slot in range(slots)]

    def quantiles(self, name: str, share: float, slots: int) -> list[float | None]:
        """A quantile by slot, in ms; None where nothing happened."""
        steps = (self.latencies.get((name, slot)) for slot in range(slots))
        return [quantile_ms(each, share) if each else None for each in steps]


def _in(slot: int, since: int, until: int | None) -> bool:
    return slot >= since and (until is None or slot < until)
