"""Token buckets, on a clock of the test's own."""

import pytest

from ingest import quota
from ingest.quota import Quota, QuotaLimits
from schemas.errors import QuotaExceeded
from schemas.keys import Principal, Scope


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


def principal(key_id: str, requests: int | None = None, readings: int | None = None) -> Principal:
    """A key, with quotas of its own perhaps."""
    return Principal(key_id, "", frozenset({Scope.INGEST}), None, requests, readings)


def refused(call: object) -> QuotaExceeded:
    """The refusal."""
    assert callable(call)
    with pytest.raises(QuotaExceeded) as caught:
        call()
    return caught.value


def test_without_limits_anything_goes(clock: Clock) -> None:
    free = Quota(QuotaLimits(), clock)
    for _ in range(1_000):
        free.take_request(principal("a"))
        free.take_readings(principal("a"), 10_000)


def test_a_second_has_its_requests_and_refills_evenly(clock: Clock) -> None:
    quota = Quota(QuotaLimits(requests_per_s=4), clock)
    for _ in range(4):
        quota.take_request(principal("a"))
    error = refused(lambda: quota.take_request(principal("a")))
    assert (error.status, error.retry_after) == (429, 1)
    assert error.headers() == {
        "Retry-After": "1",
        "RateLimit-Policy": '"requests";q=4;w=1',
        "RateLimit": '"requests";r=0;t=1',
    }
    clock.now += 0.25
    quota.take_request(principal("a"))
    refused(lambda: quota.take_request(principal("a")))


def test_idle_seconds_are_not_saved_up(clock: Clock) -> None:
    quota = Quota(QuotaLimits(requests_per_s=2), clock)
    quota.take_request(principal("a"))
    clock.now += 3_600
    quota.take_request(principal("a"))
    quota.take_request(principal("a"))
    refused(lambda: quota.take_request(principal("a")))


def test_keys_have_a_bucket_each_and_policies_too(clock: Clock) -> None:
    quota = Quota(QuotaLimits(requests_per_s=1, readings_per_s=10), clock)
    quota.take_request(principal("a"))
    refused(lambda: quota.take_request(principal("a")))
    quota.take_request(principal("b"))
    quota.take_readings(principal("a"), 10)
    assert refused(lambda: quota.take_readings(principal("a"), 1)).policy == "readings"


def test_a_batch_larger_than_a_second_passes_on_credit_and_is_paid_back(clock: Clock) -> None:
    quota = Quota(QuotaLimits(readings_per_s=100), clock)
    quota.take_readings(principal("a"), 350)
    assert refused(lambda: quota.take_readings(principal("a"), 1)).retry_after == 3
    clock.now += 2.5
    refused(lambda: quota.take_readings(principal("a"), 1))
    clock.now += 0.011
    quota.take_readings(principal("a"), 1)


def test_waiting_as_told_is_enough(clock: Clock) -> None:
    quota = Quota(QuotaLimits(readings_per_s=100), clock)
    quota.take_readings(principal("a"), 1_000)
    wait = refused(lambda: quota.take_readings(principal("a"), 1_000)).retry_after
    assert wait == 10
    clock.now += wait
    quota.take_readings(principal("a"), 1_000)


def test_a_refusal_takes_nothing(clock: Clock) -> None:
    quota = Quota(QuotaLimits(readings_per_s=10), clock)
    quota.take_readings(principal("a"), 8)
    for _ in range(5):
        refused(lambda: quota.take_readings(principal("a"), 3))
    quota.take_readings(principal("a"), 2)
    quota.take_readings(principal("a"), 0)


def test_buckets_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "MAX_BUCKETS", 3)
    bounded = Quota(QuotaLimits(requests_per_s=1), clock)
    for key_id in "abcd":
        bounded.take_request(principal(key_id))
    assert len(bounded._buckets) == 3
    refused(lambda: bounded.take_request(principal("d")))
    bounded.take_request(principal("a"))  # forgotten, so it starts afresh


def test_what_others_took_is_paid_back(clock: Clock) -> None:
    here = Quota(QuotaLimits(readings_per_s=100), clock, 2)
    here.take_readings(principal("a"), 60)
    assert here.hand_in(10) == [(("a", "readings"), 100, 60)]
    here.take_readings(principal("a"), 10)  # while Redis is asked
    here.learn({("a", "readings"): -20.0}, 2)
    assert refused(lambda: here.take_readings(principal("a"), 1)).retry_after == 1
    clock.now += 0.4
    refused(
        lambda: here.take_readings(principal("a"), 1)
    )  # half of what flowed in is this worker's, as far as it knows
    assert here.hand_in(10) == [(("a", "readings"), 100, 10)]
    here.learn({("a", "readings"): 10.0}, 2)
    here.take_readings(principal("a"), 9)
    refused(lambda: here.take_readings(principal("a"), 2))
    assert here.hand_in(10) == [(("a", "readings"), 100, 9)]
    assert here.hand_in(10) == []


def test_while_nobody_can_be_asked_each_worker_gives_its_share(clock: Clock) -> None:
    here = Quota(QuotaLimits(readings_per_s=100), clock, 4)
    here.learn({}, 4)
    here.take_readings(principal("a"), 100)
    clock.now += 2 * quota.STALE_S
    for _ in range(3):
        for _ in range(25):
            here.take_readings(principal("a"), 1)
        assert refused(lambda: here.take_readings(principal("a"), 1)).limit == 100
        clock.now += 1
    here.learn({}, 4)
    refused(lambda: here.take_readings(principal("a"), 100))
    assert here.hand_in(10) == [(("a", "readings"), 100, 175)]
    here.learn({("a", "readings"): 100.0}, 4)
    here.take_readings(principal("a"), 100)


def test_what_could_not_be_told_is_told_later_but_no_more_than_a_second_of_it(clock: Clock) -> None:
    here = Quota(QuotaLimits(readings_per_s=10), clock)
    for taken in (6, 6, 6):
        here.take_readings(principal("a"), taken)
        clock.now += 1
        here.take_back(here.hand_in(10))
    assert here.hand_in(10) == [(("a", "readings"), 10, 10)]


def test_a_key_may_have_quotas_of_its_own(clock: Clock) -> None:
    quota = Quota(QuotaLimits(requests_per_s=100, readings_per_s=10), clock)
    few, many, usual = principal("few", requests=2), principal("many", readings=1_000), principal("usual")
    quota.take(many, 1_000)
    quota.take(usual, 10)
    for _ in range(2):
        quota.take(few, 1)
    for key, count, policy, limit in (
        (few, 1, "requests", 2), (many, 1, "readings", 1_000), (usual, 1, "readings", 10),
    ):  # fmt: skip
        error = refused(lambda: quota.take(key, count))  # noqa: B023
        assert (error.policy, error.limit) == (policy, limit)
        assert refused(lambda: quota.check(key)).policy == policy  # noqa: B023
    free = Quota(QuotaLimits(), clock)
    for _ in range(3):
        free.take(usual, 10_000)
    free.take_request(few)
    free.take_request(few)
    assert refused(lambda: free.take_request(few)).limit == 2


def test_a_key_whose_quota_was_changed_has_the_new_one(clock: Clock) -> None:
    here = Quota(QuotaLimits(requests_per_s=5), clock)
    here.take_request(principal("a"))
    here.take_request(principal("a", requests=2))
    here.take_request(principal("a", requests=2))
    assert refused(lambda: here.take_request(principal("a", requests=2))).limit == 2
    assert here.hand_in(10) == [(("a", "requests"), 2, 3)], "of which Redis is told"
