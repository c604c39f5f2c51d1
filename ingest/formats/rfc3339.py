"""RFC 3339 date-times to microseconds, a column at a time.

A datetime object per reading costs 1 µs. The texts of a batch nearly always share their length, their date and their
offset, so those are read once, and the digits between them as a matrix of bytes, at a tenth of that. Digits beyond the
microsecond are cut off, as PostgreSQL could not keep them.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Bools, Int64s

FEW = 48  # texts below which the fixed cost of some twenty array operations is more than reading each alone
LONGEST = 64  # characters beyond which a text is read alone: a matrix as wide as that would be mostly cut-off digits

# Hours and minutes are bounded here, as fromisoformat takes an offset of +01:60, and in newer Pythons the hour 24.
_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:\d\d)(?:\.(\d+))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII | re.IGNORECASE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _DAY = 1_000_000, 86_400_000_000
_DATE, _TIME = 11, 19  # where `2026-11-20T` and `2026-11-20T10:00:00` end
_USUAL = 24  # characters of `2026-11-20T10:00:00.123Z`
_CLOCK = [11, 12, 14, 15, 17, 18]  # the digits of HH:MM:SS
_CLOCK_US = [36_000_000_000, 3_600_000_000, 600_000_000, 60_000_000, 10_000_000, 1_000_000]
_FRACTION_US = [100_000, 10_000, 1_000, 100, 10, 1]


def parse(texts: Sequence[str]) -> tuple[Int64s, Bools]:
    """Read date-times with an offset.

    Returns microseconds since the Unix epoch (n,) and which of them are good (n,); a bad one's number means nothing.
    """
    distinct = dict.fromkeys(texts)
    if 2 * len(distinct) <= len(texts):  # several metrics at each time
        micros, good = _parse_distinct(list(distinct))
        places = dict(zip(distinct, range(len(distinct)), strict=True))
        where = np.fromiter(map(places.__getitem__, texts), np.int64, len(texts))
        return micros[where], good[where]
    return _parse_distinct(texts)


def _parse_distinct(texts: Sequence[str]) -> tuple[Int64s, Bools]:
    if len(texts) < FEW:
        return _parse_few(texts)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if (lengths == lengths[0]).all():
        return _parse_alike(texts, int(lengths[0]))
    micros, good = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        micros[places], good[places] = _parse_alike([texts[place] for place in places.tolist()], int(length))
    return micros, good


def _parse_few(texts: Sequence[str]) -> tuple[Int64s, Bools]:
    minutes: dict[str, int | None] = {}
    numbers = [_parse_usual(text, minutes) or _parse_one(text) for text in texts]
    good = np.array([number is not None for number in numbers], np.bool_)
    return np.array([number or 0 for number in numbers], np.int64), good


def _parse_usual(text: str, minutes: dict[str, int | None]) -> int | None:
    """Read what most devices send, UTC in milliseconds, by the minutes read before; None for anything else."""
    digits = text[17:19] + text[20:23]
    if len(text) != _USUAL or text[19] != "." or text[23] != "Z" or not (digits.isdecimal() and digits.isascii()):
        return None
    minute = text[:17]
    if minute not in minutes:
        minutes[minute] = _parse_one(minute + "00Z")
    start = minutes[minute]
    return None if start is None or digits >= "60" else start + int(digits) * 1_000


def _parse_one(text: str) -> int | None:
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    whole, fraction, offset = found.groups()
    try:
        moment = datetime.fromisoformat(whole + ("+00:00" if offset in "Zz" else offset))
        since = moment - _EPOCH
    except (ValueError, OverflowError):
        return None
    micros = int(f"{fraction or '':0<6.6}")
    return since.days * _DAY + since.seconds * _SECOND + micros


def _parse_alike(texts: Sequence[str], length: int) -> tuple[Int64s, Bools]:
    """Read texts of one length: those with the date and the offset of the first one together, any others alone."""
    first = texts[0]
    body = length - (1 if first[-1:] in "Zz" else 6)
    if length > LONGEST or _parse_one(first) is None:
        return _parse_few(texts)
    try:
        chars = np.array(texts, dtype=f"S{length}").view(np.uint8).reshape(len(texts), length).T.copy()
    except UnicodeEncodeError:
        return _parse_few(texts)
    midnight = _parse_one(first[:_DATE] + "00:00:00" + first[body:])
    micros, good = _read_clock(chars, body)
    micros += midnight or 0
    if not good.all():
        places = np.flatnonzero(~good)
        micros[places], good[places] = _parse_few([texts[place] for place in places.tolist()])
    return micros, good


def _read_clock(chars: NDArray[np.uint8], body: int) -> tuple[Int64s, Bools]:
    """Microseconds since midnight from a matrix of characters (length, n), a column a text.

    Good are the texts that have digits where times have, within their bounds, and elsewhere what the first text has.
    """
    fixed = [*range(_DATE), 13, 16, *range(_TIME, min(body, _TIME + 1)), *range(body, len(chars))]
    good: Bools = (chars[fixed] == chars[fixed, :1]).all(axis=0)
    places = [*_CLOCK, *range(_TIME + 1, body)]
    digits = chars[places] - np.uint8(48)  # what is no digit wraps to more than 9
    good &= (digits <= 9).all(axis=0)
    good &= (digits[0] * 10 + digits[1] < 24) & (digits[2] < 6) & (digits[4] < 6)
    weights = (_CLOCK_US + _FRACTION_US)[: len(digits)]
    # In float64, which BLAS multiplies and which holds a day's microseconds exactly.
    micros = np.array(weights, np.float64) @ digits[: len(weights)].astype(np.float64)
    return micros.astype(np.int64), good
