"""What the read side is asked: moments and aggregates as they stand in a query string."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from schemas.moments import FIRST_MS, LAST_MS, parse_moment
from schemas.times import to_datetime

FIRST, LAST = to_datetime(FIRST_MS * 1_000), to_datetime(LAST_MS * 1_000)
"""No reading lies before the one, none after the other."""

MAX_ITEMS = 10_000
"""Readings of one page of JSON, and the `limit` of a stream that has one."""
MAX_BUCKETS = 10_000
MAX_BUCKET_S = 366 * 86_400
MAX_FLEET = 5_000
"""Devices of one page of the fleet."""
MAX_LATEST = 10
"""Newest values of each of them."""
MAX_COURSES = 500
"""Sparklines of one answer."""

_EXAMPLE = "2026-11-20T00:00:00Z"
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)
_UNESCAPED = re.compile(r"\d \d\d:\d\d\Z", re.ASCII)  # the end of what had an offset before a `+` became a space


class Order(StrEnum):
    """Of readings, by time."""

    ASC = "asc"
    DESC = "desc"


class Aggregate(StrEnum):
    """What is told of the readings of a bucket; `first` and `last` by time."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    COUNT = "count"
    SUM = "sum"
    FIRST = "first"
    LAST = "last"


class Spark(StrEnum):
    """How far back the points of a sparkline go."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"

    @property
    def step_s(self) -> int:
        """What one point is the mean of."""
        return {"1h": 120, "24h": 3_600, "7d": 21_600}[self]

    @property
    def points(self) -> int:
        """How many there are."""
        return {"1h": 30, "24h": 24, "7d": 28}[self]


def parse_query_moment(text: Any) -> datetime:
    """A moment out of a query string. Raises ValueError, saying so where a `+` was not percent-encoded."""
    if not isinstance(text, str):
        return parse_moment(text)
    if _INTEGER.fullmatch(text):
        return parse_moment(int(text))
    if _UNESCAPED.search(text):
        raise ValueError("a '+' in a query string is percent-encoded, as %2B")
    return parse_moment(text)


_ONE = "|".join(Aggregate)
AGGREGATES = f"^({_ONE})(,({_ONE}))*$"
"""What `agg` looks like."""


def parse_aggregates(text: str) -> list[Aggregate]:
    """Aggregates out of a text that looks like `AGGREGATES`, each once."""
    return [Aggregate(name) for name in dict.fromkeys(text.split(","))]


QueryMoment = Annotated[
    datetime,
    BeforeValidator(parse_query_moment),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}], "examples": [_EXAMPLE]}),
]
