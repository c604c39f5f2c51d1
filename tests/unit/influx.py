"""Line protocol as clients write it, and what the decoder makes of it."""

import re
from collections.abc import Mapping as Map
from typing import Any

from ingest.formats import influx
from ingest.formats.mapping import Mapping
from ingest.formats.terms import Terms
from ingest.formats.times import Bounds
from schemas.columns import Columns

MS = 1_795_428_000_000
NOW_US = MS * 1_000
BOUNDS = Bounds(NOW_US - 86_400_000_000, NOW_US + 600_000_000, max_readings=50)
TERMS = Terms(BOUNDS, NOW_US)
Row = tuple[str, str, str, int, float]


def read(body: str | bytes, precision: str = "ms", mapping: Mapping | None = None, own: str | None = None) -> Columns:
    """Decode a body; a time is in milliseconds unless said otherwise."""
    raw = body if isinstance(body, bytes) else body.encode()
    return influx.decode(raw, Terms(BOUNDS, NOW_US, mapping or Mapping(), own), precision)


def table(columns: Columns) -> list[Row]:
    """The readings with their names, as they stand."""
    keys = [columns.series[code] for code in columns.codes.tolist()]
    return [(*key, ts, value) for key, ts, value in zip(keys, columns.ts.tolist(), columns.value.tolist(), strict=True)]


def faults(columns: Columns) -> list[tuple[Any, str]]:
    """Lines that were left out, and why."""
    return [(fault.loc[1], fault.code) for fault in columns.rejected]


def line(measurement: str, tags: Map[str, str], fields: Map[str, str], time: int | None = None) -> str:
    """A line with its names escaped; values stand as they are given."""
    head = ",".join(
        [re.sub(r"([, ])", r"\\\1", measurement), *(f"{escaped(key)}={escaped(value)}" for key, value in tags.items())]
    )
    body = ",".join(f"{escaped(key)}={value}" for key, value in fields.items())
    return f"{head} {body}" + ("" if time is None else f" {time}")


def escaped(name: str) -> str:
    """The name of a tag or a field, or a tag's value."""
    return re.sub(r"([,= ])", r"\\\1", name)
