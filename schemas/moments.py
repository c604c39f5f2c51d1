"""Moments as they come in: RFC 3339 with an offset, or integer milliseconds since the Unix epoch."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from schemas.times import to_datetime

FIRST_MS = 946_684_800_000  # 2000-01-01
LAST_MS = 4_102_444_800_000  # 2100-01-01
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse_moment(moment: Any) -> datetime:
    """An aware datetime in UTC; digits beyond microseconds are cut. Raises ValueError for anything else."""
    if isinstance(moment, int) and not isinstance(moment, bool):
        if not FIRST_MS <= moment <= LAST_MS:
            raise ValueError("an integer is milliseconds since 1970, between the years 2000 and 2100")
        return to_datetime(moment * 1_000)
    if not isinstance(moment, str) or not _RFC3339.fullmatch(moment):
        raise ValueError("a time is RFC 3339 with an offset, or integer milliseconds since 1970")
    try:
        parsed = datetime.fromisoformat(moment.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("a time lies between the years 2000 and 2100") from None
    if not FIRST_MS <= parsed.timestamp() * 1_000 <= LAST_MS:
        raise ValueError("a time lies between the years 2000 and 2100")
    return parsed


Moment = Annotated[
    datetime,
    BeforeValidator(parse_moment),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]}),
]
