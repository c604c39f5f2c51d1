"""The checker of the fault bench, by tables: what each answer obliges to, and what it leaves open."""

import pytest

from schemas.columns import Receipt, SeriesKey
from tests.faults.trial.account import Account, Attempt, Reading, Request
from tests.faults.trial.checker import Identity, check_readings
from tests.faults.trial.checker_alerts import check_dashboard
from tests.faults.trial.dashboards import Dashboard, Told
from tests.faults.trial.views import Shown, View, check_views

SERIES = SeriesKey("pump-7", "heat", "{}")
START = 10


def sent(
    *statuses: int, values: tuple[float, ...] = (1.0, 2.0), kind: str = "new", mode: dict[str, str] | None = None
) -> Request:
    """A request with one reading a microsecond, answered so; a 200 counts all of them as new."""
    readings = [Reading(SERIES, START + place, value) for place, value in enumerate(values)]
    attempts = [Attempt(0, 1, status, "") for status in statuses]
    receipt = Receipt(len(readings), 0) if 200 in statuses else None
    return Request("pump-7", 1, kind, readings, {}, mode or {}, attempts, receipt)


def again(request: Request, accepted: int) -> Request:
    """With another receipt."""
    request.receipt = Receipt(accepted, len(request.readings) - accepted)
    return request


def rows(*values: float | None) -> dict[Identity, list[float]]:
    """What is stored, one reading a microsecond; None for none."""
    return {(SERIES, START + place): [value] for place, value in enumerate(values) if value is not None}


def found(requests: list[Request], stored: dict[Identity, list[float]]) -> set[str]:
    """The invariants that are broken."""
    account = Account()
    for request in requests:
        account.open(request)
    return {finding.invariant for finding in check_readings(account, stored)}


REPLACE = {"on_conflict": "replace"}


@pytest.mark.parametrize(
    ("requests", "stored", "broken"),
    [
        ([sent(200)], rows(1, 2), set()),
        ([sent(200)], rows(1, None), {"I1"}),
        ([sent(200)], rows(1, 3), {"I1"}),
        ([sent(200, values=(-0.0,))], rows(0.0), {"I1"}),
        ([sent(200)], {**rows(1), (SERIES, 11): [2, 2]}, {"I1"}),
        ([sent(503)], rows(None, None), set()),
        ([sent(503)], rows(1, 2), {"I3"}),
        ([sent(422, kind="refused")], rows(1, 2), {"I3"}),
        ([sent(504, 422, kind="refused")], rows(1, 2), {"I3"}),
        ([sent(504)], rows(1, 2), set()),
        ([sent(504)], rows(None, None), set()),
        ([sent(504)], rows(1, None), {"I2"}),
        ([sent(504)], rows(1, 3), {"I1"}),
        ([sent(0, 503)], rows(1, None), {"I2"}),
        ([sent(504, mode={"partial": "true"})], rows(1, None), set()),
        ([], rows(1), {"I3"}),
        ([sent(200, kind="forbidden")], rows(1, 2), {"I8"}),
        ([sent(200), again(sent(200, values=(5, 6)), 0)], rows(1, 2), set()),
        ([sent(200), again(sent(200, values=(5, 6)), 0)], rows(5, 6), {"I1"}),
        ([sent(200), again(sent(200, values=(5, 6)), 1)], rows(1, 2), {"I1"}),
        ([sent(200), again(sent(200, values=(5, 6), mode=REPLACE), 0)], rows(5, 6), set()),
        ([sent(200), again(sent(200, values=(5, 6), mode=REPLACE), 0)], rows(1, 2), {"I1"}),
        # An attempt that was never answered may be stored after what was sent later.
        (
            [
                sent(200),
                again(sent(0, 200, values=(5, 6), mode=REPLACE), 0),
                again(sent(200, values=(7, 8), mode=REPLACE), 0),
            ],
            rows(5, 8),
            set(),
        ),
        ([sent(200), sent(503, values=(5, 6), mode=REPLACE)], rows(5, 6), {"I1"}),
        ([again(sent(504, 200), 0)], rows(1, 2), set()),
        ([again(sent(503, 200), 0)], rows(1, 2), {"I1"}),
    ],
)
def test_what_answers_oblige_to(requests: list[Request], stored: dict[Identity, list[float]], broken: set[str]) -> None:
    assert found(requests, stored) == broken


def test_of_two_copies_under_way_at_once_each_reading_counts_once() -> None:
    for accepted, broken in (((2, 0), set()), ((0, 2), set()), ((2, 2), {"I1"}), ((0, 0), {"I1"})):
        twins = [again(sent(200, kind="twins"), count) for count in accepted]
        assert found(twins, rows(1, 2)) == broken


TABLE = [Told(offset, "firing", offset + 100, "pump-7", 0.0) for offset in range(1, 8)]


@pytest.mark.parametrize(
    ("told", "forgotten", "broken"),
    [
        (TABLE[2:], [], False),
        (TABLE[2:6], [], True),
        (TABLE[3:], [], True),
        (TABLE[2:4] + TABLE[3:], [], True),
        ([*TABLE[2:6], TABLE[6]._replace(alert=1)], [], True),
        ([TABLE[3], TABLE[2], *TABLE[4:]], [], True),
        (TABLE[2:3] + TABLE[5:], [(1, 5)], False),
        (TABLE[2:3] + TABLE[6:], [(1, 5)], True),
        (TABLE[3:4] + TABLE[5:], [(1, 5)], True),
    ],
)
def test_what_a_dashboard_has_to_be_told(told: list[Told], forgotten: list[tuple[int, int]], broken: bool) -> None:
    dashboard = Dashboard("", "", "alerts", 2, "", chance=None, told=told, forgotten=forgotten)  # type: ignore[arg-type]
    assert bool(check_dashboard(dashboard, TABLE)) == broken


def test_a_dashboard_bound_to_a_device_hears_of_no_other() -> None:
    other = TABLE[2]._replace(device="pump-8")
    dashboard = Dashboard("", "", "alerts:pump-7", 2, "", chance=None, told=[other])  # type: ignore[arg-type]
    assert {finding.invariant for finding in check_dashboard(dashboard, [other])} == {"I6", "I8"}


@pytest.mark.parametrize(
    ("shown", "broken"),
    [
        ([(1, 0, 1.0), (1, 1, 2.0)], False),
        ([(1, 1, 2.0)], False),
        ([(1, 1, 2.0), (2, 0, 1.0), (2, 1, 2.0)], False),
        ([(1, 1, 2.0), (1, 0, 1.0)], True),
        ([(1, 1, 2.0), (1, 1, 2.0)], True),
        ([(1, 0, 2.0)], True),
        ([(1, 2, 1.0)], True),
    ],
)
def test_what_a_dashboard_may_be_shown(shown: list[tuple[int, int, float]], broken: bool) -> None:
    account = Account()
    account.open(sent(200))
    view = View("", "", "pump-7", None)  # type: ignore[arg-type]
    view.shown = [Shown(visit, SERIES, START + place, value) for visit, place, value in shown]
    assert {finding.invariant for finding in check_views(account, [view])} == ({"I7"} if broken else set())
