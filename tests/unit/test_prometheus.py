"""`for_s` and `keep_firing_for_s` mean what Prometheus' `for` and `keep_firing_for` mean, as its documentation has it.

In Prometheus a rule is evaluated by a clock; here by each reading, at the reading's own time. So a column of the table
is an evaluation there and a reading here, and the states after it are the same: an expression that holds makes an alert
pending, and firing once it has held at every evaluation for `for`; a pending one that does not hold is gone at once and
silently, whatever `keep_firing_for` says; a firing one stays until it has not held for `keep_firing_for`, counted from
the first evaluation at which it did not hold, and begins with `for` again only after that.
"""

from typing import NamedTuple

import pytest

from alerts.machine import Condition, Phase, State, step
from schemas.conditions import Level, Severity

MINUTE = 60_000_000
LEVELS = (Level(severity=Severity.WARNING, above=0.5),)
PHASES = {"inactive": Phase.OK, "pending": Phase.PENDING, "firing": Phase.FIRING}


class Case(NamedTuple):
    """One row; minutes."""

    name: str
    for_: float
    keep: float
    holds: str
    """Whether the expression holds, evaluation by evaluation."""
    states: str
    """I(nactive), P(ending) or F(iring) after each."""
    at: tuple[float, ...] = ()
    """When they are; a minute apart where nothing is said."""


TABLE = [
    Case("without for it fires at the first evaluation", 0, 0, "0110", "IFFI"),
    Case("for: pending until it is over, and at its very end it fires", 2, 0, "1111", "PPFF"),
    Case("for shorter than the interval still takes a second evaluation", 0.5, 0, "11", "PF"),
    Case("for: one evaluation that does not hold begins it anew", 2, 0, "1101110", "PPIPPFI"),
    Case("for: evaluations that did not take place count as time", 5, 0, "11", "PF", (0, 10)),
    Case("for: just short of it", 5, 0, "111", "PPF", (0, 4.999999, 5)),
    Case("without keep_firing_for it is resolved at once", 0, 0, "101", "FIF"),
    Case("keep_firing_for counts from the first evaluation that does not hold", 0, 2, "1000", "FFFI"),
    Case("keep_firing_for: holding again forgets it", 0, 2, "10100010", "FFFFFIFF"),
    Case("keep_firing_for: evaluations that did not take place count as time", 0, 2, "100", "FFI", (0, 1, 10)),
    Case("keep_firing_for keeps nothing that is only pending", 2, 5, "101110", "PIPPFF"),
    Case("kept, it holds again: firing still, not pending anew", 2, 3, "111010000", "PPFFFFFFI"),
    Case("resolved, it holds again: for begins anew", 1, 1, "110011", "PFFIPF"),
    Case("shorter than the interval keep_firing_for is one evaluation", 0, 0.5, "100", "FFI"),
    Case("never held", 1, 1, "000", "III"),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_as_prometheus_for_and_keep_firing_for_do(case: Case) -> None:
    condition = Condition(LEVELS, round(case.for_ * MINUTE), round(case.keep * MINUTE))
    state, found = State(), ""
    for minutes, holds in zip(case.at or range(len(case.holds)), case.holds, strict=True):
        state, transition = step(condition, state, round(minutes * MINUTE), float(holds))
        (name,) = [name for name, phase in PHASES.items() if phase is state.phase]
        was, found = found[-1:] or "I", found + name[0].upper()
        told = {("I", "F"): "firing", ("P", "F"): "firing", ("F", "I"): "resolved"}.get((was, found[-1]))
        assert (transition.event.value if transition else None) == told, "pending is told to nobody"
    assert found == case.states
