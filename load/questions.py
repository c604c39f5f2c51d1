"""What is asked of a history, how often, and what is promised of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from load.history import DAYS, METRIC


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of a device, of a history that ends then; and how often."""

    name: str
    times: int
    path: Callable[[str, datetime], str]


def readings_of(device: str, **more: Any) -> str:
    """The path of its raw readings."""
    return "/v1/readings?" + urlencode({"device": device, "metric": METRIC, **more})


def _thirty_days(device: str, until: datetime) -> str:
    """The whole history, cut where it begins and up to its fresh edge."""
    span = {"from": (until - timedelta(days=DAYS)).isoformat(), "to": until.isoformat()}
    return "/v1/series?" + urlencode({"device": device, "metric": METRIC, "bucket_s": 3_600, **span})


def _series(device: str, until: datetime, days: int, bucket_s: int) -> str:
    """Whole days of the calendar: the last ones that are over."""
    end = until.replace(hour=0, minute=0, second=0, microsecond=0)
    span = {"from": (end - timedelta(days=days)).isoformat(), "to": end.isoformat()}
    return "/v1/series?" + urlencode({"device": device, "metric": METRIC, "bucket_s": bucket_s, **span})


QUESTIONS = [
    Question("latest", 300, lambda device, _: f"/v1/devices/{device}/latest"),
    Question("series of a device", 200, lambda device, _: f"/v1/devices/{device}"),
    Question("newest 100 readings", 200, lambda device, _: readings_of(device, order="desc", limit=100)),
    Question("oldest 1,000 readings", 100, lambda device, _: readings_of(device, limit=1_000)),
    Question("one day by minute", 200, lambda device, until: _series(device, until, 1, 60)),
    Question("seven days by hour", 100, lambda device, until: _series(device, until, 7, 3_600)),
    Question("29 days by hour", 100, lambda device, until: _series(device, until, 29, 3_600)),
    Question("thirty days by hour", 200, _thirty_days),
    Question("29 days by day", 100, lambda device, until: _series(device, until, 29, 86_400)),
    Question("fleet", 50, lambda *_: "/v1/fleet?limit=5000"),
    Question("100 devices with sparklines", 50, lambda *_: "/v1/fleet?limit=100&latest=1&spark=24h"),
]
PROMISED_MS = {"latest": 5, "one day by minute": 20, "thirty days by hour": 20, "fleet": 100}
"""The 95th percentiles to reach at 100 million readings of 5,000 series, flat against 10 million."""
