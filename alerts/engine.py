"""The alert engine: screens every group in a few array operations, and steps what a rule has to look at.

Which series are hot (a rule is pending or firing for them) the write path learns from PostgreSQL with the lock of the
series, so that every reading that has to be stepped is stepped, whichever worker took the ones before it.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext

import asyncpg

from alerts import stepping
from alerts.flapping import Bounds
from alerts.matching import RuleSet
from alerts.screen import Screen
from schemas.columns import LATE_AFTER_US, Int64s, Rows, SeriesKey
from schemas.events import Event
from schemas.tracing import Traces

_CHUNK = 200  # series learned at a time: bounds the hold on the loop


class Engine:
    """Implements the write path's `Screening`."""

    def __init__(
        self, publish: Callable[[list[Event]], None], bounds: Bounds | None = None, traces: Traces | None = None
    ) -> None:
        self._publish, self._traces = publish, traces
        self._bounds = bounds or Bounds()
        self.ready = False
        """Whether rules were ever loaded: before that, screening would let everything pass."""
        self.stepped = 0
        """Readings that were stepped, since the start."""
        self._screen = Screen(RuleSet())
        self._next: Screen | None = None  # of rules that are being loaded

    async def load(self, rules: RuleSet, known: Iterable[tuple[SeriesKey, int]]) -> None:
        """Take new rules over the series already in use; the old ones watch until the new ones are ready."""
        loading = self._next = Screen(rules)
        series = [(series_id, key) for key, series_id in known]
        for start in range(0, len(series), _CHUNK):
            loading.learn(series[start : start + _CHUNK])
            await asyncio.sleep(0)
            if self._next is not loading:  # these ids mean nothing any more: whoever said so has them loaded again
                return
        self._screen, self._next = self._next, None
        self.ready = True

    def renew(self) -> None:
        """Forget every series: their ids may be other ones' now. They are learned again before they are written."""
        self._screen = self._screen.emptied()  # who is stepping keeps the one he has
        self._next = None

    def learn(self, series: Sequence[tuple[int, SeriesKey]]) -> None:
        """Hear of series that are about to be written for the first time."""
        for screen in (self._screen, self._next):
            if screen is not None:
                screen.learn(series)

    def unlearn(self, series: Sequence[int]) -> None:
        """Forget series of these ids: nobody writes them any more before they are learned again."""
        for screen in (self._screen, self._next):
            if screen is not None:
                screen.unlearn(series)

    @property
    def watched(self) -> int:
        """Series that some rule is about, of those that were learned."""
        return len(self._screen.series)

    def screen(self, rows: Rows, hot: Sequence[int]) -> Int64s | None:
        """Places of all rows of every series of which one row is beyond a limit, or which is hot; None for none."""
        return self._screen.screen(rows, hot)

    async def step(self, connection: asyncpg.pool.PoolConnectionProxy, rows: Rows, places: Int64s) -> list[Event]:
        """Step the states of these rows, each later than all stored ones of its locked series; returns what to tell."""
        readings = _by_series(rows, places)
        if not readings:
            return []
        self.stepped += sum(map(len, readings.values()))
        with nullcontext() if self._traces is None else self._traces.span("alert", series=len(readings)):
            return await stepping.step(connection, self._screen.series, readings, self._bounds)

    def committed(self, outcome: list[Event]) -> None:
        """The events are durable: tell every worker."""
        if outcome:
            with nullcontext() if self._traces is None else self._traces.span("publish", events=len(outcome)):
                self._publish(outcome)


def _by_series(rows: Rows, places: Int64s) -> stepping.Readings:
    """The readings that are not late, by series."""
    places = places[rows.ts[places] >= rows.arrived[places] - LATE_AFTER_US]
    readings: stepping.Readings = {}
    columns = rows.series_id[places].tolist(), rows.ts[places].tolist(), rows.value[places].tolist()
    for series_id, ts, value in zip(*columns, strict=True):
        readings.setdefault(series_id, []).append((ts, value))
    return readings
