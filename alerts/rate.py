"""The change per second that a rate rule judges. Pure."""

import sys
from collections import deque
from collections.abc import Iterable, Sequence

_MOST = sys.float_info.max  # the change between two finite values may be infinite, which no event can hold
Point = tuple[int, float]
"""Microseconds since the Unix epoch, value."""


def rates(before: Iterable[Point], points: Sequence[Point], window_us: int) -> list[Point]:
    """The rate at each point: the change since the oldest reading at most `window_us` before it, a second.

    `before` are readings older than the points; both ascend. A point without a reading in its window has no rate.
    """
    window = deque(before)
    found = []
    for ts, value in points:
        while window and ts - window[0][0] > window_us:
            window.popleft()
        if window:
            then, was = window[0]
            found.append((ts, max(-_MOST, min(_MOST, (value - was) / ((ts - then) / 1e6)))))
        window.append((ts, value))
    return found
