"""The time that an MQTT payload carries: a number of some unit, or text with an offset or without one."""

import re
from datetime import UTC, datetime

from ingest.formats import rfc3339
from ingest.formats.times import FIRST_MS, LAST_MS, Bounds
from ingest.formats.topics import UNITS, Topics
from schemas.errors import Fault, Loc
from schemas.times import to_micros

_NAIVE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?", re.ASCII)


def read_time(said: object, topics: Topics, bounds: Bounds, loc: Loc) -> int | Fault:
    """Microseconds since the Unix epoch, or what is wrong."""
    if isinstance(said, str):
        time = _of_text(said, topics, loc)
    elif isinstance(said, bool) or not isinstance(said, int | float):
        return Fault(loc, "ts_invalid", "a time is a number, or text as in RFC 3339")
    else:
        time = _of_number(said, topics.unit, loc)
    if isinstance(time, Fault):
        return time
    if time > bounds.newest_us:
        return Fault(loc, "ts_in_future", "further ahead of the server's clock than it allows", retryable=True)
    if time < max(bounds.oldest_us, FIRST_MS * 1_000):
        return Fault(loc, "ts_too_old", "older than readings are kept")
    return time


def _of_number(said: int | float, unit: str, loc: Loc) -> int | Fault:
    for each in (unit, *UNITS):
        if FIRST_MS * UNITS["ms"] <= said * UNITS[each] <= LAST_MS * UNITS["ms"]:
            if each != unit:
                break
            return said * UNITS[unit] // 1_000 if isinstance(said, int) else round(said * (UNITS[unit] / 1_000))
    else:
        return Fault(loc, "ts_unit", f"a time is a number of {unit} since the Unix epoch, from 2000 to 2100")
    return Fault(loc, "ts_unit", f"times are read as {unit} (SLUICE_MQTT_TIME_UNIT); this one looks like {each}")


def _of_text(said: str, topics: Topics, loc: Loc) -> int | Fault:
    micros, good = rfc3339.parse([said])
    if good[0]:
        return int(micros[0])
    if not _NAIVE.fullmatch(said):
        return Fault(loc, "ts_invalid", "not an RFC 3339 date-time, such as 2026-11-20T10:00:00.123Z")
    if topics.zone is None:
        message = "a time without an offset: have the sender add one, or say with SLUICE_MQTT_TIME_ZONE where it is"
        return Fault(loc, "ts_zone", message)
    try:
        return to_micros(datetime.fromisoformat(said).replace(tzinfo=topics.zone).astimezone(UTC))
    except (ValueError, OverflowError):
        return Fault(loc, "ts_invalid", "there is no such date or time")
