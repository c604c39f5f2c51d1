"""Screening: for each series id, the rules about it and the nearest limits of all of them, as arrays."""

from collections.abc import Sequence

import numpy as np

from alerts.matching import RuleSet, WatchingRule
from schemas.columns import Float64s, Int64s, Rows, SeriesKey

_FIRST_CAPACITY = 1_024  # series ids the arrays have room for at first; they double


class Screen:
    """One set of rules over the series that were heard of since."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self.series: dict[int, tuple[SeriesKey, tuple[WatchingRule, ...]]] = {}
        """By id: the name of a watched series, and the rules about it."""
        self._make_room(_FIRST_CAPACITY)

    def emptied(self) -> "Screen":
        """Another one of the same rules, that has heard of no series."""
        return Screen(self._rules)

    def _make_room(self, capacity: int) -> None:
        self._upper: Float64s = np.full(capacity, np.inf)
        self._lower: Float64s = np.full(capacity, -np.inf)

    def learn(self, series: Sequence[tuple[int, SeriesKey]]) -> None:
        """Hear of series."""
        if not series:
            return
        highest = max(series_id for series_id, _ in series)
        if highest >= len(self._upper):
            upper, lower = self._upper, self._lower
            self._make_room(max(highest + 1, 2 * len(upper)))
            self._upper[: len(upper)], self._lower[: len(lower)] = upper, lower
        if not self._rules:
            return
        for series_id, key in series:
            rules = self._rules.watching(key)
            if rules:
                self.series[series_id] = (key, rules)
                self._upper[series_id] = min(rule.upper for rule in rules)
                self._lower[series_id] = max(rule.lower for rule in rules)

    def unlearn(self, series: Sequence[int]) -> None:
        """Forget series."""
        for series_id in series:
            if self.series.pop(series_id, None) is not None:
                self._upper[series_id], self._lower[series_id] = np.inf, -np.inf

    def screen(self, rows: Rows, hot: Sequence[int]) -> Int64s | None:
        """Places of all rows of every series of which one row is beyond a limit, or which is hot; None for none."""
        if not (self.series or hot):
            return None
        ids, value = rows.series_id, rows.value
        suspicious = (value > self._upper[ids]) | (value < self._lower[ids])
        if hot:
            suspicious |= np.isin(ids, hot)
        if not suspicious.any():
            return None
        return np.flatnonzero(np.isin(ids, ids[suspicious]))
