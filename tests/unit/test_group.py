"""Groups: the order all transactions share, duplicates within, receipts that add up."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.group import DAY_US, Batch, Group, arrange
from schemas.columns import Receipt

DAY = 20_000 * DAY_US

Reading = tuple[int, int, float]

values = st.floats(allow_nan=False, allow_infinity=False)
readings = st.tuples(
    st.integers(1, 4), st.one_of(st.integers(DAY, DAY + 3), st.integers(DAY - DAY_US, DAY + 2 * DAY_US)), values
)
batches = st.lists(st.lists(readings, max_size=6), min_size=1, max_size=5)


def batch(items: list[Reading], arrived_us: int = DAY, *, replace: bool = False) -> Batch:
    """A batch of (series, ts, value)."""
    series = np.array([series for series, _, _ in items], np.int32)
    ts = np.array([ts for _, ts, _ in items], np.int64)
    return Batch(series, ts, np.array([value for _, _, value in items], np.float64), arrived_us, replace)


def rows_of(group: Group) -> list[Reading]:
    """The rows of a group, as they lie."""
    rows = group.rows
    return list(zip(rows.series_id.tolist(), rows.ts.tolist(), rows.value.tolist(), strict=True))


@given(batches, st.booleans())
def test_one_row_an_identity_the_first_or_the_last_in_the_shared_order(
    contents: list[list[Reading]], replace: bool
) -> None:
    group = arrange([batch(items, DAY + number, replace=replace) for number, items in enumerate(contents)])
    wanted: dict[tuple[int, int], tuple[float, int]] = {}
    for number, items in enumerate(contents):
        for series, ts, value in items:
            if replace or (series, ts) not in wanted:
                wanted[series, ts] = (value, number)
    rows = rows_of(group)
    assert {(series, ts): value for series, ts, value in rows} == {key: value for key, (value, _) in wanted.items()}
    assert [(series, ts) for series, ts, _ in rows] == sorted(wanted)
    assert group.owner.tolist() == [wanted[series, ts][1] for series, ts, _ in rows]
    assert group.rows.arrived.tolist() == [DAY + wanted[series, ts][1] for series, ts, _ in rows]
    assert group.days() == sorted({ts // DAY_US for _, ts, _ in rows})
    assert group.replace is replace


@given(batches, st.data())
def test_receipts_add_up_to_what_each_batch_sent(contents: list[list[Reading]], data: st.DataObject) -> None:
    group = arrange([batch(items) for items in contents])
    new = np.array(data.draw(st.lists(st.booleans(), min_size=len(group.rows), max_size=len(group.rows))), np.bool_)
    for receipts, accepted in ((group.receipts(None), len(group.rows)), (group.receipts(new), int(new.sum()))):
        assert [receipt.accepted + receipt.duplicates for receipt in receipts] == [len(items) for items in contents]
        assert sum(receipt.accepted for receipt in receipts) == accepted
    counts = Counter(group.owner[new].tolist())
    assert [receipt.accepted for receipt in group.receipts(new)] == [counts[number] for number in range(len(contents))]


def test_a_retried_batch_in_one_group_with_itself_is_stored_once() -> None:
    group = arrange([batch([(1, DAY, 1.5)]), batch([(1, DAY, 2.5)])])
    assert rows_of(group) == [(1, DAY, 1.5)]
    assert group.receipts(None) == [Receipt(1, 0), Receipt(0, 1)]


def test_of_replacements_the_last_wins_and_the_count_stays_right() -> None:
    group = arrange([batch([(1, DAY, 1.5)], replace=True), batch([(1, DAY, 2.5)], replace=True)])
    assert rows_of(group) == [(1, DAY, 2.5)]
    assert sum(receipt.accepted for receipt in group.receipts(None)) == 1


def test_the_largest_series_id_sorts_by_the_key_of_one_integer() -> None:
    top = 2**31 - 1
    rows = [(top, DAY + DAY_US - 1, 1.0), (top, DAY, 2.0), (top - 1, DAY + DAY_US - 1, 3.0)]
    assert [row[2] for row in rows_of(arrange([batch(rows)]))] == [3.0, 2.0, 1.0]


def test_series_and_times_too_far_apart_for_one_integer_are_sorted_all_the_same() -> None:
    top = 2**31 - 1
    rows = [(top, DAY + 4_000 * DAY_US, 1.0), (top, DAY, 2.0), (1, DAY + 4_000 * DAY_US, 3.0)]
    assert [row[2] for row in rows_of(arrange([batch(rows)]))] == [3.0, 2.0, 1.0]
