"""The decoder of SenML (RFC 8428): records, with what they leave to those before them, to columns."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ingest.formats.mapping import UnmappableError
from ingest.formats.names import Names, with_used
from ingest.formats.senml_pack import read_cbor, read_json
from ingest.formats.terms import Terms
from ingest.formats.times import FIRST_MS, LAST_MS
from schemas.columns import Bools, Columns, Float64s, Int64s, SeriesKey
from schemas.errors import Fault, Invalid, Loc, TooLarge

UNIT = "unit"
"""The label that a unit becomes: values in different units are no values of one series."""

SUM = "sum"
"""What the metric of a sum ends with."""

VERSIONS = frozenset({*range(1, 11), 26})
"""That are understood: those of RFC 8428 and its drafts, and 26, which adds secondary units (RFC 9100)."""

_RELATIVE = float(1 << 28)  # seconds: a time below is one from now
_FAR_S = 1e12  # outside any bound
MAX_CHARS = 1_024
"""Of a name with its base: longer ones name no device and metric, whatever pattern splits them."""
_PLAIN = {"n", "u", "v", "t"}
_FIELDS = {*_PLAIN, "vs", "vb", "vd", "s", "ut"}
_BASES = {"bn", "bt", "bu", "bv", "bs", "bver"}
_OTHER_VALUES = ("vb", "vs", "vd")
_NAME = re.compile(r"[A-Za-z0-9/][A-Za-z0-9\-:./_]*")  # a slash first is what objects of LwM2M have


class _Head(NamedTuple):
    """What makes a series."""

    name: str
    unit: str
    is_sum: bool = False


class _WrongError(Exception):
    """A record cannot be used; it has this fault."""

    def __init__(self, loc: Loc, code: str, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(loc, code, message)


def decode_json(body: bytes, terms: Terms) -> Columns:
    """Read a pack in JSON. Bad records are left out and named in `rejected`. Raises Malformed, TooLarge, Invalid."""
    return _decode(read_json, body, terms)


def decode_cbor(body: bytes, terms: Terms) -> Columns:
    """The same in CBOR."""
    return _decode(read_cbor, body, terms)


def _decode(read: Callable[[bytes, int], list[Any]], body: bytes, terms: Terms) -> Columns:
    most = terms.bounds.max_readings
    found = _Found()
    for place, record in enumerate(read(body, most)):
        try:
            found.take(record, place)
        except _WrongError as error:
            found.faults.append(error.fault)
    if len(found.heads) + found.skipped > most:
        raise TooLarge("readings", most)
    return _assembled(found, terms)


@dataclass(slots=True)
class _Base:
    """What records have in common, from one that says so to the next that does."""

    name: str = ""
    time: float = 0.0
    unit: str = ""
    value: float = 0.0
    sum: float = 0.0


class _Found:
    """The readings of a pack, in order, not yet mapped to series."""

    def __init__(self) -> None:
        self._base = _Base()
        self._heads: dict[tuple[str, str], _Head] = {}
        self.heads: list[_Head] = []
        self.seconds: list[float] = []
        self.values: list[float] = []
        self.places: list[int] = []
        """Which record each came from."""
        self.skipped = 0
        self.faults: list[Fault] = []

    def take(self, record: Any, place: int) -> None:
        """One record. Raises Invalid where those after it could not be read either, else _WrongError."""
        if not isinstance(record, dict):
            raise Invalid([Fault((place,), "layout", "a record is an object, or a map")])
        base = self._base
        if not record.keys() <= _PLAIN:
            self._rebase(record, place)
            if not record.keys() & _FIELDS:
                return
        name, unit = base.name + _text(record, "n", place), _text(record, "u", place) or base.unit
        head = self._heads.get((name, unit)) or self._head(name, unit, place)
        seconds = base.time + (_number(record["t"], (place, "t")) if "t" in record else 0.0)
        value = self._value(record, place)
        readings = []
        if "s" in record:
            readings.append((head._replace(is_sum=True), base.sum + _number(record["s"], (place, "s"))))
        if value is not None:
            readings.append((head, value))
        for each, number in readings:  # before any is kept: a record is good, or it is not
            if not math.isfinite(number):
                raise _WrongError((place, "s" if each.is_sum else "v"), "not_finite", "a value must be finite")
        for each, number in readings:
            self.heads.append(each)
            self.seconds.append(seconds)
            self.values.append(number)
            self.places.append(place)

    def _head(self, name: str, unit: str, place: int) -> _Head:
        if len(name) > MAX_CHARS:
            raise _WrongError((place, "n"), "name_invalid", f"a name has at most {MAX_CHARS:,} characters")
        if _NAME.fullmatch(name) is None:
            message = "a name begins with a letter or a digit; in it there may also be '-', ':', '.', '/' and '_'"
            raise _WrongError((place, "n"), "name_invalid", message if name else "a record needs a name: 'n', or 'bn'")
        head = self._heads[name, unit] = _Head(name, unit)
        return head

    def _value(self, record: dict[Any, Any], place: int) -> float | None:
        """The value of a record; None where it has none that is a reading. Raises _WrongError."""
        if "v" in record and record.keys().isdisjoint(_OTHER_VALUES):
            return self._base.value + _number(record["v"], (place, "v"))
        present = [key for key in ("v", *_OTHER_VALUES) if key in record]
        if len(present) > 1:
            raise _WrongError((place, present[1]), "value_type", "a record has one of 'v', 'vb', 'vs' and 'vd'")
        if not present:
            if "s" not in record:
                raise _WrongError((place, "v"), "missing", "a record has a value, or a sum")
            return None
        if present == ["vb"]:
            if not isinstance(record["vb"], bool):
                raise _WrongError((place, "vb"), "value_type", "'vb' is true or false")
            return float(record["vb"])
        self.skipped += 1
        return None

    def _rebase(self, record: dict[Any, Any], place: int) -> None:
        """Note what a record says of those after it. Raises Invalid."""
        base = self._base
        for key in record:
            if isinstance(key, str) and key.endswith("_"):
                message = "a field whose name ends with '_' must be understood, and this one is not"
                raise Invalid([Fault((place, key), "not_understood", message)])
            if not isinstance(key, str) and not isinstance(key, int):
                raise Invalid([Fault((place,), "layout", "fields have names, or numbers in CBOR")])
        try:
            if "bver" in record:
                _check_version(record["bver"], place)
            base.name = _text(record, "bn", place) if "bn" in record else base.name
            base.unit = _text(record, "bu", place) if "bu" in record else base.unit
            base.time = _number(record["bt"], (place, "bt")) if "bt" in record else base.time
            base.value = _number(record["bv"], (place, "bv")) if "bv" in record else base.value
            base.sum = _number(record["bs"], (place, "bs")) if "bs" in record else base.sum
        except _WrongError as error:
            raise Invalid([error.fault]) from None
        if len(base.name) > MAX_CHARS:  # every record after it would have a copy
            raise Invalid([Fault((place, "bn"), "name_invalid", f"a name has at most {MAX_CHARS:,} characters")])


def _text(record: dict[Any, Any], key: str, place: int) -> str:
    text = record.get(key, "")
    if not isinstance(text, str):
        raise _WrongError((place, key), "text_type", "this field is a text")
    return text


def _number(value: Any, loc: Loc) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise _WrongError(loc, "value_type", "this field is a number")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _check_version(version: Any, place: int) -> None:
    if type(version) is not int or version not in VERSIONS:
        message = "this version of SenML is not understood: 10 (RFC 8428) is, and what came before, and 26 (RFC 9100)"
        raise _WrongError((place, "bver"), "version", message)


def _assembled(found: _Found, terms: Terms) -> Columns:
    """Columns of what can be named and lies within the bounds; the rest is added to `found.faults`."""
    series: dict[SeriesKey, int] = {}
    places: dict[_Head, int] = {}
    unmapped: dict[_Head, UnmappableError] = {}
    known = NAMES.known(terms)
    for head in dict.fromkeys(found.heads):
        try:
            places[head] = series.setdefault(known.get(head) or NAMES.learn(head, terms, _named), len(series))
        except UnmappableError as error:
            places[head], unmapped[head] = -1, error
    codes = np.fromiter(map(places.__getitem__, found.heads), np.int32, len(found.heads))
    seconds, value = np.array(found.seconds, np.float64), np.array(found.values, np.float64)
    micros, off = _micros(seconds, terms)
    bad = off | (codes < 0)
    for place in np.flatnonzero(bad).tolist():
        record = found.places[place]
        if (unnamed := unmapped.get(found.heads[place])) is not None:
            found.faults.append(Fault((record, "n"), unnamed.code, str(unnamed)))
        else:
            late = bool(micros[place] > terms.bounds.newest_us)
            found.faults.append(_time_fault(float(seconds[place]), (record, "t"), late=late))
    if not bad.any():
        columns = Columns(list(series), codes, micros, value, found.faults)
    else:
        columns = with_used(list(series), codes[~bad], micros[~bad], value[~bad], found.faults)
    columns.skipped = found.skipped
    return columns


def _micros(seconds: Float64s, terms: Terms) -> tuple[Int64s, Bools]:
    """Microseconds since the epoch, and where they are out of bounds."""
    usable = np.clip(np.nan_to_num(seconds, nan=-_FAR_S), -_FAR_S, _FAR_S) * 1e6
    micros = np.rint(usable).astype(np.int64) + np.where(seconds < _RELATIVE, terms.arrived_us, 0)
    return micros, (micros > terms.bounds.newest_us) | (micros < max(terms.bounds.oldest_us, FIRST_MS * 1_000))


def _time_fault(seconds: float, loc: Loc, *, late: bool) -> Fault:
    if FIRST_MS <= seconds <= LAST_MS:
        return Fault(loc, "ts_unit", "a time is in seconds since the Unix epoch; this looks like milliseconds")
    if late:
        return Fault(loc, "ts_in_future", "further ahead of the server's clock than it allows", retryable=True)
    return Fault(loc, "ts_too_old", "older than readings are kept")


def _named(head: _Head, terms: Terms) -> SeriesKey:
    mapping = terms.mapping
    device, metric = mapping.split(head.name)
    unit = f"{head.unit}*s" if head.unit and head.is_sum else head.unit
    metric = f"{metric}{mapping.separator}{SUM}" if head.is_sum else metric
    return mapping.named(device, metric, {UNIT: unit} if unit else {}, terms.own_device)


NAMES: Names[_Head] = Names(lambda head: len(head.name) + len(head.unit))
