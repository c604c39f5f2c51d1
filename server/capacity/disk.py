"""Bytes: what readings, rollups and names take on PostgreSQL's disk."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.costs import Shape
from server.capacity.demand import DAY_S, Fleet, Keep

PIECE = 160  # readings of a piece, at most: `LONGEST` of query/packing.py
FEW_A_MINUTE = 2  # readings of a minute that its rollup keeps in little room


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes once every span is full."""

    raw: float
    """Of days that are not packed yet."""
    packed: float
    rollups: float
    """Without days of time, which are kept for ever: `growth_a_year`."""
    names: float
    """Series, devices and newest values."""
    a_day: float
    """Of readings, as long as they are not packed."""
    growth_a_year: float
    """What never goes: a rollup of each day."""

    @property
    def total(self) -> float:
        """Without the log."""
        return self.raw + self.packed + self.rollups + self.names


def raw_bytes(table: Mapping[str, float], shape: Shape) -> float:
    """A reading as it comes, its keys included."""
    if not shape.is_runs:
        return table["disk.row"]
    return table["disk.run_reading"] + table["disk.run"] * shape.tuples / shape.readings


def packed_bytes(table: Mapping[str, float], interval_s: float) -> float:
    """A reading of an old day: pieces hold a day of a series at most."""
    a_day = max(1.0, DAY_S / interval_s)
    return table["disk.packed_reading"] + table["disk.piece"] * math.ceil(a_day / PIECE) / a_day


def disk(table: Mapping[str, float], fleet: Fleet, keep: Keep) -> Disk:
    """What it comes to."""
    a_day = fleet.readings_per_s * DAY_S
    each = raw_bytes(table, fleet.shape)
    # Today, and whole days until they are packed; a day goes as a whole, one day after its last reading became too old.
    days = keep.retention + 1
    unpacked = min(days, keep.pack_after + 1)
    minutes, hours, whole = (_cells(fleet, width_s) for width_s in (60, 3_600, DAY_S))
    minute = table["disk.minute_few" if 60 / fleet.interval_s <= FEW_A_MINUTE else "disk.minute_many"]
    return Disk(
        raw=a_day * each * unpacked,
        packed=a_day * packed_bytes(table, fleet.interval_s) * (days - unpacked),
        rollups=minutes * minute * keep.minutes + hours * table["disk.hour"] * keep.hours,
        names=fleet.series * table["disk.series"],
        a_day=a_day * each,
        growth_a_year=whole * table["disk.day"] * 365,
    )


def _cells(fleet: Fleet, width_s: int) -> float:
    """Rollups of that width that a day fills."""
    return fleet.series * DAY_S / max(width_s, fleet.interval_s)
