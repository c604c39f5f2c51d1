"""What Hypothesis draws for an example: devices, how they send, and what, in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import strategies as st

from tests.faults.rules import METRICS

STEPS_MS = (0, 1, 250, 1_000, 1_000, 2_000, 5_000)
"""Between two readings; 0 for two of one time: of one metric, the second is a duplicate."""
BASE_S = 100
"""The first reading's age. Half an hour of readings would fit, and all are far from being late."""
LATE_MS = 400_000
"""Before the first reading: older than 300 s by more than any example takes."""


class Reading(NamedTuple):
    """One of a request."""

    ms: int
    metric: str
    value: float


class Pulse(NamedTuple):
    """A reading as it is drawn: its time is relative."""

    step_ms: int
    metric: str
    value: int


@dataclass(frozen=True, slots=True)
class Next:
    """Readings that go on where the last ones ended."""

    pulses: list[Pulse]


@dataclass(frozen=True, slots=True)
class Late:
    """Readings older than 300 s."""

    pulses: list[Pulse]


@dataclass(frozen=True, slots=True)
class Before:
    """Readings from before the last ones: new, and out of order; the first of all are not."""

    pulses: list[Pulse]


@dataclass(frozen=True, slots=True)
class Again:
    """A request that was sent before, word for word."""

    which: int


@dataclass(frozen=True, slots=True)
class Replace:
    """A request that was sent before with other values, which take the place of the stored ones."""

    which: int
    by: int


@dataclass(frozen=True, slots=True)
class Request:
    """What one POST carries."""

    kind: str
    readings: list[Reading]
    replace: bool = False
    fresh: bool = True
    """Whether it opens a connection of its own, and so meets any worker."""


Drawn = Next | Late | Before | Again | Replace


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """What one device does."""

    awaits: bool
    """Whether it awaits each answer before it sends on; else all its requests are under way at once."""
    drawn: list[tuple[Drawn, bool]]

    def requests(self, base_ms: int) -> list[Request]:
        """The requests, with times from `base_ms` on."""
        clock, made = base_ms, list[Request]()
        for drawn, fresh in self.drawn:
            match drawn:
                case Next(pulses):
                    readings = list[Reading]()
                    for pulse in pulses:
                        clock += pulse.step_ms
                        readings.append(Reading(clock, pulse.metric, float(pulse.value)))
                    made.append(Request("next", readings, fresh=fresh))
                case Late(pulses):
                    made.append(Request("late", past(base_ms - LATE_MS, pulses), fresh=fresh))
                case Before(pulses):
                    made.append(Request("before", past(clock - 1, pulses), fresh=fresh))
                case Again(which) if made:
                    made.append(again(made[which % len(made)], fresh))
                case Replace(which, by) if made and self.awaits:
                    made.append(replaced(made[which % len(made)], by, fresh))
                case _:
                    continue
        return made


def past(ms: int, pulses: Sequence[Pulse]) -> list[Reading]:
    """Readings backwards from a time."""
    return [Reading(ms - pulse.step_ms, pulse.metric, float(pulse.value)) for pulse in pulses]


def again(request: Request, fresh: bool) -> Request:
    """The same once more."""
    return Request(f"{request.kind} again", request.readings, request.replace, fresh)


def replaced(request: Request, by: int, fresh: bool) -> Request:
    """The same times with other values."""
    readings = [reading._replace(value=(reading.value + by) % 101) for reading in request.readings]
    return Request(f"{request.kind} replaced", readings, True, fresh)


pulses = st.lists(
    st.builds(Pulse, st.sampled_from(STEPS_MS), st.sampled_from((*METRICS, METRICS[-1])), st.integers(0, 100)),
    min_size=2,
    max_size=8,
)


def ramp(metric: str, start: int, slope: int, step_ms: int, count: int) -> list[Pulse]:
    """Readings that stay where they are or go on steadily, as those of real devices do: what `for_s` and rates see."""
    return [Pulse(step_ms, metric, min(100, max(0, start + slope * n))) for n in range(count)]


ramps = st.builds(
    ramp,
    st.sampled_from(METRICS),
    st.integers(0, 100),
    st.sampled_from((0, 0, 1, 5, 20, -1, -5, -20)),
    st.sampled_from(STEPS_MS[2:]),
    st.integers(2, 8),
)
lone = pulses.map(lambda found: found[:1])  # what comes alone is stored another way
# Mostly the next readings: what moves the machine.
drawn = st.one_of(
    st.builds(Next, pulses),
    st.builds(Next, pulses),
    st.builds(Next, pulses),
    st.builds(Next, lone),
    st.builds(Next, ramps),
    st.builds(Next, ramps),
    st.builds(Next, ramps),
    st.builds(Late, pulses),
    st.builds(Before, pulses),
    st.builds(Again, st.integers(0, 9)),
    st.builds(Replace, st.integers(0, 9), st.integers(1, 100)),
)


plans = st.lists(
    st.builds(DevicePlan, st.booleans(), st.lists(st.tuples(drawn, st.booleans()), min_size=5, max_size=14)),
    min_size=3,
    max_size=7,
)
"""A few devices."""
