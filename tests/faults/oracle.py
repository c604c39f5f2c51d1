"""What has to be recorded: the pure machine, and whether it flaps, folded over the readings that may be stepped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from alerts.flapping import STEPS, Bounds, Flapping
from alerts.machine import Phase, State, step
from alerts.matching import WatchingRule
from alerts.rate import Point, rates
from schemas.events import EventType

LATE_US = 300_000_000
BOUNDS = Bounds(high=0.2, low=0.1)
"""Of the servers under test: five changes of twenty-one are flapping, else too few examples would see any."""


class Told(NamedTuple):
    """A transition as it is told."""

    event: str
    severity: str
    us: int
    value: float


@dataclass(slots=True)
class Commit:
    """What one transaction brought of one series."""

    points: list[Point]
    """In the order in which they came; some may be there already."""
    replace: bool = False
    name: str = ""

    def values(self) -> dict[int, float]:
        """By time; of two of one time the first, or in a replacement the last."""
        return dict(self.points if self.replace else reversed(self.points))


@dataclass(slots=True)
class Outcome:
    """What a (rule, series) shows at rest."""

    told: list[Told] = field(default_factory=list)
    state: State = field(default_factory=State)
    flaps: list[tuple[str, int]] = field(default_factory=list)
    """The event that flapping began or ended, and of which reading, microseconds."""
    flapping: Flapping = field(default_factory=Flapping)

    def __post_init__(self) -> None:
        if self.state.phase is Phase.OK:  # what is at rest need not be written down
            self.state = State()


def stored(commits: Iterable[Commit]) -> dict[int, float]:
    """What is stored after these transactions."""
    values: dict[int, float] = {}
    for commit in commits:
        values = values | commit.values() if commit.replace else commit.values() | values
    return values


def fold(rule: WatchingRule, commits: Sequence[Commit], now_us: int) -> Outcome:
    """Fold the machine over what was new, newer than everything stored, and not late."""
    outcome = Outcome()
    state, at_rest_since = State(), 0
    values: dict[int, float] = {}
    for commit in commits:
        points = stepped(commit, values, now_us)
        values = stored((Commit(list(values.items())), commit))
        if not points:
            continue
        inputs = judged(rule, points, values)
        active, flapping = state.phase is not Phase.OK or outcome.flapping.marked, outcome.flapping
        if not active and inputs:  # what is stored of a time at rest are evaluations without a change
            flapping = after_quiet(flapping, sum(at_rest_since < us < inputs[0][0] for us in values))
        before = len(outcome.told)
        for us, value in inputs:
            state, transition = step(rule.condition, state, us, value)
            if transition is not None:
                severity = rule.condition.levels[transition.level].severity.value
                outcome.told.append(Told(transition.event.value, severity, us, value))
            was, flapping = flapping, flapping.after(BOUNDS, changed=transition is not None)
            if flapping.marked != was.marked:
                outcome.flaps.append(("flapping_started" if flapping.marked else "flapping_stopped", us))
        state = replace(state, last_ts=points[-1][0])
        if active or state.phase is not Phase.OK or flapping.marked or len(outcome.told) > before:
            outcome.flapping, at_rest_since = flapping, points[-1][0]  # else these are readings at rest as well
    outcome.state = State() if state.phase is Phase.OK else state
    return outcome


def after_quiet(flapping: Flapping, count: int) -> Flapping:
    """After so many evaluations without a change, one by one."""
    for _ in range(min(count, STEPS) if flapping.history else 0):
        flapping = flapping.after(BOUNDS, changed=False)
    return flapping


def stepped(commit: Commit, before: dict[int, float], now_us: int) -> list[Point]:
    """The readings of a transaction that may move the machine (contract §5), in ascending time."""
    newest = max(before, default=0)
    return sorted(
        (us, value)
        for us, value in commit.values().items()
        if us not in before and us > newest and us >= now_us - LATE_US
    )


def judged(rule: WatchingRule, points: list[Point], values: dict[int, float]) -> list[Point]:
    """What the machine sees of the readings: themselves, or their rates over all that is stored."""
    if rule.window_us is None:
        return points
    return rates(sorted(point for point in values.items() if point[0] < points[0][0]), points, rule.window_us)


def is_legal(told: Sequence[Told]) -> bool:
    """Whether these transitions of one (rule, series) may follow each other at all."""
    active, last = False, 0
    for event, _, us, _ in told:
        if us <= last or active is (event == EventType.FIRING.value):
            return False
        active, last = event != EventType.RESOLVED.value, us
    return True
