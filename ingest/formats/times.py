"""A column of times as devices send them, to microseconds, with what is wrong with each."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ingest.formats import rfc3339
from schemas.columns import Bools, Int64s
from schemas.errors import Fault, Loc

FIRST_MS, LAST_MS = 946_684_800_000, 4_102_444_800_000  # 2000-01-01 and 2100-01-01, in milliseconds since the epoch
_UNITS = {"seconds": 0.001, "microseconds": 1_000, "nanoseconds": 1_000_000}  # units of each in a millisecond
_FAR = 1 << 62  # where integers too large for the column are put: outside any bound


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a request may hold, as of its arrival."""

    oldest_us: int
    """Readings before this are past the retention."""
    newest_us: int
    """Readings after this are too far ahead of the server's clock."""
    max_readings: int = 10_000


class _Trouble(IntEnum):
    NONE = 0
    TEXT = 1
    UNIT = 2
    FUTURE = 3
    OLD = 4


@dataclass(frozen=True, slots=True)
class Times:
    """Microseconds since the epoch (n,), and where they are not to be used."""

    micros: Int64s
    bad: Bools | None
    """(n,), or None where all are good."""
    trouble: NDArray[np.uint8] | None
    raw: Sequence[str | int]

    def fault(self, place: int, loc: Loc) -> Fault:
        """What is wrong with the time at `place`."""
        trouble = _Trouble.NONE if self.trouble is None else _Trouble(int(self.trouble[place]))
        if trouble is _Trouble.UNIT:
            return Fault(loc, "ts_unit", _unit_message(self.raw[place]))
        if trouble is _Trouble.FUTURE:
            return Fault(loc, "ts_in_future", "further ahead of the server's clock than it allows", retryable=True)
        if trouble is _Trouble.OLD:
            return Fault(loc, "ts_too_old", "older than readings are kept")
        return Fault(loc, "ts_invalid", "not an RFC 3339 date-time with an offset, such as 2026-11-20T10:00:00.123Z")


def read_times(raw: Sequence[str | int], bounds: Bounds) -> Times:
    """Read RFC 3339 texts and integer milliseconds, mixed as they come."""
    trouble: NDArray[np.uint8] | None = None
    kinds = set(map(type, raw))
    if kinds == {str}:
        micros, good = rfc3339.parse(raw)  # type: ignore[arg-type]
        if not good.all():
            trouble = np.where(good, _Trouble.NONE, _Trouble.TEXT).astype(np.uint8)
    elif kinds == {int}:
        micros, trouble = _from_milliseconds(raw)  # type: ignore[arg-type]
    else:
        micros, trouble = _mixed(raw)
    late, early = micros > bounds.newest_us, micros < max(bounds.oldest_us, FIRST_MS * 1_000)
    if trouble is None and not (late.any() or early.any()):
        return Times(micros, None, None, raw)
    if trouble is None:
        trouble = np.zeros(len(raw), np.uint8)
    unseen = trouble == _Trouble.NONE
    trouble[unseen & late] = _Trouble.FUTURE
    trouble[unseen & early] = _Trouble.OLD
    return Times(micros, trouble != _Trouble.NONE, trouble, raw)


def _from_milliseconds(raw: Sequence[int]) -> tuple[Int64s, NDArray[np.uint8] | None]:
    try:
        millis = np.array(raw, np.int64)
    except OverflowError:
        millis = np.array([min(max(number, -_FAR), _FAR) for number in raw], np.int64)
    outside = (millis < FIRST_MS) | (millis > LAST_MS)
    if not outside.any():
        return millis * 1_000, None
    return np.where(outside, FIRST_MS, millis) * 1_000, np.where(outside, _Trouble.UNIT, 0).astype(np.uint8)


def _mixed(raw: Sequence[str | int]) -> tuple[Int64s, NDArray[np.uint8] | None]:
    micros, trouble = np.zeros(len(raw), np.int64), np.zeros(len(raw), np.uint8)
    texts = [place for place, item in enumerate(raw) if isinstance(item, str)]
    numbers = [place for place, item in enumerate(raw) if not isinstance(item, str)]
    micros[texts], good = rfc3339.parse([str(raw[place]) for place in texts])
    trouble[texts] = np.where(good, _Trouble.NONE, _Trouble.TEXT)
    micros[numbers], outside = _from_milliseconds([int(raw[place]) for place in numbers])
    trouble[numbers] = 0 if outside is None else outside
    return micros, trouble if trouble.any() else None


def _unit_message(number: str | int) -> str:
    message = "an integer time is milliseconds since the Unix epoch, from 2000-01-01 to 2100-01-01"
    for unit, per_ms in _UNITS.items():
        if FIRST_MS * per_ms <= int(number) <= LAST_MS * per_ms:
            return f"{message}; this looks like {unit}"
    return message
