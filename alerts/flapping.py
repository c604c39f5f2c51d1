"""Flapping: whether a (rule, series) changes its state too often to be worth a call each time. Pure.

Nagios' scheme (its documentation, "Detection and Handling of State Flapping"): of the last 21 evaluations, the share of
changes among the 20 steps between them, the latest weighing 1.2 and the oldest 0.8; two thresholds, so that it does not
flap itself.
"""

from dataclasses import dataclass

STEPS = 20
_MASK = (1 << STEPS) - 1
_WEIGHTS = [1.2 - 0.4 * age / (STEPS - 1) for age in range(STEPS)]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Shares of changes, from 0 to 1: above `high` a state is marked, and it stays so while it is above `low`."""

    high: float = 0.5
    low: float = 0.25


@dataclass(frozen=True, slots=True)
class Flapping:
    """What is remembered of the last evaluations."""

    history: int = 0
    """A bit a step, the latest lowest: whether the state changed."""
    marked: bool = False

    def after(self, bounds: Bounds, *, changed: bool) -> "Flapping":
        """After one more evaluation."""
        history = ((self.history << 1) | changed) & _MASK
        share = sum(weight for age, weight in enumerate(_WEIGHTS) if history >> age & 1) / STEPS
        return Flapping(history, share > (bounds.low if self.marked else bounds.high))

    def after_quiet(self, count: int) -> "Flapping":
        """After so many evaluations without a change, of a series that is not marked."""
        return Flapping((self.history << min(count, STEPS)) & _MASK, self.marked)
