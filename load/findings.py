"""What was acknowledged beside what is stored, both as columns: how they differ, counted and with examples. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from load.batch import rfc3339
from schemas.columns import Columns, Float64s, Int32s, Int64s, SeriesKey

CHUNK_READINGS = 500_000
"""Bounds the memory: so many acknowledged readings are compared at once (the devices of a chunk stay whole)."""

EXAMPLES = 10
"""Of each kind of fault so many are shown."""


@dataclass(slots=True)
class Findings:
    """What the comparison found. `kept` is the promise; `exact` also says that nothing else is there."""

    acknowledged: int = 0
    """Distinct readings that were acknowledged."""
    stored: int = 0
    """Rows of the same devices in the database."""
    missing: int = 0
    """Acknowledged, but not stored."""
    different: int = 0
    """Stored with other bits than those first acknowledged."""
    doubled: int = 0
    """Rows beyond the first of the same reading."""
    extra: int = 0
    """Stored, but never acknowledged: no fault where answers were lost on the way."""
    examples: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether every acknowledged reading is stored, once, as it was."""
        return not (self.missing or self.different or self.doubled)

    @property
    def exact(self) -> bool:
        """Whether what is stored is what was acknowledged, and nothing more."""
        return self.kept and not self.extra

    def __str__(self) -> str:
        counts = (
            f"{self.acknowledged:,} acknowledged, {self.stored:,} stored: {self.missing:,} missing, "
            f"{self.different:,} different, {self.doubled:,} doubled, {self.extra:,} extra"
        )
        return "\n  ".join([counts, *self.examples])


def chunks(columns: Columns) -> Iterator[Columns]:
    """Divide the record so that every device is whole; a device larger than a chunk is one by itself."""
    devices = {name: n for n, name in enumerate(dict.fromkeys(series.device for series in columns.series))}
    device_of_series = np.array([devices[series.device] for series in columns.series], np.int64)
    sizes = np.bincount(device_of_series[columns.codes], minlength=len(devices))
    chunk_of_device = np.cumsum(sizes) // CHUNK_READINGS
    chunk_of_series = chunk_of_device[device_of_series]
    for chunk in np.unique(chunk_of_series):
        members = np.flatnonzero(chunk_of_series == chunk)
        place = np.full(len(columns.series), -1, np.int32)
        place[members] = np.arange(len(members))
        mine = np.flatnonzero(place[columns.codes] >= 0)
        series = [columns.series[n] for n in members]
        yield Columns(series, place[columns.codes[mine]], columns.ts[mine], columns.value[mine])


def compare(findings: Findings, acknowledged: Columns, stored: Columns) -> None:
    """Add to the findings how two sets of columns over the same series differ."""
    _count_strays(findings, stored)
    code, ts, bits, claimed, starts = _meet(acknowledged, stored)
    if not len(starts):
        return
    claims = np.add.reduceat(claimed, starts, dtype=np.int64)
    rows = np.diff(starts, append=len(code)) - claims
    # Within a reading the claims come first, in their order: the first claim, and the first row behind the claims.
    first_row = np.minimum(starts + claims, len(code) - 1)
    both = (claims > 0) & (rows > 0)
    faults = {
        "missing": (claims > 0) & (rows == 0),
        "different": both & (bits[starts] != bits[first_row]),
        "doubled": rows > 1,
        "extra": (claims == 0) & (rows > 0),
    }
    findings.acknowledged += int(np.count_nonzero(claims))
    findings.stored += int(rows.sum())
    findings.missing += int(np.count_nonzero(faults["missing"]))
    findings.different += int(np.count_nonzero(faults["different"]))
    findings.doubled += int((rows[faults["doubled"]] - 1).sum())
    findings.extra += int(np.count_nonzero(faults["extra"]))
    for kind, where in faults.items():
        shown = sum(text.startswith(kind) for text in findings.examples)
        for n in np.flatnonzero(where)[: max(0, EXAMPLES - shown)]:
            name = _name(acknowledged.series[code[starts[n]]])
            first, row = bits[[starts[n], first_row[n]]].view(np.float64).tolist()
            value = f"{first!r} acknowledged, {row!r} stored" if kind == "different" else repr(first)
            findings.examples.append(f"{kind}: {name} at {rfc3339(int(ts[starts[n]]))}: {value}")


def _count_strays(findings: Findings, stored: Columns) -> None:
    """Count the rows of series that were never acknowledged: a name or a label went astray, or others write too."""
    strays = np.flatnonzero(stored.codes < 0)
    findings.stored += len(strays)
    findings.extra += len(strays)
    if len(strays):
        findings.examples.append(f"extra: {len(strays):,} rows of series that were never acknowledged")


def _meet(
    acknowledged: Columns, stored: Columns
) -> tuple[Int32s, Int64s, NDArray[np.uint64], NDArray[np.bool_], NDArray[np.intp]]:
    """Sort claims and rows together: code, ts, value bits, whether it is a claim; and where each reading starts."""
    known = stored.codes >= 0
    code = np.concatenate([acknowledged.codes, stored.codes[known]])
    ts = np.concatenate([acknowledged.ts, stored.ts[known]])
    value: Float64s = np.concatenate([acknowledged.value, stored.value[known]])
    claimed = np.arange(len(code)) < len(acknowledged)
    # Stable: what is equal in both keys stays in order, claims before rows.
    order = np.lexsort((ts, code))
    code, ts, claimed, bits = code[order], ts[order], claimed[order], value[order].view(np.uint64)
    new = np.ones(len(code), np.bool_)
    new[1:] = (code[1:] != code[:-1]) | (ts[1:] != ts[:-1])
    return code, ts, bits, claimed, np.flatnonzero(new)


def _name(key: SeriesKey) -> str:
    return f"{key.device} {key.metric}" + (f" {json.loads(key.labels)}" if key.labels != "{}" else "")
