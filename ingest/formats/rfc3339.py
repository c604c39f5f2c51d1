"""RFC 3339 date-times to microseconds, a column at a time.

A datetime object per reading costs 0.5 µs; reading the digits of all texts of one length as one matrix of bytes costs
about a tenth of that. Digits beyond the microsecond are cut off, as PostgreSQL could not keep them.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Bools, Int64s

FEW = 96  # texts below which the fixed cost of some sixty array operations is more than the objects cost

LONGEST = 64  # characters beyond which a text is read alone: a matrix as wide as that would be mostly cut-off digits

# Hours and minutes are bounded here, as fromisoformat takes an offset of +01:60, and in newer Pythons the hour 24.
_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:\d\d)(?:\.(\d+))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII | re.IGNORECASE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _MINUTE, _HOUR, _DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
_SEPARATORS = ((4, b"-"), (7, b"-"), (10, b"Tt"), (13, b":"), (16, b":"))
_MONTH_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def parse(texts: Sequence[str]) -> tuple[Int64s, Bools]:
    """Read date-times with an offset.

    Returns microseconds since the Unix epoch (n,) and which of them are good (n,); a bad one's number means nothing.
    """
    if len(texts) < FEW:
        return _parse_few(texts)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if (lengths == lengths[0]).all():
        return _parse_equal_length(texts, int(lengths[0]))
    micros, good = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        micros[places], good[places] = _parse_equal_length([texts[place] for place in places.tolist()], int(length))
    return micros, good


def _parse_few(texts: Sequence[str]) -> tuple[Int64s, Bools]:
    numbers = [_parse_one(text) for text in texts]
    good = np.array([number is not None for number in numbers], np.bool_)
    return np.array([number or 0 for number in numbers], np.int64), good


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


def _parse_equal_length(texts: Sequence[str], length: int) -> tuple[Int64s, Bools]:
    count = len(texts)
    bad = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    if length < 20:
        return bad
    if length > LONGEST:
        return _parse_few(texts)
    try:
        chars = np.array(texts, dtype=f"S{length}").view(np.uint8).reshape(count, length)
    except UnicodeEncodeError:
        return _parse_few(texts)
    zulu = (chars[:, -1] | 0x20) == ord("z")
    if zulu.all():
        return _parse_matrix(chars, length - 1)
    micros, good = bad
    for places, body in ((np.flatnonzero(zulu), length - 1), (np.flatnonzero(~zulu), length - 6)):
        if len(places) and body >= 19:
            micros[places], good[places] = _parse_matrix(chars[places], body)
    return micros, good


def _parse_matrix(chars: NDArray[np.uint8], body: int) -> tuple[Int64s, Bools]:
    """Read (n, length) bytes whose first `body` are date, time and fraction, and whose rest is the offset."""
    digits = (chars - np.uint8(48)).astype(np.int64)  # what is no digit wraps to more than 9
    digit_places = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, *range(20, body)]
    good = np.ones(len(chars), np.bool_)
    for place, allowed in _SEPARATORS:
        good &= np.isin(chars[:, place], np.frombuffer(allowed, np.uint8))
    if body > 19:
        good &= (chars[:, 19] == ord(".")) & (body > 20)
    offset, offset_digits = _offset(chars, digits, body, good)
    good &= (digits[:, digit_places + offset_digits] <= 9).all(axis=1)

    def pair(place: int) -> Int64s:
        return digits[:, place] * 10 + digits[:, place + 1]

    year, month, day = pair(0) * 100 + pair(2), pair(5), pair(8)
    hour, minute, second = pair(11), pair(14), pair(17)
    good &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24) & (minute < 60) & (second < 60)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good &= day <= _MONTH_DAYS[np.where(good, month, 0)] - ((month == 2) & ~leap)
    micros = _days_from_civil(year, month, day) * _DAY + hour * _HOUR + minute * _MINUTE + second * _SECOND
    for power, place in enumerate(range(20, min(body, 26))):
        micros += digits[:, place] * 10 ** (5 - power)
    return micros - offset, good


def _offset(chars: NDArray[np.uint8], digits: Int64s, body: int, good: Bools) -> tuple[Int64s | int, list[int]]:
    """Read ±HH:MM behind the body, if that is what stands there; narrows `good` in place."""
    if chars.shape[1] - body == 1:
        return 0, []
    hours = digits[:, body + 1] * 10 + digits[:, body + 2]
    minutes = digits[:, body + 4] * 10 + digits[:, body + 5]
    sign = chars[:, body]
    good &= ((sign == ord("+")) | (sign == ord("-"))) & (chars[:, body + 3] == ord(":"))
    good &= (hours < 24) & (minutes < 60)
    micros = np.where(sign == ord("-"), -1, 1) * (hours * _HOUR + minutes * _MINUTE)
    return micros, [body + 1, body + 2, body + 4, body + 5]


def _days_from_civil(year: Int64s, month: Int64s, day: Int64s) -> Int64s:
    """Days since 1970-01-01 in the proleptic Gregorian calendar.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil: years that begin in March, so
    that the leap day is a year's last.
    """
    year = year - (month <= 2)
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: Int64s = era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468
    return days
