"""A column of times: RFC 3339 and integer milliseconds, mixed, and what is said of a bad one."""

import pytest

from ingest.formats.times import FIRST_MS, LAST_MS, Bounds, read_times
from schemas.errors import Fault

NOW_US = 1_795_428_000_000_000
BOUNDS = Bounds(oldest_us=NOW_US - 86_400_000_000, newest_us=NOW_US + 600_000_000)
WIDE = Bounds(oldest_us=0, newest_us=1 << 62)


def fault_of(item: str | int, bounds: Bounds = BOUNDS, *neighbours: str | int) -> Fault:
    """What is said of a time among neighbours that are good."""
    times = read_times([*neighbours, item], bounds)
    assert times.bad is not None
    assert times.bad.tolist() == [False] * len(neighbours) + [True]
    return times.fault(len(neighbours), ("ts", len(neighbours)))


def test_good_times_need_no_second_look() -> None:
    times = read_times([NOW_US // 1_000, NOW_US // 1_000 + 1], BOUNDS)
    assert times.micros.tolist() == [NOW_US, NOW_US + 1_000]
    assert times.bad is None


def test_text_and_numbers_mix() -> None:
    times = read_times(["2026-11-23T10:00:00.000001Z", NOW_US // 1_000, "2026-11-23T11:00:00+01:00"], BOUNDS)
    assert times.micros.tolist() == [NOW_US + 1, NOW_US, NOW_US]
    assert times.bad is None


def test_no_times_at_all() -> None:
    times = read_times([], BOUNDS)
    assert len(times.micros) == 0
    assert times.bad is None


@pytest.mark.parametrize("neighbour", [(), (NOW_US // 1_000,), ("2026-11-23T10:00:00Z",)])
@pytest.mark.parametrize(
    ("item", "code", "retryable"),
    [
        ("nonsense", "ts_invalid", False),
        ("2026-11-23T10:00:00", "ts_invalid", False),
        ("2026-11-23T10:10:00.000001Z", "ts_in_future", True),
        ("9999-12-31T23:59:59Z", "ts_in_future", True),
        ("2026-11-22T09:59:59.999999Z", "ts_too_old", False),
        ("0001-01-01T00:00:00Z", "ts_too_old", False),
        (NOW_US // 1_000 + 600_001, "ts_in_future", True),
        (NOW_US // 1_000 - 86_400_001, "ts_too_old", False),
        (NOW_US // 1_000_000, "ts_unit", False),
        (0, "ts_unit", False),
        (-1, "ts_unit", False),
        (10**30, "ts_unit", False),
        (-(10**30), "ts_unit", False),
    ],
)
def test_each_trouble_has_its_code(
    item: str | int, code: str, *, retryable: bool, neighbour: tuple[str | int, ...]
) -> None:
    fault = fault_of(item, BOUNDS, *neighbour)
    assert (fault.code, fault.retryable, fault.loc) == (code, retryable, ("ts", len(neighbour)))


@pytest.mark.parametrize("edge", [NOW_US + 600_000_000, NOW_US - 86_400_000_000])
def test_the_bounds_belong_to_what_is_taken(edge: int) -> None:
    assert read_times([edge // 1_000], BOUNDS).bad is None


@pytest.mark.parametrize(
    ("number", "unit"),
    [
        (NOW_US // 1_000_000, "seconds"),
        (NOW_US, "microseconds"),
        (NOW_US * 1_000, "nanoseconds"),
        (5, None),
    ],
)
def test_the_message_says_which_unit_was_meant(number: int, unit: str | None) -> None:
    message = fault_of(number).message
    assert "milliseconds" in message
    assert ("looks like" in message) is (unit is not None)
    assert unit is None or message.endswith(unit)


@pytest.mark.parametrize("number", [FIRST_MS, LAST_MS])
def test_integers_of_the_century_are_milliseconds(number: int) -> None:
    assert read_times([number], WIDE).micros.tolist() == [number * 1_000]


@pytest.mark.parametrize("number", [FIRST_MS - 1, LAST_MS + 1])
def test_integers_beyond_it_are_not(number: int) -> None:
    assert fault_of(number, WIDE).code == "ts_unit"


def test_a_wide_retention_still_ends_with_the_century() -> None:
    assert fault_of("1999-12-31T23:59:59.999999Z", WIDE).code == "ts_too_old"
