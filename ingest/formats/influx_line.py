"""One line of InfluxDB's line protocol, by its whole grammar: `measurement,tag=a field=1.5,other=2i 1700000000`.

The strict reader: what the quick one (`influx_quick.py`) does not recognise comes here, and both agree on all it does.
Lines end with LF alone here: who calls has replaced CRLF.
"""

import re
from itertools import islice
from typing import NamedTuple

from schemas.errors import TooLarge
from schemas.readings import MAX_LABELS

MAX_TAGS = MAX_LABELS + 1  # of a line: one may name the device

# Nothing that was matched is ever given back (`*+`), so that each is linear in the line. A backslash escapes only what
# would end the name; before anything else it is a backslash.
_HEAD = re.compile(rb"((?:\\[, ]|[^, \n])++)(?:,(?:\\[,= ]|[^,= \n])++=(?:\\[,= ]|[^,= \n])++)*+")
_TAG = re.compile(rb",((?:\\[,= ]|[^,= \n])++)=((?:\\[,= ]|[^,= \n])++)")
_FIELD = re.compile(rb'((?:\\[,= ]|[^,= \n])++)=(?:("(?:\\.|[^"\\])*+")|([^, "\n]++))', re.DOTALL)  # text has newlines
_TIME = re.compile(rb"-?[0-9]{1,40}+(?= *+(?:\n|\Z))")
_TEXT = rb'"(?:\\.|[^"\\])*+(?:"|\\?\Z)'
# A quote begins a text only behind the `=` of a field: a stray one elsewhere spoils its own line, and no other.
_WHOLE = re.compile(rb"(?:\\[, =]|[^ \n])*+(?:=(?:" + _TEXT + rb'|\\[,= "]|[^",\n])*+|\\[,= "]|[^=\n])*+\n?', re.DOTALL)
_SPACES = re.compile(rb" *+")
_BLANKS = re.compile(rb"[ \t]*+")
_ESCAPED = re.compile(rb"\\([,= ])")
_FLOAT = re.compile(rb"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_INT = re.compile(rb"-?[0-9]{1,40}i|[0-9]{1,40}u")
_NOT_FINITE = re.compile(rb"[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE)
BOOLEANS = {b"t": 1.0, b"T": 1.0, b"true": 1.0, b"True": 1.0, b"TRUE": 1.0}
BOOLEANS |= {b"f": 0.0, b"F": 0.0, b"false": 0.0, b"False": 0.0, b"FALSE": 0.0}
SHAPE = "a line is: measurement[,tag=value…] field=value[,field=value…] [time]"


class BadLineError(Exception):
    """This line cannot be read; the message never repeats it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Line(NamedTuple):
    """What a line holds."""

    head: bytes
    """Measurement and tags, as they came."""
    fields: list[tuple[bytes, float]]
    """Names as they came, and values: of text there are none."""
    skipped: int
    """Fields that are text."""
    time: int | None
    """In the unit of the request."""
    end: int
    """Where in the body the next line begins."""


def read_line(body: bytes, start: int, most: int) -> Line:
    """The line that begins at `start`. Raises BadLineError, and TooLarge at more than `most` fields."""
    head = _HEAD.match(body, start)
    if head is None:
        raise BadLineError("measurement_missing", f"the measurement is missing: {SHAPE}")
    place = _behind_spaces(body, head.end())
    if place == head.end():
        raise BadLineError("line_invalid", f"a tag has no value, or there are no fields: {SHAPE}")
    fields: list[tuple[bytes, float]] = []
    skipped = 0
    while True:
        field = _FIELD.match(body, place)
        if field is None:
            raise BadLineError("field_invalid", f"a field has no value, or its text has no end: {SHAPE}")
        if field[2] is None:
            fields.append((field[1], read_value(field[3])))
        else:
            skipped += 1
        if len(fields) + skipped > most:
            raise TooLarge("readings", most)
        place = field.end()
        if body[place : place + 1] != b",":
            break
        place += 1
    behind = _behind_spaces(body, place)
    time = _TIME.match(body, behind) if behind > place else None
    end = _behind_spaces(body, time.end() if time else behind)
    if body[end : end + 1] not in {b"", b"\n"}:
        raise BadLineError("line_invalid", f"behind the fields stands nothing but an integer time: {SHAPE}")
    return Line(head[0], fields, skipped, int(time[0]) if time else None, end + 1)


def is_head(head: bytes) -> bool:
    """Whether these bytes are a measurement with its tags, whatever their names."""
    return _HEAD.fullmatch(head) is not None


def end_of_line(body: bytes, start: int) -> int:
    """Where the line behind that at `start` begins, whatever is wrong with this one: quotes may hold newlines."""
    whole = _WHOLE.match(body, start)
    return whole.end() if whole else len(body)  # it always matches


def _behind_spaces(body: bytes, place: int) -> int:
    found = _SPACES.match(body, place)
    return found.end() if found else place  # it always matches


def behind_blanks(body: bytes, place: int) -> int:
    """Where the line that begins at `place` has something else than spaces and tabs."""
    found = _BLANKS.match(body, place)
    return found.end() if found else place  # it always matches


def read_value(text: bytes) -> float:
    """A number or a boolean. Raises BadLineError."""
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value - value != 0:
            raise BadLineError("not_finite", "a value is too large for a float64")
        return value
    if _INT.fullmatch(text):
        number, unsigned = int(text[:-1]), text.endswith(b"u")
        if number >= 1 << (64 if unsigned else 63) or number < -(1 << 63):
            raise BadLineError("value_range", "an integer has 64 bits")
        return float(number)
    if (value := BOOLEANS.get(text, -1.0)) >= 0:
        return value
    if _NOT_FINITE.fullmatch(text):
        raise BadLineError("not_finite", "a value must be finite")
    raise BadLineError("value_type", 'a value is a float, an integer (1i, 1u), a boolean, or text in quotes ("…")')


def read_head(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Measurement and tags. Raises BadLineError where they are none, too many, or not UTF-8."""
    found = _HEAD.match(head)
    if found is None:
        raise BadLineError("measurement_missing", f"the measurement is missing: {SHAPE}")
    if found.end() < len(head):
        raise BadLineError("line_invalid", f"a tag has no value: {SHAPE}")
    measurement = found[1]
    plain = measurement.replace(b"\\,", b",").replace(b"\\ ", b" ") if b"\\" in measurement else measurement
    tags = list(islice(_TAG.finditer(head, found.end(1)), MAX_TAGS + 1))
    if len(tags) > MAX_TAGS:
        raise BadLineError("too_many_labels", f"at most {MAX_LABELS} tags besides the device's")
    return _decoded(plain), [(read_name(tag[1]), read_name(tag[2])) for tag in tags]


def read_name(name: bytes) -> str:
    """A name without its escapes. Raises BadLineError where it is empty, or not UTF-8."""
    if not name:
        raise BadLineError("field_invalid", f"a field has no name: {SHAPE}")
    return _decoded(_ESCAPED.sub(rb"\1", name) if b"\\" in name else name)


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise BadLineError("encoding", "a name is not UTF-8") from None
