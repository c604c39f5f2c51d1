"""Percentiles and medians of what was measured."""

import math
import statistics
from collections.abc import Sequence


def percentile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them (0…1) do not exceed; NaN where there is none."""
    if not ascending:
        return math.nan
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def spread_ms(ascending: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and max of seconds, in milliseconds."""
    shares = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(percentile(ascending, share) * 1e3, 3) for name, share in shares.items()}


def median(values: Sequence[float]) -> float:
    """The median; NaN of nothing."""
    return statistics.median(values) if values else math.nan


def ratio(ours: float, theirs: float) -> float:
    """NaN where there is nothing to divide by."""
    return ours / theirs if theirs else math.nan
