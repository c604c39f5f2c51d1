"""Rates: the change since the oldest reading of the window, a second."""

import sys
from collections.abc import Sequence

import pytest

from alerts.rate import Point, rates

S = 1_000_000
MOST = sys.float_info.max


@pytest.mark.parametrize(
    ("before", "points", "wanted"),
    [
        ([], [(0, 1.0)], []),
        ([], [], []),
        ([], [(0, 1.0), (2, 5.0)], [(2, 2.0)]),
        ([], [(0, 1.0), (10, 5.0), (11, 6.0)], [(10, 0.4), (11, 1.0)]),
        ([], [(0, 1.0), (11, 5.0)], []),
        ([(-4, 0.0), (-1, 9.0)], [(1, 10.0)], [(1, 2.0)]),
        ([(-40, 0.0), (-1, 9.0)], [(1, 5.0)], [(1, -2.0)]),
        ([(-40, 0.0)], [(1, 5.0)], []),
        ([], [(0, -MOST), (1, MOST), (2, -MOST)], [(1, MOST), (2, 0.0)]),
        ([], [(0, MOST), (1, -MOST)], [(1, -MOST)]),
    ],
)
def test_the_rate_is_since_the_oldest_of_ten_seconds(
    before: Sequence[Point], points: Sequence[Point], wanted: Sequence[Point]
) -> None:
    def micros(found: Sequence[Point]) -> list[Point]:
        return [(seconds * S, value) for seconds, value in found]

    assert rates(micros(before), micros(points), 10 * S) == micros(wanted)
