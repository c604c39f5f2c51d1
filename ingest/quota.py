"""Quotas of a key: token buckets that hold a second's worth, which all workers share.

The decision is made here, at once, against what this worker knows of the shared bucket: what was in it at the last
exchange (`ingest/exchange.py`), what has flowed in since, and what this worker took. What the others took is learned a
moment later and paid back then: over time a key gets its rate, and the overshoot is a second's worth a worker at most.
While nobody can be asked, each worker gives out its share.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from schemas.errors import QuotaExceeded
from schemas.keys import Principal

MAX_BUCKETS = 100_000  # remembered; beyond them the ones met first start afresh
STALE_S = 1.5  # without an exchange: the others are not known any more


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """What one key may send that has no quota of its own; None: as much as it likes."""

    requests_per_s: int | None = None
    readings_per_s: int | None = None


@dataclass(slots=True)
class _Bucket:
    rate: int  # tokens a second, and what it holds at most
    tokens: float
    at: float  # seconds of the clock
    taken: int = 0  # since the last exchange


Place = tuple[str, str]
"""A bucket's key and policy."""


class Quota:
    """Takes tokens for requests and readings, or says how long to wait."""

    def __init__(self, limits: QuotaLimits, clock: Callable[[], float], workers: int = 1) -> None:
        self._limits, self._clock = limits, clock
        self._buckets: dict[Place, _Bucket] = {}
        self._active: dict[Place, _Bucket] = {}  # of which something was taken or refused since the last exchange
        self._here = workers
        self.workers = workers
        """That give out of the same buckets, as far as is known."""
        self._exchanged = clock()

    @property
    def active(self) -> int:
        """Buckets of which something was taken or refused since the last exchange."""
        return len(self._active)

    def take_request(self, key: Principal) -> None:
        """Raises QuotaExceeded."""
        if (rate := key.quota_requests_per_s or self._limits.requests_per_s) is not None:
            self._take(key.key_id, "requests", rate, 1)

    def take_readings(self, key: Principal, count: int) -> None:
        """Raises QuotaExceeded. A batch larger than a second's quota passes when the bucket is full, on credit."""
        if (rate := key.quota_readings_per_s or self._limits.readings_per_s) is not None and count:
            self._take(key.key_id, "readings", rate, count)

    def take(self, key: Principal, count: int) -> None:
        """Take a request with so many readings, or nothing. Raises QuotaExceeded."""
        if (rate := key.quota_requests_per_s or self._limits.requests_per_s) is not None:
            self._filled(key.key_id, "requests", rate, 1)
        self.take_readings(key, count)
        self.take_request(key)

    def check(self, key: Principal) -> None:
        """Raises QuotaExceeded where not even one reading would pass: then its batch need not be read."""
        if (rate := key.quota_requests_per_s or self._limits.requests_per_s) is not None:
            self._filled(key.key_id, "requests", rate, 1)
        if (rate := key.quota_readings_per_s or self._limits.readings_per_s) is not None:
            self._filled(key.key_id, "readings", rate, 1)

    def _take(self, key_id: str, policy: str, rate: int, count: int) -> None:
        bucket = self._filled(key_id, policy, rate, count)
        bucket.tokens -= count
        bucket.taken += count
        self._active[key_id, policy] = bucket

    def _filled(self, key_id: str, policy: str, rate: int, count: int) -> _Bucket:
        """The bucket, with what flowed in by now. Raises QuotaExceeded where that is too little."""
        now = self._clock()
        most = self._most(rate, now)
        bucket = self._buckets.get((key_id, policy))
        if bucket is None:
            if len(self._buckets) >= MAX_BUCKETS:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[key_id, policy] = _Bucket(rate, most, now)
        # Between exchanges only this worker's share flows in: others may take the rest, however late that is heard.
        bucket.rate = rate  # the key's own may have been changed
        bucket.tokens = min(most, bucket.tokens + (now - bucket.at) * rate / self.workers)
        bucket.at = now
        needed = min(count, most)
        if bucket.tokens < needed:
            self._active[key_id, policy] = bucket  # the shared one may hold more
            raise QuotaExceeded(policy, rate, max(1, math.ceil((needed - bucket.tokens) / most)))
        return bucket

    def _most(self, rate: int, now: float) -> float:
        """What a bucket holds: a second's worth, or this worker's share of it if nobody can be asked."""
        return rate if now - self._exchanged < STALE_S else rate / self.workers

    def hand_in(self, most: int) -> list[tuple[Place, int, int]]:
        """At most `most` buckets that were asked for: place, rate, and how much was taken, which is counted anew."""
        told = []
        for place in list(self._active)[:most]:
            bucket = self._active.pop(place)
            told.append((place, bucket.rate, bucket.taken))
            bucket.taken = 0
        return told

    def learn(self, left: dict[Place, float], workers: int) -> None:
        """Hear what the shared buckets held a moment ago, and how many workers give out of them."""
        self._exchanged, self.workers = self._clock(), max(self._here, workers)
        for place, tokens in left.items():
            bucket = self._buckets.get(place)
            if bucket is not None:
                bucket.tokens, bucket.at = tokens - bucket.taken, self._exchanged

    def take_back(self, told: list[tuple[Place, int, int]]) -> None:
        """What was handed in did not arrive: tell it next time. (It may be told twice; then the key waits for it.)

        A second's worth at most: what was given out while nobody could be asked was this worker's share.
        """
        for place, rate, taken in told:
            if (bucket := self._buckets.get(place)) is not None:
                bucket.taken = min(rate, bucket.taken + taken)
                self._active[place] = bucket
