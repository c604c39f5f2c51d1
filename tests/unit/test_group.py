"""Groups: the order all transactions share, duplicates within, receipts that add up, and bytes that decode back."""

import struct
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.group import DAY_US, Batch, Group, arrange
from schemas.columns import Receipt

PG_EPOCH_US = 946_684_800_000_000
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


def decoded(data: bytes, fields: int) -> list[tuple[int | float, ...]]:
    """COPY's binary format read as PostgreSQL's documentation words it, field by field."""
    assert data.startswith(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    place = 19
    rows = []
    while (count := struct.unpack_from(">h", data, place)[0]) != -1:
        assert count == fields
        place += 2
        row = []
        for kind in "iqdi"[:fields]:
            (length,) = struct.unpack_from(">i", data, place)
            assert length == struct.calcsize(kind if kind != "q" else ">q")
            row.append(struct.unpack_from(f">{kind}", data, place + 4)[0])
            place += 4 + length
        rows.append(tuple(row))
    assert place + 2 == len(data)
    return rows


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
    assert [(ts // DAY_US, series, ts) for series, ts, _ in rows] == sorted(
        (ts // DAY_US, series, ts) for series, ts in wanted
    )
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


@given(batches)
def test_the_bytes_of_copy_decode_back(contents: list[list[Reading]]) -> None:
    group = arrange([batch(items) for items in contents])
    wanted = [(series, ts - PG_EPOCH_US, struct.pack("d", value)) for series, ts, value in rows_of(group)]
    plain = [(series, ts, struct.pack("d", value)) for series, ts, value in decoded(group.as_copy(), 3)]
    assert plain == wanted
    staged = [(series, ts, struct.pack("d", value)) for series, ts, value, _ in decoded(group.as_staged_copy(), 4)]
    assert staged == wanted
    assert [row[3] for row in decoded(group.as_staged_copy(), 4)] == list(range(len(wanted)))


def test_a_retried_batch_in_one_group_with_itself_is_stored_once() -> None:
    group = arrange([batch([(1, DAY, 1.5)]), batch([(1, DAY, 2.5)])])
    assert rows_of(group) == [(1, DAY, 1.5)]
    assert group.receipts(None) == [Receipt(1, 0), Receipt(0, 1)]


def test_of_replacements_the_last_wins_and_the_count_stays_right() -> None:
    group = arrange([batch([(1, DAY, 1.5)], replace=True), batch([(1, DAY, 2.5)], replace=True)])
    assert rows_of(group) == [(1, DAY, 2.5)]
    assert sum(receipt.accepted for receipt in group.receipts(None)) == 1


def test_bits_survive() -> None:
    kept = [-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, float(2**53 + 1)]
    group = arrange([batch([(1, DAY + place, value) for place, value in enumerate(kept)])])
    assert [struct.pack("d", row[2]) for row in decoded(group.as_copy(), 3)] == [struct.pack("d", v) for v in kept]


def test_the_largest_series_id_sorts_by_the_key_of_one_integer() -> None:
    top = 2**31 - 1
    rows = [(top, DAY + DAY_US - 1, 1.0), (top, DAY, 2.0), (top - 1, DAY + DAY_US - 1, 3.0)]
    assert [row[2] for row in rows_of(arrange([batch(rows)]))] == [3.0, 2.0, 1.0]
