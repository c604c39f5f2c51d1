"""Admission: when it refuses, and when it says to come again."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from ingest.admission import TELL_WITHIN_S, TELLS_PER_S, Admission, AdmissionLimits, Crowd, retry_after_s
from schemas.errors import Overloaded


@pytest.mark.parametrize(
    ("wait_s", "least", "most"),
    [(-1.0, 1, 1), (0.0, 1, 1), (0.4, 1, 2), (1.0, 1, 3), (8.0, 7, 11), (40.0, 31, 51), (60.0, 46, 60), (1e9, 60, 60)],
)
def test_the_time_to_wait_is_whole_bounded_and_grows(wait_s: float, least: int, most: int) -> None:
    assert retry_after_s(wait_s, 0.0) == least
    assert retry_after_s(wait_s, 0.999999) == most


def test_who_is_told_alike_does_not_come_back_together() -> None:
    chance = random.Random(5)
    counts = Counter(retry_after_s(20.0, chance.random()) for _ in range(20_000))
    assert set(counts) == set(range(16, 27))
    assert max(counts.values()) < 0.12 * 20_000, "each second has its share"
    assert sum(wait * count for wait, count in counts.items()) / 20_000 == pytest.approx(21, abs=0.2)


def refused(call: Callable[[], None]) -> Overloaded:
    """The refusal."""
    with pytest.raises(Overloaded) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("rows", "held", "oldest", "word"),
    [
        (10, 0, None, "10 readings"),
        (9, 100, None, "100 bytes"),
        (9, 99, 97.9, "2.1 s"),
        (9, 99, 98.5, None),
        (9, 99, None, None),
    ],
)
def test_what_waits_is_bounded_in_rows_bytes_and_time(
    rows: int, held: int, oldest: float | None, word: str | None
) -> None:
    admission = Admission(AdmissionLimits(queue_rows=10, queue_bytes=100, queue_s=2.0))
    admission.enter(rows, held)
    if word is None:
        admission.check(100.0, oldest)
        return
    assert word in str(refused(lambda: admission.check(100.0, oldest)))
    admission.leave(rows, held)
    admission.check(100.0, None)


def test_a_turn_of_the_loop_that_lasts_takes_no_more() -> None:
    admission = Admission(AdmissionLimits(turn_s=0.5))
    admission.check(100.0, None, 0.5)
    assert "0.6 s" in str(refused(lambda: admission.check(100.0, None, 0.6)))


def make(rows: int) -> Admission:
    """Full, with what a lane stores known: batches of ten, a thousand rows a second."""
    admission = Admission(AdmissionLimits(queue_rows=1), chance=lambda: 0.5)
    for _ in range(50):
        admission.stored(10_000, 1_000, 10.0, 0.0)
    admission.enter(rows, 0)
    return admission


def test_more_that_waits_is_more_to_wait() -> None:
    waits = [refused(lambda rows=rows: make(rows).check(0.0, None)).retry_after for rows in (10, 4_000, 20_000, 10**7)]  # type: ignore[misc]
    assert waits == [1, 5, 21, 60]


def test_each_who_is_refused_comes_behind_the_last() -> None:
    admission = make(1_000)
    waits = [refused(lambda: admission.check(0.0, None)).retry_after or 0 for _ in range(1_000)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (2, 12), "a thousand batches of ten at a thousand rows a second are ten seconds"
    assert refused(lambda: admission.check(1.5, None)).retry_after == 7, "half of them were refused a second ago"
    assert refused(lambda: admission.check(9.0, None)).retry_after == 2, "a storm that is over is forgotten"


def test_a_crowd_that_hammers_is_told_so_many_a_second() -> None:
    crowd, now, told = Crowd(), 0.0, 0
    while now < 10:  # one sender that comes again as soon as it was told
        now += crowd.enter(now) or 1e-4
        told += 1
    assert told == pytest.approx(10 * TELLS_PER_S, rel=0.1)
    assert crowd.enter(20.0) == 0, "who comes alone is told at once"


def test_everybody_of_a_crowd_is_told_in_order_and_soon() -> None:
    crowd = Crowd()
    delays = [crowd.enter(5.0) for _ in range(10 * TELLS_PER_S)]
    assert delays == sorted(delays)
    assert [delays[0], delays[TELLS_PER_S], delays[-1]] == pytest.approx([0, 1, TELL_WITHIN_S])


def test_a_crowd_that_cannot_be_answered_at_the_door_is_bounded_in_each_turn() -> None:
    admission = Admission(AdmissionLimits(turn_requests=3))
    for turn in (1.0, 2.0):
        for _ in range(3):
            admission.check_long_way(turn)
        refused(lambda turn=turn: admission.check_long_way(turn))  # type: ignore[misc]


def test_groups_of_few_say_nothing_of_how_fast_many_drain() -> None:
    admission = make(0)
    for _ in range(100):
        admission.stored(1, 1, 0.5, 0.0)
    assert admission.rate == pytest.approx(1_000, rel=0.02)


def test_the_drain_is_measured_while_something_waits() -> None:
    admission = Admission(AdmissionLimits())
    admission.enter(100_000, 0)
    for step in range(100):  # a group of ten thousand each tenth of a second, of two lanes that take twice as long
        admission.stored(10_000, 100, 0.2, step / 10)
    assert admission.rate == pytest.approx(100_000, rel=0.1)
    admission.leave(100_000, 0)
    admission.stored(1, 1, 1.0, 99.0)  # an idle minute later: it says nothing
    assert admission.rate == pytest.approx(100_000, rel=0.1)
