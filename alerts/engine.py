"""The alert engine: screens every group in a few array operations, and steps what a rule has to look at.

Screening knows, for each series id, the nearest limits of all its rules, and whether an alert is active or about to
be. Only readings beyond a limit, or of such a series, cost anything more.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import asyncpg
import numpy as np

from alerts import record
from alerts.alert import Alert, raised
from alerts.machine import Phase, Transition, step
from alerts.matching import RuleSet, WatchingRule
from alerts.record import Pair, Standing
from schemas.columns import Bools, Float64s, Int64s, Rows, SeriesKey, canonical_labels
from schemas.events import Event, EventType
from schemas.times import to_datetime

LATE_AFTER_US = 300_000_000  # a reading older than this on arrival is stored and changes no state
_FIRST_CAPACITY = 1_024  # series ids the arrays have room for at first; they double

Readings = dict[int, list[tuple[int, float]]]
"""By series id, in ascending time: (microseconds, value)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stepping a group came to, to be told once it is committed."""

    events: list[Event]
    active: dict[tuple[SeriesKey, int], bool]
    """By (series, rule id): whether it is pending or firing now."""


class Engine:
    """Implements the write path's `Screening`."""

    def __init__(self, publish: Callable[[list[Event]], None]) -> None:
        self._publish = publish
        self.ready = False
        """Whether rules were ever loaded: before that, screening would let everything pass."""
        self._rules = RuleSet()
        self._watched: dict[int, tuple[SeriesKey, tuple[WatchingRule, ...]]] = {}
        self._active: dict[SeriesKey, set[int]] = {}  # by series: rules that are pending or firing
        self._ids: dict[SeriesKey, int] = {}  # of watched series
        self._make_room(_FIRST_CAPACITY)

    def _make_room(self, capacity: int) -> None:
        self._upper: Float64s = np.full(capacity, np.inf)
        self._lower: Float64s = np.full(capacity, -np.inf)
        self._hot: Bools = np.zeros(capacity, np.bool_)

    # -- what is watched ------------------------------------------------------------------------------------------

    def load(
        self, rules: RuleSet, active: Iterable[tuple[int, SeriesKey]], known: Iterable[tuple[SeriesKey, int]]
    ) -> None:
        """Take new rules, the (rule id, series) that are pending or firing, and the series already in use."""
        self._rules = rules
        self._watched, self._ids = {}, {}
        # What was active before stays so, as it may have become so after `active` was read; the next step finds out.
        kept = {key: ids & rules.ids for key, ids in self._active.items()}
        self._active = {key: ids for key, ids in kept.items() if ids}
        for rule_id, key in active:
            self._active.setdefault(key, set()).add(rule_id)
        self._make_room(len(self._upper))
        self.learn([(series_id, key) for key, series_id in known])
        self.ready = True

    def learn(self, series: Sequence[tuple[int, SeriesKey]]) -> None:
        """Hear of series that are about to be written for the first time."""
        if not series:
            return
        highest = max(series_id for series_id, _ in series)
        if highest >= len(self._upper):
            self._grow(highest + 1)
        if not self._rules:
            return
        for series_id, key in series:
            rules = self._rules.watching(key)
            if rules:
                self._watched[series_id] = (key, rules)
                self._ids[key] = series_id
                self._upper[series_id] = min(rule.upper for rule in rules)
                self._lower[series_id] = max(rule.lower for rule in rules)
                self._hot[series_id] = key in self._active

    def _grow(self, needed: int) -> None:
        upper, lower, hot = self._upper, self._lower, self._hot
        self._make_room(max(needed, 2 * len(upper)))
        self._upper[: len(upper)], self._lower[: len(lower)], self._hot[: len(hot)] = upper, lower, hot

    def hear(self, events: Sequence[Event]) -> None:
        """Another worker's transitions (or our own, again): know which series are hot.

        A resolved alert cools nothing: its series may be pending or firing again by now. The next step finds out.
        """
        for event in events:
            alert = event.data["alert"]
            if alert["state"] == "firing":
                key = SeriesKey(alert["device"], alert["metric"], canonical_labels(alert["labels"]))
                self._mark(key, alert["rule"]["id"], active=True)

    def _mark(self, key: SeriesKey, rule_id: int, *, active: bool) -> None:
        if active:
            self._active.setdefault(key, set()).add(rule_id)
        elif rules := self._active.get(key):
            rules.discard(rule_id)
            if not rules:
                del self._active[key]
        if (series_id := self._ids.get(key)) is not None:
            self._hot[series_id] = key in self._active

    # -- the write path's view ------------------------------------------------------------------------------------

    def screen(self, rows: Rows) -> Int64s | None:
        """Places of all rows of every series of which one row is beyond a limit, or which is hot."""
        if not self._watched:
            return None
        ids, value = rows.series_id, rows.value
        suspicious = (value > self._upper[ids]) | (value < self._lower[ids]) | self._hot[ids]
        if not suspicious.any():
            return None
        return np.flatnonzero(np.isin(ids, ids[suspicious]))

    async def step(self, connection: asyncpg.pool.PoolConnectionProxy, rows: Rows, places: Int64s) -> Outcome:
        """Step the states of these rows, each later than all stored ones of its series; write down what came of it."""
        readings = _by_series(rows, places)
        pairs = self._pairs(readings)
        if not pairs:
            return Outcome([], {})
        revisions = await record.lock_rules(connection, {rule.id for rule, _ in pairs.values()})
        live = [pair for pair, (rule, _) in pairs.items() if revisions.get(rule.id) == rule.revision]
        if not live:
            return Outcome([], {})
        standings = await record.lock_states(connection, live)
        steps: list[tuple[Pair, Transition]] = []
        for pair, standing in standings.items():
            state, rule = standing.state, pairs[pair][0]
            for ts, value in readings[pair[1]]:
                state, transition = step(rule.condition, state, ts, value)
                if transition is not None:
                    steps.append((pair, transition))
            standings[pair] = Standing(state, standing.alert)
        events = await self._write(connection, pairs, standings, steps)
        active = {
            (pairs[pair][1], pair[0]): standing.state.phase is not Phase.OK for pair, standing in standings.items()
        }
        return Outcome(events, active)

    def committed(self, outcome: Outcome) -> None:
        """The outcome is durable: remember what is active, and tell every worker."""
        for (key, rule_id), active in outcome.active.items():
            self._mark(key, rule_id, active=active)
        if outcome.events:
            self._publish(outcome.events)

    # -- stepping -------------------------------------------------------------------------------------------------

    def _pairs(self, readings: Readings) -> dict[Pair, tuple[WatchingRule, SeriesKey]]:
        """The (rule, series) that these readings may move: crossed by one of them, or active."""
        pairs = {}
        for series_id, points in readings.items():
            key, rules = self._watched.get(series_id, (None, ()))
            for rule in rules:
                if key and (rule.id in self._active.get(key, ()) or any(rule.is_crossed_by(v) for _, v in points)):
                    pairs[rule.id, series_id] = (rule, key)
        return pairs

    async def _write(
        self,
        connection: asyncpg.pool.PoolConnectionProxy,
        pairs: dict[Pair, tuple[WatchingRule, SeriesKey]],
        standings: dict[Pair, Standing],
        steps: list[tuple[Pair, Transition]],
    ) -> list[Event]:
        steps.sort(key=lambda item: (item[1].ts, item[0]))
        firing = sum(transition.event is EventType.FIRING for _, transition in steps)
        fresh = iter(await record.new_alert_ids(connection, firing))
        changed: dict[int, Alert] = {}
        told = []
        for pair, transition in steps:
            rule, key = pairs[pair]
            alert = standings[pair].alert
            if transition.event is EventType.FIRING or alert is None:
                alert = raised(next(fresh), rule, pair[1], key, transition)
            else:
                alert = alert.moved(rule, transition)
            standings[pair] = Standing(standings[pair].state, alert)
            changed[alert.id] = alert
            told.append((alert, alert.event(transition.event, to_datetime(transition.ts))))
        if changed:
            await record.save_alerts(connection, changed.values())
        await record.save_states(connection, standings)
        return await record.save_events(connection, told) if told else []


def _by_series(rows: Rows, places: Int64s) -> Readings:
    """The readings that are not late, by series."""
    places = places[rows.ts[places] >= rows.arrived[places] - LATE_AFTER_US]
    readings: Readings = {}
    for series_id, ts, value in zip(
        *(part[places].tolist() for part in (rows.series_id, rows.ts, rows.value)), strict=True
    ):
        readings.setdefault(series_id, []).append((ts, value))
    return readings
