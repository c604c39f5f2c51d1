"""So many at once, by name, and then one in so many seconds: a leaky bucket each, and not too many of them."""

import math
from collections.abc import Callable

MAX_NAMES = 10_000  # remembered by one worker; beyond them the one that came longest ago is forgotten


class Bucket:
    """`burst` at once, then one every `every_s` seconds."""

    def __init__(self, monotonic: Callable[[], float], burst: int, every_s: float = 1.0) -> None:
        self._monotonic, self._burst, self._every_s = monotonic, burst, every_s
        self._until: dict[str, float] = {}  # seconds of the clock at which a name has a clean slate again

    def __len__(self) -> int:
        return len(self._until)

    def take(self, name: str) -> int:
        """Count one more. Gives 0, or in how many seconds there is room again, and then this one does not count."""
        now = self._monotonic()
        owed_s = max(0.0, self._until.get(name, now) - now)
        over_s = owed_s + self._every_s - self._burst * self._every_s
        if over_s > 0:
            return max(1, math.ceil(over_s))
        self._until.pop(name, None)
        if len(self._until) >= MAX_NAMES:
            del self._until[next(iter(self._until))]
        self._until[name] = now + owed_s + self._every_s
        return 0
