"""Flapping: Nagios' weights, two thresholds, and evaluations that were quiet."""

import pytest

from alerts.flapping import STEPS, Bounds, Flapping

BOUNDS = Bounds()


def after(changes: str) -> Flapping:
    """After evaluations, oldest first: `x` is a change, `.` none."""
    flapping = Flapping()
    for change in changes:
        flapping = flapping.after(BOUNDS, changed=change == "x")
    return flapping


def share(changes: str) -> float:
    """The share of changes in the last steps, weighted by their age."""
    weights = [1.2 - 0.4 * age / (STEPS - 1) for age in range(STEPS)]
    return sum(weight for weight, change in zip(weights, reversed(changes), strict=False) if change == "x") / STEPS


@pytest.mark.parametrize("changes", ["", "x" * 8, "x" * 9, "." * 100 + "x" * 9, "x.." * 40, "xx." * 40, "x." * 5])
def test_it_is_marked_above_the_higher_threshold(changes: str) -> None:
    shares = [share(changes[: place + 1]) for place in range(len(changes))]
    marked = False
    for each in shares:
        marked = each > (BOUNDS.low if marked else BOUNDS.high)
    assert after(changes).marked == marked
    assert [share("x" * 8) > BOUNDS.high, share("x" * 9) > BOUNDS.high] == [False, True]


def test_once_marked_it_takes_less_to_stay_so() -> None:
    flapping = after("x" * 20)
    quiet = 0
    while flapping.marked:
        flapping = flapping.after(BOUNDS, changed=False)
        quiet += 1
    assert quiet > 12, "until a quarter is left, not until a half is"
    assert flapping.history.bit_count() == STEPS - quiet


def test_quiet_evaluations_wash_it_out() -> None:
    assert after("xxxx").after_quiet(3) == after("xxxx...")
    assert after("xxxx").after_quiet(100).history == 0


def test_the_history_is_bounded() -> None:
    assert after("x" * 1_000).history == (1 << STEPS) - 1


def test_the_bounds_can_be_others() -> None:
    flapping, wide = Flapping(), Bounds(high=0.1, low=0.0)
    for changed in (True, True):
        flapping = flapping.after(wide, changed=changed)
    assert flapping.marked
    for _ in range(STEPS - 1):
        flapping = flapping.after(wide, changed=False)
    assert flapping.marked
    assert not flapping.after(wide, changed=False).marked
