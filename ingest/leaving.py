"""Series that left the cache: known a while longer, as a batch that was given their ids may be under way."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from schemas.columns import SeriesKey
from schemas.errors import Overloaded

LEFT_S = 30.0  # from leaving to being unlearned: several deadlines of a batch
MAX_LEFT = 100_000  # that left within this time, or as many as the cache holds; beyond them no new ones come
UNLEARNED = 5_000  # at a time: bounds the hold on the loop, and is more than come at a time

Unlearn = Callable[[Sequence[int]], None]


class Leaving:
    """Those of one cache, in the order in which they left it."""

    def __init__(self, unlearn: Unlearn) -> None:
        self._unlearn = unlearn
        self._left: deque[tuple[float, SeriesKey, int]] = deque()  # since when, monotonic seconds
        self._times: Counter[int] = Counter()  # that each id is in there: it may come back, and leave again

    def __len__(self) -> int:
        return len(self._left)

    def items(self) -> Iterator[tuple[SeriesKey, int]]:
        """Their names and ids."""
        return ((key, series_id) for _, key, series_id in self._left)

    def add(self, key: SeriesKey, series_id: int) -> None:
        """One leaves."""
        self._left.append((time.monotonic(), key, series_id))
        self._times[series_id] += 1

    def clear(self) -> None:
        """Forget all at once, as their ids are nobody's any more."""
        self._left.clear()
        self._times.clear()

    def require_room(self, max_cached: int) -> None:
        """Raise Overloaded where too many are leaving already."""
        if len(self._left) > max(max_cached, MAX_LEFT):
            raise Overloaded(f"{len(self._left)} series left the cache within {LEFT_S:.0f} s")

    def let_go(self, cached: Mapping[SeriesKey, int]) -> None:
        """Have those unlearned that left long ago, but for those which came back, even if they left again."""
        now = time.monotonic()
        gone: list[int] = []
        while self._left and now - self._left[0][0] > LEFT_S and len(gone) < UNLEARNED:
            _, key, series_id = self._left.popleft()
            self._times[series_id] -= 1
            if not self._times[series_id]:
                del self._times[series_id]
                if cached.get(key) != series_id:
                    gone.append(series_id)
        self._unlearn(gone)
