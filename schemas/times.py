"""Microseconds since the Unix epoch, datetimes, and the RFC 3339 text that goes out."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_REMEMBERED = 1_024  # of readings that come together, as in a storm of alerts, many share their time


@lru_cache(_REMEMBERED)
def to_datetime(micros: int) -> datetime:
    """Microseconds since the Unix epoch as an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=micros)


def to_micros(moment: datetime) -> int:
    """An aware datetime as microseconds since the Unix epoch, exactly."""
    return (moment - EPOCH) // _MICROSECOND


@lru_cache(_REMEMBERED)
def to_text(moment: datetime) -> str:
    """RFC 3339 in UTC: milliseconds, or microseconds where there are any."""
    moment = moment.astimezone(UTC)
    precision = "microseconds" if moment.microsecond % 1_000 else "milliseconds"
    return moment.isoformat(timespec=precision).removesuffix("+00:00") + "Z"
