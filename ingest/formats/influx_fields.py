"""The fields of many lines as columns: names, numbers, and which of them are text."""

from dataclasses import dataclass
from itertools import chain, compress

import numpy as np
from numpy.typing import NDArray

from ingest.formats.influx_line import BOOLEANS
from ingest.formats.influx_plain import TEXT
from schemas.columns import Bools, Float64s, Int64s

Bytes = NDArray[np.uint8]

_COMMA, _MINUS, _EQUALS = b",-="
_I, _U, _DOT = b"iu."
_MAX_DIGITS = 18  # of integers that fit into 64 bits whatever they are


@dataclass(slots=True)
class Fields:
    """What stands between heads and times, `name=value,name=value`, of all lines; f fields, n of them numbers."""

    text: bytes
    raw: Bytes
    equals: Int64s
    """Where each name ends, (f,)."""
    ends: Int64s
    """Where each value does, (f,)."""
    line: Int64s
    """Counted from 0, (f,)."""
    kept: Bools | None
    """Which are no text, (f,); None: all."""

    @classmethod
    def cut(cls, fields: list[bytes], most: int, *, texts: bool) -> "Fields | None":
        """Those of each line; None: one is no `name=value`, or there are too many. `texts`: some may be put away."""
        text = b",".join(fields)
        raw = np.frombuffer(text, np.uint8)
        equals, ends = np.flatnonzero(raw == _EQUALS), np.append(np.flatnonzero(raw == _COMMA), len(raw))
        if len(ends) > most or len(equals) != len(ends) or (equals > ends).any() or (equals[1:] < ends[:-1]).any():
            return None
        line = np.arange(len(fields))
        if len(ends) > len(fields):
            lengths = np.fromiter(map(len, fields), np.int64, len(fields))
            last = np.searchsorted(ends, np.cumsum(lengths + 1) - 1)  # field of each line
            line = np.repeat(line, np.diff(last, prepend=-1))
        kept = raw[ends - 1] != TEXT if texts else None
        return cls(text, raw, equals, ends, line, kept)

    def lines(self) -> tuple[Int64s, Int64s]:
        """Of numbers (n,), and of texts (f - n,)."""
        return (self.line, self.line[:0]) if self.kept is None else (self.line[self.kept], self.line[~self.kept])

    def lines_of_odd_texts(self) -> Int64s:
        """Those that have one without a name, or behind something else than its name's `=`: an escaped one, say.

        (A number without a name makes no series, and so is found later.)
        """
        if self.kept is None:
            return self.line[:0]
        nameless = np.diff(self.ends, prepend=-1) == 3  # a comma, `=` and the text
        found: Int64s = self.line[~self.kept & (nameless | (self.ends - self.equals != 2))]
        return found

    def numbers(self) -> tuple[list[bytes], Float64s, Bools]:
        """Names, values, and which values are none that could be read here, (n,) each."""
        text, equals, ends, kept = self.text, self.equals, self.ends, self.kept
        if kept is not None:
            equals, ends = equals[kept], ends[kept]
        last = self.raw[ends - 1]
        integer = (last == _I) | (last == _U)
        plain = ((last >= 48) & (last <= 57)) | (last == _DOT)
        doubtful = ends - equals < 2
        has_integers = bool(integer.any())
        if has_integers:
            doubtful |= integer & ~_is_integer(self.raw, equals + 1, ends - 1, last == _U)
            text = (text + b",").replace(b"i,", b",").replace(b"u,", b",")[:-1]
        if kept is not None:
            text = b",".join(compress(text.split(b","), kept.tolist()))
        parts = text.replace(b"=", b",").split(b",") if len(ends) else []
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
