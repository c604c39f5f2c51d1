"""Folding: the order of sums is laid down, so that however the readings are cut, the bits are the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from query.cells import Cells, fold, joined, levels, merge, of_readings

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000

times = st.integers(0, 3 * DAY // 1_000).map(lambda ms: ms * 1_000)
series = st.dictionaries(times, st.floats(allow_nan=False, allow_infinity=False, width=64), max_size=40)


def cells_of(readings: dict[int, float]) -> Cells:
    ordered = sorted(readings.items())
    return of_readings(
        np.array([ts for ts, _ in ordered], np.int64), np.array([value for _, value in ordered], np.float64)
    )


def shown(cells: Cells) -> str:
    """Tells -0.0 from 0.0."""
    return repr([getattr(cells, name).tolist() for name in Cells.__slots__])


def test_the_levels_of_a_bucket() -> None:
    assert levels(7_000_000) == [7_000_000]
    assert levels(MINUTE) == [MINUTE]
    assert levels(5 * MINUTE) == [MINUTE, 5 * MINUTE]
    assert levels(DAY) == [MINUTE, HOUR, DAY]
    assert levels(7 * DAY) == [MINUTE, HOUR, DAY, 7 * DAY]


@given(series, st.sampled_from([7_000_000, MINUTE, HOUR]), st.integers(0, 40))
def test_going_on_with_an_unfinished_cell_makes_no_difference(readings: dict[int, float], width: int, cut: int) -> None:
    cells = cells_of(readings)
    first, rest = cells.take(slice(None, cut)), cells.take(slice(cut, None))
    begun = fold(first, width)
    ended = fold(joined([begun.take(slice(-1, None)), rest]), width)
    assert shown(joined([begun.take(slice(None, -1)), ended])) == shown(fold(cells, width))


@given(st.lists(series, min_size=1, max_size=3), st.sampled_from([MINUTE, DAY]))
def test_merging_is_a_loop_over_series(many: list[dict[int, float]], width: int) -> None:
    parts = [fold(cells_of(readings), width) for readings in many]
    merged = merge(parts)
    starts = sorted({start for part in parts for start in part.start.tolist()})
    assert merged.start.tolist() == starts
    for place, start in enumerate(starts):
        mine = [part.take(np.flatnonzero(part.start == start)) for part in parts]
        mine = [part for part in mine if len(part)]
        total = -0.0
        for part in mine:
            total += float(part.sum[0])
        earliest = min(mine, key=lambda part: int(part.first_us[0]))
        latest = max(reversed(mine), key=lambda part: int(part.last_us[0]))
        assert repr(float(merged.sum[place])) == repr(total)
        assert merged.count[place] == sum(int(part.count[0]) for part in mine)
        assert repr(float(merged.first[place])) == repr(float(earliest.first[0]))
        assert repr(float(merged.last[place])) == repr(float(latest.last[0]))
        assert merged.min[place] == min(part.min[0] for part in mine)
        assert merged.max[place] == max(part.max[0] for part in mine)


def test_nothing_is_folded_into_nothing() -> None:
    empty = joined([])
    assert len(fold(empty, MINUTE)) == len(merge([empty])) == len(merge([empty, empty])) == 0


def test_sums_are_rounded_after_each_term() -> None:
    values = np.full(1_000, 0.1)
    cells = fold(of_readings(np.arange(1_000) * 1_000, values), MINUTE)
    total = 0.0
    for value in values.tolist():
        total += value
    assert cells.sum.tolist() == [total]
    assert total != np.sum(values), "numpy adds as we do: this shows nothing"
