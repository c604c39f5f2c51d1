"""Admission: whether one more request may wait, and when one that may not should come again.

What waits is bounded in rows, in bytes and in time. The time is what protects a slow PostgreSQL: a batch that would be
answered only by its deadline is work for nothing, and a queue of such batches stores less and less.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from schemas.errors import Overloaded

MAX_RETRY_S = 60
JITTER = 0.25  # of what a sender is told, at most, either way
RATE_OVER_S = 0.25  # while something always waits, the drain is measured over so long
TELLS_PER_S = 400  # refusals: each costs about 0.1 ms, a third of what storing a thousand readings does
TELL_WITHIN_S = 4.0  # less than the deadline of a batch
WEIGHTY_ROWS = 10_000  # a group of so many says most of how fast the queue drains; one of few says nothing
FIRST_RATE = 10_000.0  # rows a second, before any was measured


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """Bounds of what waits in one worker's writer; beyond any of them a request is refused with 503."""

    queue_rows: int = 200_000
    queue_bytes: int = 64 << 20
    """Of memory, as `Columns.held_bytes` counts it."""
    queue_s: float = 2.0
    """What the oldest batch may have waited: less than the deadline of a batch, so that what is taken is stored."""
    turn_s: float = 0.5
    """What one turn of the event loop may last: a crowd of sockets must not keep it from everything else."""
    turn_requests: int = 200
    """Requests that may begin the long way in one turn: each costs up to a millisecond of the next one."""


def retry_after_s(wait_s: float, chance: float) -> int:
    """When to come again, whole seconds in 1 … 60, if there is room in `wait_s`; `chance` is uniform in [0, 1).

    A second later than that on average, give or take a quarter and the rounding, so that those who were refused
    together and are told alike do not come back together.
    """
    return 1 + min(MAX_RETRY_S - 1, int(chance + max(0.0, wait_s) * (1 - JITTER + 2 * JITTER * chance)))


class Crowd:
    """Those who are refused: so many a second are told, in their order, but each within `TELL_WITHIN_S`."""

    def __init__(self) -> None:
        self._told = 0.0  # when the last of them is told, by the loop's clock

    def enter(self, now: float) -> float:
        """One more; returns the seconds after which to tell it."""
        self._told = min(max(now, self._told + 1 / TELLS_PER_S), now + TELL_WITHIN_S)
        return self._told - now


class Admission:
    """Keeps count of what waits, of how fast it drains, and of who was told to come later."""

    def __init__(self, limits: AdmissionLimits, chance: Callable[[], float] = random.random) -> None:
        self._limits, self._chance = limits, chance
        self.rows = 0
        """Rows that wait."""
        self.held = 0
        """Bytes that wait."""
        self.rate = FIRST_RATE
        """Rows a second that drain: as measured while something waited, else what one lane does when it has many."""
        self._drained, self._since = 0, -1.0  # rows stored since then without the queue being empty; -1: it was
        self._mean_rows = 1.0  # of one batch
        self._turn, self._begun = 0.0, 0  # of the loop, by its clock, and what began the long way in it
        self._second, self._refused, self._refused_before = 0, 0, 0  # in this second of the clock, in the last one

    def enter(self, rows: int, held: int) -> None:
        """A batch begins to wait."""
        self.rows += rows
        self.held += held

    def leave(self, rows: int, held: int) -> None:
        """Batches are handed to a lane."""
        self.rows -= rows
        self.held -= held
        if not self.rows:
            self._since = -1.0

    def stored(self, rows: int, batches: int, flush_s: float, now: float) -> None:
        """A group was stored."""
        weight = min(0.5, rows / WEIGHTY_ROWS)
        self._mean_rows += weight * (rows / batches - self._mean_rows)
        if self._since < 0:
            self.rate += weight * (rows / max(flush_s, 1e-4) - self.rate)
            self._drained, self._since = 0, now if self.rows else -1.0
            return
        self._drained += rows
        if (took := now - self._since) >= RATE_OVER_S:
            self.rate = (self.rate + self._drained / took) / 2
            self._drained, self._since = 0, now

    def check_long_way(self, now: float) -> None:
        """Count a request that is about to begin the long way; raise Overloaded if this turn has begun too many."""
        self._begun = self._begun + 1 if now == self._turn else 1
        self._turn = now
        if self._begun > self._limits.turn_requests:
            raise self._refusal(f"{self._begun} requests came at once", now)

    def check(self, now: float, oldest: float | None, turn_s: float = 0.0) -> None:
        """Raise Overloaded if no more may wait.

        `oldest`: since when the first in the queue waits, if any does; `turn_s`: how long this turn of the loop lasts.
        """
        limits = self._limits
        if self.rows >= limits.queue_rows:
            raise self._refusal(f"{self.rows} readings are waiting", now)
        if self.held >= limits.queue_bytes:
            raise self._refusal(f"{self.held} bytes are waiting", now)
        if oldest is not None and now - oldest > limits.queue_s:
            raise self._refusal(f"readings have been waiting for {now - oldest:.1f} s", now)

        if turn_s > limits.turn_s:
            raise self._refusal(f"one turn of the event loop has lasted for {turn_s:.1f} s", now)

    def _refusal(self, detail: str, now: float) -> Overloaded:
        """Who is refused waits for what waits, and for those who were refused in the last second."""
        second = int(now)
        if second != self._second:
            self._refused_before = self._refused if second == self._second + 1 else 0
            self._second, self._refused = second, 0
        refused = self._refused + self._refused_before * (1 - now % 1)
        self._refused += 1
        wait_s = (self.rows + refused * self._mean_rows) / self.rate
        return Overloaded(detail, retry_after=retry_after_s(wait_s, self._chance()))
