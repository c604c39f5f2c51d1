"""What a subscriber of readings may wish for: the `data` of its `subscribe`. Pure."""

from typing import NamedTuple

from schemas.names import name_fault

RATE, MAX_RATE = 5.0, 20.0
"""Frames a second: of those who do not say, and the most."""

MAX_INTERVAL_S = 1e8
"""The loop's timers reach about so far."""

MAX_METRICS = 64


class WatchOptions(NamedTuple):
    """What was wished for."""

    interval_s: float
    """At least so long from one frame to the next."""
    metrics: frozenset[str] | None
    """None: all."""


def parse_options(data: object) -> WatchOptions | None:
    """Read `{"max_rate": 5, "metrics": ["temperature"]}`, both optional; None where that cannot be had."""
    if data is None:
        data = {}
    if not isinstance(data, dict):
        return None
    rate = data.get("max_rate")
    if rate is None:
        rate = RATE
    if type(rate) not in (int, float) or not 0 < rate <= MAX_RATE:
        return None
    metrics = data.get("metrics")
    if metrics is not None:
        if not isinstance(metrics, list) or not 0 < len(metrics) <= MAX_METRICS:
            return None
        if not all(isinstance(metric, str) and name_fault(metric) is None for metric in metrics):
            return None
    return WatchOptions(min(1 / rate, MAX_INTERVAL_S), None if metrics is None else frozenset(metrics))
