"""The decoder of InfluxDB's line protocol: bytes to columns, line by line where a line is not of the common shape."""

from collections.abc import Iterable

import numpy as np

from ingest.formats.influx_line import BadLineError, behind_blanks, end_of_line, read_line
from ingest.formats.influx_points import NAMES, PRECISIONS, Key, Points, assemble
from ingest.formats.influx_quick import read_quick
from ingest.formats.terms import Terms
from schemas.columns import Columns
from schemas.errors import Fault, TooLarge

__all__ = ["NAMES", "PRECISIONS", "decode"]

LINES_TO_READINGS = 2  # a line without a reading is work too
_FAR = 1 << 62  # where times too large for their column are put: outside any bound


def decode(body: bytes, terms: Terms, precision: str = "ns") -> Columns:
    """Read a body. Lines with a fault are left out, each named in `rejected`; text is skipped. Raises TooLarge."""
    most = terms.bounds.max_readings
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").removesuffix(b"\r")
    if body.count(b"\n") > LINES_TO_READINGS * most:
        raise TooLarge("lines", LINES_TO_READINGS * most)
    points, odd = read_quick(body, most)
    faults: list[Fault] = []
    if odd:
        strict, swallowed = _read_strictly(body, odd, most, faults)
        points = Points.joined(points.without(swallowed), strict)
    if len(points.keys) + len(points.texts) > most:
        raise TooLarge("readings", most)
    columns = assemble(points, terms, precision)
    if faults:
        columns.rejected = sorted([*faults, *columns.rejected], key=lambda fault: fault.loc[1])
    return columns


def _read_strictly(
    body: bytes, odd: Iterable[tuple[int, int]], most: int, faults: list[Fault]
) -> tuple[Points, list[tuple[int, int]]]:
    """Read the lines that begin at these places: (number, offset), in order.

    Returns their points, and which lines, from the first to before the last, are none of their own but belong to a text
    that began before them. Adds to `faults`. Raises TooLarge.
    """
    keys: list[Key] = []
    values: list[float] = []
    times: list[int | None] = []
    numbers: list[int] = []
    texts: list[int] = []
    swallowed: list[tuple[int, int]] = []
    behind = 0
    for number, offset in odd:
        if offset < behind:
            continue
        start = behind_blanks(body, offset)
        if start >= len(body) or body[start] in b"#\n":
            continue
        try:
            line = read_line(body, start, most)
        except BadLineError as error:
            behind = end_of_line(body, start)
            more = body.count(b"\n", start, behind - 1)
            told = f"{error}; the next {more} lines belong to its text" if more else str(error)
            faults.append(Fault(("line", number), error.code, told))
        else:
            behind = line.end
            more = body.count(b"\n", start, behind - 1)
            texts += [number] * line.skipped
            for name, value in line.fields:
                keys.append((line.head, name))
                values.append(value)
                times.append(line.time)
                numbers.append(number)
        if len(keys) + len(texts) > most:
            raise TooLarge("readings", most)
        if more:
            swallowed.append((number + 1, number + 1 + more))
    timed = np.array([time is not None for time in times], np.bool_)
    micros = np.array([max(-_FAR, min(time or 0, _FAR)) for time in times], np.int64)
    places, of_text = np.array(numbers, np.int64), np.array(texts, np.int64)
    return Points(keys, np.array(values, np.float64), micros, timed, places, of_text), swallowed
