"""The pure machine: which level holds, for how long, and what is told. Tables, and an oracle in other words."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.machine import Condition, Phase, State, Transition, choose, step
from schemas.conditions import SEVERITY_RANK, Level, Severity
from schemas.events import EventType

S = 1_000_000
INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL


def above(severity: Severity, limit: float, clear: float | None = None) -> Level:
    """A level above."""
    return Level(severity=severity, above=limit, clear=clear)


def below(severity: Severity, limit: float, clear: float | None = None) -> Level:
    """A level below."""
    return Level(severity=severity, below=limit, clear=clear)


CONTRACT = (above(INFO, 60, 50), above(WARNING, 70, 60), above(CRITICAL, 80, 70))
ONE = (above(WARNING, 70, 65),)
PLAIN = (above(WARNING, 70),)
BELOW = (below(WARNING, 10, 15), below(CRITICAL, 5, 8))
BOTH = (above(WARNING, 70, 65), below(WARNING, 10, 15), above(CRITICAL, 80, 75), below(CRITICAL, 5, 8))


def run(
    condition: Condition, points: Sequence[tuple[float, float]], state: State | None = None
) -> tuple[State, list[Transition]]:
    """Fold the machine over (seconds, value)."""
    state, told = state or State(), []
    for seconds, value in points:
        state, transition = step(condition, state, round(seconds * S), value)
        if transition is not None:
            told.append(transition)
    return state, told


@dataclass(frozen=True)
class Case:
    """Values a second apart, unless `times` says otherwise; wanted is `event severity` at each, or nothing."""

    name: str
    levels: tuple[Level, ...]
    values: Sequence[float]
    wanted: Sequence[str]
    for_s: float = 0
    keep_s: float = 0
    times: Sequence[float] | None = None


CASES = [
    Case(
        "the oracle of the contract",
        CONTRACT,
        [61, 73, 64, 85, 62, 56, 47],
        ["firing info", "escalated warning", "", "escalated critical", "deescalated info", "", "resolved info"],
    ),
    Case("straight to the top and straight out", CONTRACT, [90, 10], ["firing critical", "resolved critical"]),
    Case("the limit itself does not hold", PLAIN, [70, 70.001, 70], ["", "firing warning", "resolved warning"]),
    Case("clear itself is reached", ONE, [71, 65.001, 65], ["firing warning", "", "resolved warning"]),
    Case("below", BELOW, [9, 4, 7, 8, 14, 15], [
        "firing warning", "escalated critical", "", "deescalated warning", "", "resolved warning",
    ]),
    Case("from one side to the other of one severity is told to nobody", BOTH, [71, 9, 71, 40], [
        "firing warning", "", "", "resolved warning",
    ]),
    Case("the other side keeps its own clear", BOTH, [71, 9, 14, 15], ["firing warning", "", "", "resolved warning"]),
    Case("from one side's top to the other side's bottom", BOTH, [81, 9, 4, 9, 12], [
        "firing critical", "deescalated warning", "escalated critical", "deescalated warning", "",
    ]),
    Case("not long enough", PLAIN, [71, 71, 60, 71, 71], [""] * 5, for_s=3),
    Case("long enough, to the microsecond", PLAIN, [71, 71, 71], ["", "", "firing warning"], for_s=3,
         times=[0, 2.999999, 3]),
    Case("one reading after a long silence is long enough", PLAIN, [71, 71], ["", "firing warning"], for_s=3,
         times=[0, 1000]),
    Case("a gap below begins the wait anew", PLAIN, [71, 60, 71, 71, 71], ["", "", "", "", "firing warning"], for_s=2,
         times=[0, 1, 2, 3, 4]),
    Case("pending does not stay by hysteresis", ONE, [71, 66, 71], ["", "", ""], for_s=2),
    Case("the level when for_s is over counts", CONTRACT, [61, 85], ["", "firing critical"], for_s=1),
    Case("kept firing", PLAIN, [71, 60, 60, 60], ["firing warning", "", "", "resolved warning"], keep_s=2),
    Case("kept to the microsecond", PLAIN, [71, 60, 60, 60], ["firing warning", "", "", "resolved warning"], keep_s=2,
         times=[0, 1, 2.999999, 3]),
    Case("holding again forgets the wait", PLAIN, [71, 60, 71, 60, 60, 60], [
        "firing warning", "", "", "", "", "resolved warning",
    ], keep_s=2),
    Case("keeping begins where clear is reached", ONE, [71, 66, 64, 64], ["firing warning", "", "", "resolved warning"],
         keep_s=1),
    Case("a value short of clear forgets the wait too", ONE, [71, 64, 66, 64, 64], [
        "firing warning", "", "", "", "resolved warning",
    ], keep_s=1),
    Case("escalation ends the wait", CONTRACT, [61, 40, 85, 40, 40, 40], [
        "firing info", "", "escalated critical", "", "", "resolved critical",
    ], keep_s=2),
    Case("fires again", PLAIN, [71, 60, 71], ["firing warning", "resolved warning", "firing warning"]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_table(case: Case) -> None:
    condition = Condition(case.levels, round(case.for_s * S), round(case.keep_s * S))
    times = case.times or range(len(case.values))
    state, told = State(), []
    for seconds, value in zip(times, case.values, strict=True):
        state, transition = step(condition, state, round(seconds * S), value)
        assert state.last_ts == round(seconds * S)
        told.append(f"{transition.event} {case.levels[transition.level].severity}" if transition else "")
        if transition:
            assert (transition.ts, transition.value) == (round(seconds * S), value)
    assert told == list(case.wanted)


def test_started_is_when_the_condition_began_to_hold() -> None:
    _, told = run(Condition(PLAIN, 2 * S), [(10, 71), (11, 72), (12, 73), (13, 60)])
    assert [(transition.event, transition.ts, transition.started) for transition in told] == [
        (EventType.FIRING, 12 * S, 10 * S),
        (EventType.RESOLVED, 13 * S, 10 * S),
    ]


def test_ok_remembers_nothing_but_the_time() -> None:
    for values in ([(1, 50.0)], [(0, 71.0), (1, 50.0)]):
        assert run(Condition(PLAIN), values)[0] == State(last_ts=1 * S)
    assert run(Condition(PLAIN, 5 * S), [(0, 71), (1, 50)])[0] == State(last_ts=1 * S)


def test_pending_remembers_its_beginning() -> None:
    assert run(Condition(PLAIN, 5 * S), [(3, 71), (4, 72)])[0] == State(Phase.PENDING, None, 3 * S, None, 4 * S)


def test_firing_without_a_beginning_begins_now() -> None:
    state = State(Phase.FIRING, 0, None, None, 1)
    assert run(Condition(PLAIN), [(2, 60)], state)[1][0].started == 2 * S


def test_a_state_is_all_the_machine_needs_to_remember() -> None:
    points = [(float(second), value) for second, value in enumerate([61, 85, 40, 62, 40, 40, 90, 40, 40, 40])]
    condition = Condition(CONTRACT, 1 * S, 2 * S)
    whole = run(condition, points)
    for cut in range(len(points)):
        state, first = run(condition, points[:cut])
        copied = State(state.phase, state.level, state.since, state.clear_since, state.last_ts)
        after, rest = run(condition, points[cut:], copied)
        assert (after, first + rest) == whole


limits = st.lists(st.integers(0, 20), min_size=3, max_size=3, unique=True).map(sorted)


@st.composite
def level_sets(draw: st.DrawFn) -> tuple[Level, ...]:
    """One to three levels of a side, or both sides, in the order a rule is made ready in."""
    levels: list[Level] = []
    for side in draw(st.sampled_from([("above",), ("below",), ("above", "below")])):
        severities = draw(st.lists(st.sampled_from(list(Severity)), min_size=1, unique=True))
        severities.sort(key=SEVERITY_RANK.__getitem__)
        for severity, limit in zip(severities, draw(limits), strict=False):
            margin = draw(st.one_of(st.none(), st.integers(0, 8)))
            edge = limit + 15 if side == "above" else 15 - limit
            sign = -1 if side == "above" else 1
            clear = None if margin is None else float(edge + sign * margin)
            levels.append(Level(severity=severity, clear=clear, **{side: float(edge)}))
    return tuple(sorted(levels, key=lambda level: SEVERITY_RANK[level.severity]))


def spoken(levels: Sequence[Level], current: Level | None, value: float) -> Severity | None:
    """Contract §5, sentence by sentence: the severity that a value means, given the level that stands."""
    rank = SEVERITY_RANK.__getitem__

    def holds(level: Level) -> bool:
        return (level.above is not None and value > level.above) or (level.below is not None and value < level.below)

    def is_clear(level: Level) -> bool:
        if level.above is not None:
            return value <= (level.above if level.clear is None else level.clear)
        assert level.below is not None
        return value >= (level.below if level.clear is None else level.clear)

    held = [level.severity for level in levels if holds(level)]
    at_least = [each for each in held if current is None or rank(each) >= rank(current.severity)]
    if at_least:
        return max(at_least, key=rank)
    if current is not None and not is_clear(current):
        return current.severity
    return max(held, key=rank) if held else None


@given(level_sets(), st.lists(st.integers(-10, 45), max_size=12))
def test_choosing_says_what_the_contract_says(levels: tuple[Level, ...], values: list[int]) -> None:
    current: int | None = None
    for value in values:
        wanted = spoken(levels, None if current is None else levels[current], value)
        current = choose(levels, current, value)
        assert (None if current is None else levels[current].severity) == wanted


@given(
    level_sets(),
    st.lists(st.tuples(st.integers(1, 4), st.integers(-10, 45)), max_size=25),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_a_life_is_sound(levels: tuple[Level, ...], points: list[tuple[int, int]], for_s: int, keep_s: int) -> None:
    """Prometheus' sense of `for` and `keep_firing_for`, kept by hand beside the machine."""
    condition = Condition(levels, for_s * S, keep_s * S)
    state, now = State(), 0
    severity: Severity | None = None  # of the alert that is firing
    active_at: int | None = None
    keeping_since: int | None = None
    for wait, value in points:
        now += wait
        standing = None if severity is None or state.level is None else levels[state.level]
        meant = spoken(levels, standing, value)
        state, transition = step(condition, state, now * S, value)
        event = transition.event if transition else None
        if severity is None:
            active_at = None if meant is None else (now if active_at is None else active_at)
            if active_at is not None and now - active_at >= for_s:
                severity, keeping_since = meant, None
                assert event is EventType.FIRING
            else:
                assert event is None
            continue
        if meant is None:
            keeping_since = now if keeping_since is None else keeping_since
            if now - keeping_since >= keep_s:
                severity, active_at = None, None
                assert event is EventType.RESOLVED
            else:
                assert event is None
            continue
        keeping_since = None
        change = SEVERITY_RANK[meant] - SEVERITY_RANK[severity]
        severity = meant
        assert event is {0: None, 1: EventType.ESCALATED, -1: EventType.DEESCALATED}[(change > 0) - (change < 0)]
    wanted = Phase.FIRING if severity else Phase.PENDING if active_at is not None else Phase.OK
    assert state.phase is wanted
