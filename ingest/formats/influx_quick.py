"""The quick reader of line protocol: lines of the common shape, whole columns at a time.

The common shape has neither quotes nor backslashes, one space between its parts, a time of as many digits as its
neighbours' (or none, as they), and numbers or booleans as values. What it reads, the strict reader reads alike; what it
does not recognise it leaves to that one, so nothing here has to know what is wrong with a line.
"""

from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

from ingest.formats.influx_line import BOOLEANS
from ingest.formats.influx_points import Points
from schemas.columns import Bools, Float64s, Int64s

Bytes = NDArray[np.uint8]
Odd = list[tuple[int, int]]
"""Lines that were not recognised: the number, from 1, and the offset of each, in order."""

_LF, _SPACE, _QUOTE, _HASH, _COMMA, _MINUS, _EQUALS, _BACKSLASH = b'\n "#,-=\\'
_I, _U, _DOT = b"iu."
_MAX_DIGITS = 18  # of integers that fit into 64 bits whatever they are
_TIME_DIGITS = 24  # in three words of eight
_WORD = 8


def read_quick(body: bytes, most: int) -> tuple[Points, Odd]:
    """The points of the lines that are recognised, in order, and where all others are.

    Of a body with more than `most` fields none is: the strict reader stops where that is too many.
    """
    raw = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(raw == _LF)
    if len(body) and raw[-1] != _LF:
        ends = np.append(ends, len(body))
    starts = np.concatenate([np.zeros(min(1, len(ends)), np.int64), ends[:-1] + 1])
    spaces = np.flatnonzero(raw == _SPACE)
    good, parts = _recognise(body, raw, starts, ends, spaces)
    numbers = np.arange(1, len(ends) + 1) if good is None else np.flatnonzero(good) + 1
    if len(numbers) == 0:
        return nothing(), _odd(starts, ends, good)
    if good is not None:
        lines = body.split(b"\n")
        body = b"\n".join([lines[number - 1] for number in numbers.tolist()])
    read = _read(body.split(), parts, numbers, most)
    if read is None:  # not even nearly line protocol, or too much of it
        return nothing(), _odd(starts, ends, np.zeros(len(ends), np.bool_))
    points, unsure = read
    if unsure.any():
        points = points.only(~np.isin(points.line, numbers[unsure]))
        good = np.ones(len(ends), np.bool_) if good is None else good
        good[numbers[unsure] - 1] = False
    return points, _odd(starts, ends, good)


def nothing() -> Points:
    """No points."""
    return Points([], np.empty(0), np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0, np.int64))


def _odd(starts: Int64s, ends: Int64s, good: Bools | None) -> Odd:
    """The other lines, but for empty ones."""
    if good is None:
        return []
    places = np.flatnonzero(~good & (ends > starts))
    return list(zip((places + 1).tolist(), starts[places].tolist(), strict=True))


def _recognise(body: bytes, raw: Bytes, starts: Int64s, ends: Int64s, spaces: Int64s) -> tuple[Bools | None, int]:
    """Which lines are of the common shape, as far as spaces and strange characters tell (None: all); and their parts:
    three with a time, two without."""
    count = len(ends)
    strange = b'"' in body or b"\\" in body or np.count_nonzero(raw < _SPACE) > body.count(b"\n")
    parts = 3 if len(spaces) > count else 2
    if not strange and len(spaces) == count * (parts - 1) and not (raw[starts] == _HASH).any():
        gaps = spaces.reshape(count, parts - 1)
        edges = np.column_stack([starts - 1, gaps, ends])
        if (np.diff(edges, axis=1) > 1).all():
            return None, parts
    first = np.searchsorted(spaces, starts)
    within = np.searchsorted(spaces, ends) - first
    good: Bools = (within == parts - 1) & (ends > starts)
    places = np.flatnonzero(good)
    previous = starts[places] - 1
    for part in range(parts - 1):
        space = spaces[first[places] + part]
        good[places] &= space > previous + 1
        previous = space
    good[places] &= ends[places] > previous + 1
    good &= raw[np.minimum(starts, len(raw) - 1)] != _HASH
    if strange:
        found = (raw == _QUOTE) | (raw == _BACKSLASH) | ((raw < _SPACE) & (raw != _LF))
        good &= ~np.logical_or.reduceat(found, starts)
    return good, parts


