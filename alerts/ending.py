"""Alerts that end by something else than a reading: their rule is another or gone, their device silent or deleted."""

import json
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from alerts import record
from alerts.alert import Alert
from alerts.record import Connection, Pair
from schemas.events import Event, EventType
from schemas.times import to_datetime

_DELETE = """
DELETE FROM alert_states st USING unnest($1::int[], $2::int[]) AS n (rule_id, series_id)
WHERE st.rule_id = n.rule_id AND st.series_id = n.series_id
"""
_HOOKS = "SELECT id, document->'webhooks' AS urls FROM rules WHERE id = ANY($1::int[])"

Told = list[tuple[Alert, dict[str, Any]]]
"""Alerts with the payloads of their events, to be numbered and written by `record.save_events`."""

Ended = tuple[Told, dict[int, list[str]]]
"""What is to be told, and the webhooks of their rules."""


async def end(connection: Connection, pairs: Sequence[Pair], at: datetime) -> Told:
    """Resolve what these pairs fire, and forget their states; returns what is to be told.

    Their series or their rules must be locked, so that nobody steps them meanwhile.
    """
    standings = await record.states(connection, pairs) if pairs else {}
    ended = [each.alert.ended(at) for each in standings.values() if each.alert and each.is_firing]
    acknowledgements = await record.save_alerts(connection, ended) if ended else {}
    ended = [alert.acknowledged(acknowledgements[alert.id]) for alert in ended]
    await connection.execute(_DELETE, [rule_id for rule_id, _ in pairs], [series_id for _, series_id in pairs])
    told = [(alert, alert.event(EventType.RESOLVED, at)) for alert in ended]
    last = {alert.id: alert for alert in ended}  # as what ended with this is told of it, not as it was before
    marked = [each.alert for each in standings.values() if each.alert and each.flapping.marked]
    flapping = [last.get(alert.id, alert) for alert in marked]
    told += [(alert, alert.event(EventType.FLAPPING_STOPPED, at)) for alert in flapping]
    return told


async def hooks_of(connection: Connection, rules: Collection[int]) -> dict[int, list[str]]:
    """The webhooks of these rules."""
    return {found["id"]: json.loads(found["urls"] or "[]") for found in await connection.fetch(_HOOKS, list(rules))}


class Endings:
    """Ends the alerts of series that somebody deletes, in his transaction."""

    def __init__(self, clock_us: Callable[[], int], publish: Callable[[list[Event]], None]) -> None:
        self._clock_us, self._publish = clock_us, publish

    async def end(self, connection: Connection, series: Sequence[int]) -> Ended:
        """Resolve what fires for these series, which are locked, and forget their states."""
        pairs = await record.active(connection, series)
        rules = await record.lock_rules(connection, {rule_id for rule_id, _ in pairs}) if pairs else {}
        return await end(connection, pairs, to_datetime(self._clock_us())), await hooks_of(connection, rules)

    async def record(self, connection: Connection, ended: Ended) -> list[Event]:
        """Number and write the events; COMMIT has to follow at once."""
        told, hooks = ended
        return await record.save_events(connection, told, hooks) if told else []

    def committed(self, events: list[Event]) -> None:
        """Tell everybody."""
        self._publish(events)
