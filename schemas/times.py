"""Microseconds since the Unix epoch, datetimes, and the RFC 3339 text that goes out."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_datetime(micros: int) -> datetime:
    """Microseconds since the Unix epoch as an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=micros)


def to_micros(moment: datetime) -> int:
    """An aware datetime as microseconds since the Unix epoch, exactly."""
    return (moment - EPOCH) // _MICROSECOND


def to_text(moment: datetime) -> str:
    """RFC 3339 in UTC: milliseconds, or microseconds where there are any."""
    moment = moment.astimezone(UTC)
    precision = "microseconds" if moment.microsecond % 1_000 else "milliseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"
