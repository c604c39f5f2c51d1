"""Stepping: what the readings of locked series do to the states of their rules, and what is written of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from alerts import record
from alerts.alert import Alert, raised
from alerts.flapping import Bounds
from alerts.machine import Transition
from alerts.machine import step as step_machine
from alerts.matching import WatchingRule
from alerts.rate import Point, rates
from alerts.record import Connection, Pair, Standing
from schemas.columns import SeriesKey
from schemas.events import Event, EventType
from schemas.times import to_datetime

Readings = dict[int, list[Point]]
"""By series id, in ascending time."""
Watched = Mapping[int, tuple[SeriesKey, tuple[WatchingRule, ...]]]
"""By series id: its name, and the rules about it."""

Moving = dict[Pair, tuple[WatchingRule, SeriesKey]]


async def step(connection: Connection, watched: Watched, readings: Readings, bounds: Bounds) -> list[Event]:
    """Step the states of these series, which are locked, over readings later than any stepped before.

    Runs in a transaction, last before COMMIT. A rule that was changed or deleted meanwhile steps nothing.
    """
    active = await record.active(connection, readings)
    moving = _moving(watched, readings, set(active))
    revisions = await record.lock_rules(connection, {rule.id for rule, _ in moving.values()}) if moving else {}
    moving = {pair: found for pair, found in moving.items() if revisions.get(pair[0]) == found[0].revision}
    before = await record.states(connection, moving) if moving else {}
    inputs = await _inputs(connection, moving, readings)
    before = await _with_quiet(connection, before, inputs)
    after, steps = _step_all(moving, before, inputs, readings, bounds)
    hot = dict.fromkeys(readings, False)
    for pair in active:
        hot[pair[1]] |= pair not in after  # of a rule that is not known here: somebody else's to step
    for pair, standing in after.items():
        hot[pair[1]] |= standing.is_active
    await record.set_hot(connection, hot)
    return await _write(connection, moving, before, after, steps)


@dataclass(frozen=True, slots=True)
class _Step:
    """Something to be told: a transition, or that flapping begins or ends."""

    ts: int
    pair: Pair
    event: EventType
    transition: Transition | None


def _moving(watched: Watched, readings: Readings, active: set[Pair]) -> Moving:
    """The (rule, series) that the readings may move: crossed by one of them, or active."""
    moving = {}
    for series_id, points in readings.items():
        key, rules = watched.get(series_id, (None, ()))
        for rule in rules:
            pair = rule.id, series_id
            if key and (pair in active or any(rule.is_crossed_by(value) for _, value in points)):
                moving[pair] = (rule, key)
    return moving


async def _inputs(connection: Connection, moving: Moving, readings: Readings) -> dict[Pair, list[Point]]:
    """What each pair judges: the readings themselves, or their rates."""
    inputs = {pair: readings[pair[1]] for pair in moving}
    windows = {pair: rule.window_us for pair, (rule, _) in moving.items() if rule.window_us is not None}
    if windows:
        wanted = [
            record.Window(pair[1], window_us, inputs[pair][0][0], inputs[pair][-1][0])
            for pair, window_us in windows.items()
        ]
        found = await record.read_windows(connection, wanted)
        for (pair, window_us), before in zip(windows.items(), found, strict=True):
            inputs[pair] = rates(before, inputs[pair], window_us)
    return inputs


async def _with_quiet(
    connection: Connection, before: dict[Pair, Standing], inputs: dict[Pair, list[Point]]
) -> dict[Pair, Standing]:
    """The states with the evaluations that were left out while they were at rest, as flapping counts them."""
    spans = {
        pair: (pair[1], standing.state.last_ts, inputs[pair][0][0])
        for pair, standing in before.items()
        if standing.flapping.history and not standing.is_active and standing.state.last_ts is not None and inputs[pair]
    }
    if not spans:
        return before
    counts = dict(zip(spans, await record.count_quiet(connection, list(spans.values())), strict=True))
    return {
        pair: replace(standing, flapping=standing.flapping.after_quiet(counts.get(pair, 0)))
        for pair, standing in before.items()
    }


def _step_all(
    moving: Moving,
    before: dict[Pair, Standing],
    inputs: dict[Pair, list[Point]],
    readings: Readings,
    bounds: Bounds,
) -> tuple[dict[Pair, Standing], list[_Step]]:
    after: dict[Pair, Standing] = {}
    steps: list[_Step] = []
    for pair, standing in before.items():
        state, flapping, rule = standing.state, standing.flapping, moving[pair][0]
        for ts, value in inputs[pair]:
            state, transition = step_machine(rule.condition, state, ts, value)
            was, flapping = flapping, flapping.after(bounds, changed=transition is not None)
            if transition is not None:
                steps.append(_Step(ts, pair, transition.event, transition))
            if flapping.marked != was.marked:
                event = EventType.FLAPPING_STARTED if flapping.marked else EventType.FLAPPING_STOPPED
                steps.append(_Step(ts, pair, event, None))
        if state.last_ts != readings[pair[1]][-1][0]:  # the last ones had no rate
            state = replace(state, last_ts=readings[pair[1]][-1][0])
        after[pair] = Standing(state, standing.alert, flapping)
    steps.sort(key=lambda item: (item.ts, item.pair))  # stably: what a reading began is told before its flapping
    return after, steps


async def _write(
    connection: Connection,
    moving: Moving,
    before: dict[Pair, Standing],
    after: dict[Pair, Standing],
    steps: Sequence[_Step],
) -> list[Event]:
    firing = sum(step.event is EventType.FIRING for step in steps)
    fresh = iter(await record.new_alert_ids(connection, firing))
    changed: dict[int, Alert] = {}
    told = []
    for each in steps:
        rule, key = moving[each.pair]
        standing = after[each.pair]
        alert = standing.alert
        if each.transition is None:
            if alert is None:
                continue
        elif each.event is EventType.FIRING or alert is None:
            alert = raised(next(fresh), rule, each.pair[1], key, each.transition)
        else:
            alert = alert.moved(rule, each.transition)
        after[each.pair] = Standing(standing.state, alert, standing.flapping)
        changed[alert.id] = alert
        told.append((alert, each))
    acknowledgements = await record.save_alerts(connection, changed.values()) if changed else {}
    moved = {pair: standing for pair, standing in after.items() if before[pair].is_active or standing.is_active}
    # One that fired and resolved within the group: not active before or after, but with a history.
    moved |= {step.pair: after[step.pair] for step in steps}
    if moved:
        await record.save_states(connection, moved)
    hooks = {rule.id: rule.webhooks for rule, _ in moving.values() if rule.webhooks}
    events = []
    for alert, each in told:
        shown = alert.acknowledged(acknowledgements[alert.id])
        events.append((shown, shown.event(each.event, to_datetime(each.ts))))
    return await record.save_events(connection, events, hooks) if events else []
