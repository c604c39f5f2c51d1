"""Alerts that end by something else than a reading: their rule is another or gone, or their device is silent."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from alerts import record
from alerts.alert import Alert
from alerts.record import Connection, Pair
from schemas.events import EventType

_DELETE = """
DELETE FROM alert_states st USING unnest($1::int[], $2::int[]) AS n (rule_id, series_id)
WHERE st.rule_id = n.rule_id AND st.series_id = n.series_id
"""
_HOOKS = "SELECT id, document->'webhooks' AS urls FROM rules WHERE id = ANY($1::int[])"

Told = list[tuple[Alert, dict[str, Any]]]
"""Alerts with the payloads of their events, to be numbered and written by `record.save_events`."""


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
    flapping = [each.alert for each in standings.values() if each.alert and each.flapping.marked]
    told += [(alert, alert.event(EventType.FLAPPING_STOPPED, at)) for alert in flapping]
    return told


async def hooks_of(connection: Connection, rules: Collection[int]) -> dict[int, list[str]]:
    """The webhooks of these rules."""
    return {found["id"]: json.loads(found["urls"] or "[]") for found in await connection.fetch(_HOOKS, list(rules))}
