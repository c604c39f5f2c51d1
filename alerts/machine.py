"""The pure machine: one reading moves the state of one (rule, series). No clock, no I/O; its tests are tables.

Which level holds is kapacitor's scheme (alert.go, determineLevel): escalation at once, hysteresis before recovery.
Time is the readings' own; `for_s` and `keep_firing_for_s` are over when a reading's time says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from schemas.conditions import SEVERITY_RANK, Level
from schemas.events import EventType


class Phase(StrEnum):
    """Where a (rule, series) is in its life."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"


@dataclass(frozen=True, slots=True)
class Condition:
    """A rule's condition, made ready: levels in ascending order of severity, durations in microseconds."""

    levels: tuple[Level, ...]
    for_us: int = 0
    keep_firing_for_us: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What has to be remembered between two readings. Times are microseconds since the Unix epoch."""

    phase: Phase = Phase.OK
    level: int | None = None
    """While firing: the place of the level in the condition."""
    since: int | None = None
    """Of the reading that began pending, or firing without pending."""
    clear_since: int | None = None
    """While firing: of the first reading since which no level holds."""
    last_ts: int | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """Something that has to be told."""

    event: EventType
    level: int
    """The level after it; of a resolved alert, the last one."""
    ts: int
    value: float
    started: int
    """When the condition began to hold, microseconds."""


def choose(levels: Sequence[Level], current: int | None, value: float) -> int | None:
    """The level for a value, given the current one.

    The highest that holds and is not below the current one wins; else the current stays while its `clear` is not
    reached; else the highest lower one that holds; else none.
    """
    holding = [place for place, level in enumerate(levels) if level.holds(value)]
    if current is None:
        return holding[-1] if holding else None
    if holding and _rank(levels[holding[-1]]) >= _rank(levels[current]):
        return current if current in holding and _same(levels, current, holding[-1]) else holding[-1]
    if levels[current].stays(value):
        return current
    return holding[-1] if holding else None


def step(condition: Condition, state: State, ts: int, value: float) -> tuple[State, Transition | None]:
    """Step over one reading, which is newer than the last."""
    if state.phase is Phase.FIRING:
        return _step_firing(condition, state, ts, value)
    level = choose(condition.levels, None, value)
    if level is None:
        return State(last_ts=ts), None
    since = ts if state.since is None else state.since
    if ts - since < condition.for_us:
        return State(Phase.PENDING, None, since, None, ts), None
    return State(Phase.FIRING, level, since, None, ts), Transition(EventType.FIRING, level, ts, value, since)


def _step_firing(condition: Condition, state: State, ts: int, value: float) -> tuple[State, Transition | None]:
    current, since = state.level or 0, state.since if state.since is not None else ts
    level = choose(condition.levels, current, value)
    if level is None:
        clear_since = ts if state.clear_since is None else state.clear_since
        if ts - clear_since < condition.keep_firing_for_us:
            return replace(state, clear_since=clear_since, last_ts=ts), None
        return State(last_ts=ts), Transition(EventType.RESOLVED, current, ts, value, since)
    state = replace(state, level=level, clear_since=None, last_ts=ts)
    change = _rank(condition.levels[level]) - _rank(condition.levels[current])
    if change == 0:
        return state, None
    event = EventType.ESCALATED if change > 0 else EventType.DEESCALATED
    return state, Transition(event, level, ts, value, since)


def _rank(level: Level) -> int:
    return SEVERITY_RANK[level.severity]


def _same(levels: Sequence[Level], one: int, other: int) -> bool:
    return levels[one].severity == levels[other].severity