def _read(tokens: list[bytes], parts: int, numbers: Int64s, most: int) -> tuple[Points, Bools] | None:
    """Points of lines in `parts` each, and (lines,) which of them have to be looked at again; None: all."""
    heads, fields = tokens[0::parts], tokens[1::parts]
    text = b",".join(fields)
    raw = np.frombuffer(text, np.uint8)
    equals, ends = np.flatnonzero(raw == _EQUALS), np.append(np.flatnonzero(raw == _COMMA), len(raw))
    if len(ends) > most or len(equals) != len(ends) or (equals > ends).any() or (equals[1:] < ends[:-1]).any():
        return None
    unsure = np.zeros(len(heads), np.bool_)
    if len(ends) == len(heads):
        line = np.arange(len(heads))
        named = heads
    else:
        lengths = np.fromiter(map(len, fields), np.int64, len(fields))
        last = np.searchsorted(ends, np.cumsum(lengths + 1) - 1)  # field of each line
        counts = np.diff(last, prepend=-1)
        line = np.repeat(np.arange(len(heads)), counts)
        named = list(chain.from_iterable(map(repeat, heads, counts.tolist())))
    names, value, doubtful = _values(text, raw, equals, ends)
    unsure[line[doubtful]] = True
    timed = parts == 3
    time = np.zeros(len(heads), np.int64)
    if timed:
        time, wrong = _times(tokens[2::parts])
        unsure |= wrong
    keys = list(zip(named, names, strict=True))
    return Points(keys, value, time[line], np.full(len(keys), timed), numbers[line]), unsure


def _values(text: bytes, raw: Bytes, equals: Int64s, ends: Int64s) -> tuple[list[bytes], Float64s, Bools]:
    """Names, values, and which values are none that could be read here, of `name=value,name=value`."""
    last = raw[ends - 1]
    integer = (last == _I) | (last == _U)
    plain = ((last >= 48) & (last <= 57)) | (last == _DOT)
    doubtful = ends - equals < 2
    has_integers = bool(integer.any())
    if has_integers:
        doubtful |= integer & ~_is_integer(raw, equals + 1, ends - 1, last == _U)
        text = (text + b",").replace(b"i,", b",").replace(b"u,", b",")[:-1]
    parts = text.replace(b"=", b",").split(b",")
    names, texts = parts[0::2], parts[1::2]
    other = ~(plain | integer)
    booleans = {place: BOOLEANS.get(texts[place]) for place in np.flatnonzero(other).tolist()}
    for place in chain(booleans, np.flatnonzero(doubtful).tolist()):
        texts[place] = b"0"
    value = _floats(texts)
    if has_integers:
        value[integer] += 0.0  # of integers, -0 is 0
    for place, boolean in booleans.items():
        value[place] = np.nan if boolean is None else boolean
    doubtful |= ~np.isfinite(value)
    return names, value, doubtful


def _is_integer(raw: Bytes, starts: Int64s, ends: Int64s, unsigned: Bools) -> Bools:
    """Whether these spans are digits, of signed ones perhaps behind a minus, and few enough for 64 bits."""
    others = np.zeros(len(raw) + 1, np.int32)
    np.cumsum((raw - 48) > 9, out=others[1:])
    minus = (raw[np.minimum(starts, len(raw) - 1)] == _MINUS) & ~unsigned
    digits = ends - starts - minus
    found: Bools = (others[ends] - others[starts] == minus) & (digits >= 1) & (digits <= _MAX_DIGITS)
    return found


def _floats(texts: list[bytes]) -> Float64s:
    """Numbers; NaN where a text is none."""
    if b"_" not in b",".join(texts):  # which Python would read over
        try:
            return np.array(list(map(float, texts)))
        except ValueError:
            pass
    return np.array([_float(text) for text in texts])


def _float(text: bytes) -> float:
    try:
        return np.nan if b"_" in text else float(text)
    except ValueError:
        return np.nan


def _times(texts: list[bytes]) -> tuple[Int64s, Bools]:
    """Integers of as many digits as the first, and which of them are none."""
    count, digits = len(texts), min(len(texts[0]), 19)
    joined = b"".join(texts)
    wrong = np.zeros(count, np.bool_)
    if len(joined) != count * digits or len(set(map(len, texts))) > 1:
        wrong = np.fromiter(map(len, texts), np.int64, count) != digits
        filler = b"0" * digits
        joined = b"".join([filler if bad else text for text, bad in zip(texts, wrong.tolist(), strict=True)])
    padded = np.zeros((count, _TIME_DIGITS), np.uint8)
    padded[:, _TIME_DIGITS - digits :] = np.frombuffer(joined, np.uint8).reshape(count, digits) - 48
    if (padded > 9).any():
        wrong |= (padded > 9).any(axis=1)
    # Eight digits at a time: pairs, then fours, then all of them, each by one multiplication over the whole column.
    words = padded.view("<u8")
    words = (words * 10 + (words >> 8)) & 0x00FF00FF00FF00FF
    words = (words * 100 + (words >> 16)) & 0x0000FFFF0000FFFF
    words = (words * 10_000 + (words >> 32)) & 0x00000000FFFFFFFF
    eights = words.astype(np.int64)
    wrong |= eights[:, 0] >= 900  # beyond 64 bits, or near
    return eights[:, 0] * 10**16 + eights[:, 1] * 10**8 + eights[:, 2], wrong
