"""Quotas of a key: token buckets that refill once a second's worth each second."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from schemas.errors import QuotaExceeded

MAX_BUCKETS = 100_000  # keys remembered; beyond them the ones met first start afresh


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """What one key may send to this process; None: as much as it likes."""

    requests_per_s: int | None = None
    readings_per_s: int | None = None


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float  # seconds of the clock


class Quota:
    """Takes tokens for requests and readings, or says how long to wait."""

    def __init__(self, limits: QuotaLimits, clock: Callable[[], float]) -> None:
        self._limits, self._clock = limits, clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def take_request(self, key_id: str) -> None:
        """Raises QuotaExceeded."""
        if self._limits.requests_per_s is not None:
            self._take(key_id, "requests", self._limits.requests_per_s, 1)

    def take_readings(self, key_id: str, count: int) -> None:
        """Raises QuotaExceeded. A batch larger than a second's quota passes when the bucket is full, on credit."""
        if self._limits.readings_per_s is not None and count:
            self._take(key_id, "readings", self._limits.readings_per_s, count)

    def _take(self, key_id: str, policy: str, rate: int, count: int) -> None:
        now = self._clock()
        bucket = self._buckets.get((key_id, policy))
        if bucket is None:
            if len(self._buckets) >= MAX_BUCKETS:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[key_id, policy] = _Bucket(rate, now)
        bucket.tokens = min(rate, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        needed = min(count, rate)
        if bucket.tokens < needed:
            raise QuotaExceeded(policy, rate, max(1, math.ceil((needed - bucket.tokens) / rate)))
        bucket.tokens -= count
