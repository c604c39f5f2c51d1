"""A group: the batches that one flush carries, arranged as rows for PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.columns import Bools, Float64s, Int32s, Int64s, Receipt, Rows

DAY_US = 86_400_000_000
_KEY_BITS = 63  # of an integer that holds both series and time


@dataclass(frozen=True, slots=True)
class Batch:
    """One request's readings with their series ids: what the writer takes."""

    series_id: Int32s
    ts: Int64s
    value: Float64s
    arrived_us: int
    replace: bool = False
    """Whether the last value of an identity wins, instead of the first."""
    held: int = 0
    """Memory, in bytes, that waits with it."""

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

    def batches_of(self, series: Int32s) -> set[int]:
        """Places of the batches that hold a reading of one of these series."""
        return set(self.owner[np.isin(self.rows.series_id, series)].tolist())

    def days(self) -> list[int]:
        """The days the rows belong to, as days since the Unix epoch."""
        days = self.rows.ts // DAY_US
        alike = bool((days[1:] == days[:-1]).all())  # nearly always
        return [int(day) for day in (days[:1] if alike else np.unique(days))]


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
    """The stable order by (series, ts), or None where the rows are in it already."""
    if len(ts) < 2:
        return None
    earliest = int(ts.min())
    shift = (int(ts.max()) - earliest).bit_length()
    if int(series_id.max()).bit_length() + shift > _KEY_BITS:
        return np.lexsort((ts, series_id))
    # Years of readings fit, as nearly always: one integer holds series and time, and one sort does.
    key = (series_id.astype(np.int64) << shift) + (ts - earliest)
    return None if (key[1:] >= key[:-1]).all() else np.argsort(key, kind="stable")
