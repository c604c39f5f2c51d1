"""The quick reader of line protocol: lines of the common shape, whole columns at a time.

The common shape has one space between its parts, a time of as many digits as its neighbours' (or none, as they), and
numbers, booleans or texts as values, without newlines in these and without quotes elsewhere. What it reads, the strict
reader reads alike; what it does not recognise it leaves to that one, so nothing here has to know what is wrong with a
line.
"""

from itertools import chain, repeat

import numpy as np

from ingest.formats.influx_fields import Bytes, Fields
from ingest.formats.influx_line import is_head
from ingest.formats.influx_plain import TEXT, put_away, put_back
from ingest.formats.influx_points import Points
from schemas.columns import Bools, Int64s

Odd = list[tuple[int, int]]
"""Lines that were not recognised: the number, from 1, and the offset of each, in order."""

_LF, _SPACE, _QUOTE, _HASH = b'\n "#'
_TIME_DIGITS = 24  # in three words of eight
_WORD = 8


def read_quick(body: bytes, most: int) -> tuple[Points, Odd]:
    """The points of the lines that are recognised, in order, and where all others are.

    Of a body with more than `most` fields none is: the strict reader stops where that is too many.
    """
    plain = put_away(body)
    if plain is None:
        return Points.none(), _odd(body, None)
    raw = np.frombuffer(plain, np.uint8)
    starts, ends = _lines(raw)
    good, parts = _recognise(plain, raw, starts, ends, np.flatnonzero(raw == _SPACE))
    numbers = np.arange(1, len(ends) + 1) if good is None else np.flatnonzero(good) + 1
    if len(numbers) == 0:
        return Points.none(), _odd(body, good)
    tokens = plain.split() if good is None else _of_lines(plain, numbers)
    read = _read(tokens, parts, numbers, most, put=plain is not body)
    if read is None:  # not even nearly line protocol, or too much of it
        return Points.none(), _odd(body, None)
    points, unsure = read
    if unsure.any():
        bad = numbers[unsure]
        points = points.only(~np.isin(points.line, bad), ~np.isin(points.texts, bad))
        good = np.ones(len(ends), np.bool_) if good is None else good
        good[bad - 1] = False
    return points, [] if good is None else _odd(body, good)


def _lines(raw: Bytes) -> tuple[Int64s, Int64s]:
    """Where each begins, and where it ends."""
    ends = np.flatnonzero(raw == _LF)
    if len(raw) and raw[-1] != _LF:
        ends = np.append(ends, len(raw))
    return np.concatenate([np.zeros(min(1, len(ends)), np.int64), ends[:-1] + 1]), ends


def _of_lines(body: bytes, numbers: Int64s) -> list[bytes]:
    """The parts of these lines."""
    lines = body.split(b"\n")
    return b"\n".join([lines[number - 1] for number in numbers.tolist()]).split()


def _odd(body: bytes, good: Bools | None) -> Odd:
    """The other lines, but for empty ones; all of them where none is good."""
    starts, ends = _lines(np.frombuffer(body, np.uint8))
    odd = ends > starts
    places = np.flatnonzero(odd if good is None else odd & ~good)
    return list(zip((places + 1).tolist(), starts[places].tolist(), strict=True))


def _recognise(body: bytes, raw: Bytes, starts: Int64s, ends: Int64s, spaces: Int64s) -> tuple[Bools | None, int]:
    """Which lines are of the common shape, as far as spaces and strange characters tell (None: all); and their parts:
    three with a time, two without."""
    count = len(ends)
    strange = b'"' in body or np.count_nonzero(raw < _SPACE) > body.count(b"\n")
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
        found = (raw == _QUOTE) | ((raw < _SPACE) & (raw != _LF))
        good &= ~np.logical_or.reduceat(found, starts)
    return good, parts


def _read(tokens: list[bytes], parts: int, numbers: Int64s, most: int, *, put: bool) -> tuple[Points, Bools] | None:
    """Points of lines in `parts` each, and (lines,) which of them have to be looked at again; None: all.

    `put`: something was put away of the body.
    """
    heads = tokens[0::parts]
    fields = Fields.cut(tokens[1::parts], most, texts=put)
    if fields is None:
        return None
    names, value, doubtful = fields.numbers()
    line, texts = fields.lines()
    unsure = np.zeros(len(heads), np.bool_)
    unsure[line[doubtful]] = True
    time = np.zeros(len(heads), np.int64)
    if parts == 3:
        time, wrong = _times(tokens[2::parts])
        unsure |= wrong
    counts = None if len(line) == len(heads) and not len(texts) else np.bincount(line, minlength=len(heads))
    if put:
        heads, names = put_back(heads), put_back(names)
        unsure[fields.lines_of_odd_texts()] = True
        unsure |= _are_odd(heads, counts)
    named = heads if counts is None else chain.from_iterable(map(repeat, heads, counts.tolist()))
    keys = list(zip(named, names, strict=True))
    timed = np.full(len(keys), parts == 3)
    return Points(keys, value, time[line], timed, numbers[line], numbers[texts]), unsure


def _are_odd(heads: list[bytes], counts: Int64s | None) -> Bools:
    """Which heads have a text in them, or are none while their line has no number: nobody would look at them again."""
    odd = np.zeros(len(heads), np.bool_)
    if TEXT in b"".join(heads):
        odd |= np.array([TEXT in head for head in heads])
    if counts is not None:
        for place in np.flatnonzero(counts == 0).tolist():
            odd[place] |= not is_head(heads[place])
    return odd


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
