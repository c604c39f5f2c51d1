"""A group: the batches that one flush carries, arranged as rows for PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.columns import Bools, Float64s, Int32s, Int64s, Receipt, Rows

DAY_US = 86_400_000_000
_PG_EPOCH_US = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000-01-01
_SERIES_SHIFT = 37  # bits that hold a day's microseconds

# One tuple of COPY's binary format: the number of fields, then each field's length and bytes, all big-endian.
# (PostgreSQL documentation, "COPY", Binary Format.)
_TUPLE = np.dtype(
    [
        ("fields", ">i2"),
        ("series_id_length", ">i4"),
        ("series_id", ">i4"),
        ("ts_length", ">i4"),
        ("ts", ">i8"),
        ("value_length", ">i4"),
        ("value", ">f8"),
    ]
)
_STAGED_TUPLE = np.dtype([*_TUPLE.descr, ("place_length", ">i4"), ("place", ">i4")])
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"


@dataclass(frozen=True, slots=True)
class Batch:
    """One request's readings with their series ids: what the writer takes."""

    series_id: Int32s
    ts: Int64s
    value: Float64s
    arrived_us: int
    replace: bool = False
    """Whether the last value of an identity wins, instead of the first."""

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(slots=True)
class Group:
    """Batches arranged for one transaction."""

    rows: Rows
    owner: Int32s
    """(n,) the batch each row came from."""
    sizes: list[int]
    """Readings of each batch, with those that were duplicates within the group."""
    replace: bool

    def receipts(self, new: Bools | None) -> list[Receipt]:
        """What to tell each batch, given which rows were new (None: all)."""
        owners = self.owner if new is None else self.owner[new]
        accepted = np.bincount(owners, minlength=len(self.sizes)).tolist()
        return [Receipt(count, size - count) for count, size in zip(accepted, self.sizes, strict=True)]

    def days(self) -> list[int]:
        """The days the rows belong to, as days since the Unix epoch."""
        return [int(day) for day in np.unique(self.rows.ts // DAY_US)]

    def as_copy(self) -> bytes:
        """The rows in COPY's binary format: series_id, ts, value."""
        return _encode(self.rows, _TUPLE, 3)

    def as_staged_copy(self) -> bytes:
        """The same with each row's place, by which the answer of a staged insert names it."""
        return _encode(self.rows, _STAGED_TUPLE, 4)


def arrange(batches: Sequence[Batch]) -> Group:
    """Put the rows of batches in the order all transactions share, one row an identity.

    Of several readings of one identity the first stays, or the last in a group of replacements; stably, so that the
    order of arrival decides.
    """
    sizes = [len(batch) for batch in batches]
    series_id: Int32s = np.concatenate([batch.series_id for batch in batches])
    ts: Int64s = np.concatenate([batch.ts for batch in batches])
    value = np.concatenate([batch.value for batch in batches])
    owner = np.repeat(np.arange(len(batches), dtype=np.int32), sizes)
    arrived = np.repeat(np.array([batch.arrived_us for batch in batches], np.int64), sizes)
    replace = batches[0].replace if batches else False
    rows = Rows(series_id, ts, value, arrived)
    order = _order(series_id, ts)
    if order is not None:
        rows, owner = rows.take(order), owner[order]
    same = (rows.series_id[1:] == rows.series_id[:-1]) & (rows.ts[1:] == rows.ts[:-1])
    if same.any():
        keep = np.ones(len(rows), np.bool_)
        if replace:
            keep[:-1] = ~same
        else:
            keep[1:] = ~same
        rows, owner = rows.take(keep), owner[keep]
    return Group(rows, owner, sizes, replace)


def _order(series_id: Int32s, ts: Int64s) -> Int64s | None:
    """The stable order by (day, series, ts), or None where the rows are in it already."""
    if len(ts) < 2:
        return None
    day = ts // DAY_US
    if day[0] == day[-1] and (day == day[0]).all():
        # One day, as nearly always: one integer holds series and time, and one sort does.
        key = (series_id.astype(np.int64) << _SERIES_SHIFT) + (ts - day[0] * DAY_US)
        return None if (key[1:] >= key[:-1]).all() else np.argsort(key, kind="stable")
    return np.lexsort((ts, series_id, day))


def _encode(rows: Rows, layout: np.dtype[np.void], fields: int) -> bytes:
    tuples = np.empty(len(rows), layout)
    tuples["fields"] = fields
    tuples["series_id_length"], tuples["series_id"] = 4, rows.series_id
    tuples["ts_length"], tuples["ts"] = 8, rows.ts - _PG_EPOCH_US
    tuples["value_length"], tuples["value"] = 8, rows.value
    if layout is _STAGED_TUPLE:
        tuples["place_length"], tuples["place"] = 4, np.arange(len(rows), dtype=np.int32)
    return b"".join((_HEADER, tuples.tobytes(), _TRAILER))
