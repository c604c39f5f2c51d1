"""How many users when: the courses that a `LoadTestShape` follows. Pure; times are seconds since the run began."""

import math
from dataclasses import dataclass, field
from typing import Protocol

STEPS = 24
"""Of a search for the knee in the time it has."""
LEAST_STEP_S = 2.0
FALLS = 2
"""A step that fails once was perhaps somebody else's doing; twice, it is too high."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen in a part of the run."""

    intended: float = 0.0
    """Readings a second."""
    achieved: float = 0.0
    p99_ms: float = math.nan
    error_share: float = 0.0
    cpu: float = 0.0
    """Per cent of a core, of the busiest process that makes load."""


class Course(Protocol):
    """Says how many of the users that ramp there shall be."""

    def users(self, at_s: float, seconds: float, most: int) -> int | None:
        """How many at this time of a run of so many seconds; None: the course is over."""


@dataclass(frozen=True, slots=True)
class Even:
    """All of them, all the time."""

    def users(self, at_s: float, seconds: float, most: int) -> int | None:
        """`most` until time is up."""
        return most if at_s < seconds else None


@dataclass(frozen=True, slots=True)
class Bursts:
    """None, but for bursts: each lasts a sixth of the run."""

    begins: tuple[float, ...] = (1 / 6, 3 / 6)
    """As shares of the run."""
    lasts: float = 1 / 6

    def users(self, at_s: float, seconds: float, most: int) -> int | None:
        """`most` within a burst."""
        if at_s >= seconds:
            return None
        place = at_s / seconds
        return most if any(begin <= place < begin + self.lasts for begin in self.begins) else 0


@dataclass(frozen=True, slots=True)
class Stairs:
    """More and more in equal steps, then all of them for the rest."""

    steps: int = 10
    climbs: float = 0.6
    """The share of the run after which all are there."""

    def users(self, at_s: float, seconds: float, most: int) -> int | None:
        """The step that is reached."""
        if at_s >= seconds:
            return None
        step = math.floor(at_s / (seconds * self.climbs) * self.steps) + 1
        return math.ceil(most * min(step, self.steps) / self.steps)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a search, and what was seen on it."""

    users: int
    seen: Window
    held: bool


@dataclass(slots=True)
class Climb:
    """Step by step a quarter more, until a step fails twice: the last one that held is the knee.

    A step holds where nearly all of what was intended was stored, soon enough, without errors. It is judged by its
    second half: in the first, the new users begin.
    """

    p99_ms: float
    achieved_share: float = 0.95
    error_share: float = 0.01
    first: int = 2
    growth: float = 1.25
    steps: list[Step] = field(default_factory=list)
    fell: int = 0
    over: bool = False
    _users: int = 0
    _since_s: float = 0.0

    def users(self, at_s: float, seconds: float, most: int) -> int | None:
        """What `saw` has decided."""
        self._users = self._users or self.first
        return None if self.over or at_s >= seconds else min(self._users, most)

    def step_s(self, seconds: float) -> float:
        """How long a step lasts in a run of so many seconds."""
        return max(LEAST_STEP_S, seconds / STEPS)

    def due(self, at_s: float, seconds: float) -> bool:
        """Whether the current step has lasted long enough to be judged."""
        return at_s - self._since_s >= self.step_s(seconds)

    def saw(self, at_s: float, window: Window, most: int) -> None:
        """Judge the step, and go on to the next."""
        late = math.isnan(window.p99_ms) or window.p99_ms > self.p99_ms
        short = window.achieved < self.achieved_share * window.intended
        held = not (late or short or window.error_share > self.error_share)
        self.steps.append(Step(min(self._users, most), window, held))
        self._since_s = at_s
        if held:
            self.fell = 0
            self.over = self._users >= most
            self._users = max(self._users + 1, round(self._users * self.growth))
        else:
            self.fell += 1
            self.over = self.fell >= FALLS

    @property
    def knee(self) -> Step | None:
        """The highest step that held; None where none did."""
        return max((step for step in self.steps if step.held), key=lambda step: step.users, default=None)
