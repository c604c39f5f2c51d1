"""Catching up: what a race left unstepped is stepped by the elected worker.

A worker that does not know a rule yet, which another was just firing, stores readings that the rule should have seen.
Such a (rule, series) is active although its last reading is not the newest live one; the readings between are stored.
"""

import json
from collections.abc import Callable

import asyncpg

from alerts import stepping
from alerts.flapping import Bounds
from alerts.matching import ready
from alerts.record import ACQUIRE_S, Connection, Pair
from alerts.rulebook import readable_rule
from schemas.columns import SeriesKey, canonical_labels
from schemas.conditions import Absent
from schemas.events import Event
from schemas.times import to_datetime, to_micros

AT_ONCE = 200  # (rule, series) of one turn
READINGS = 20_000  # of one step; what is left is the next turn's

_BEHIND = """
SELECT st.rule_id, st.series_id
FROM alert_states st
JOIN newest n ON n.series_id = st.series_id
JOIN rules r ON r.id = st.rule_id AND NOT r.ending
WHERE (st.phase <> 'ok' OR st.flapping) AND n.live_us > (extract(epoch FROM st.last_ts) * 1000000)::bigint
ORDER BY st.series_id
LIMIT $1
"""
_LOCK = """
SELECT n.live_us, st.last_ts, s.device, s.metric, s.labels::text AS labels,
       r.id, r.revision, r.document, r.created_at, r.updated_at
FROM newest n
JOIN series s ON s.id = n.series_id
JOIN alert_states st ON st.series_id = n.series_id AND st.rule_id = $1
JOIN rules r ON r.id = st.rule_id AND NOT r.ending
WHERE n.series_id = $2
FOR UPDATE OF n
"""
_READINGS = "SELECT ts, value FROM readings_between($1, $2, $3) ORDER BY ts LIMIT $4"


class CatchUp:
    """Steps what was stored and not stepped."""

    def __init__(
        self, pool: asyncpg.Pool, publish: Callable[[list[Event]], None], bounds: Bounds | None = None
    ) -> None:
        self._pool, self._publish = pool, publish
        self._bounds = bounds or Bounds()

    async def step(self) -> None:
        """Look once for states that are behind. Raises what the driver raises."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            for found in await connection.fetch(_BEHIND, AT_ONCE):
                async with connection.transaction():
                    events = await _step_pair(connection, tuple(found), self._bounds)
                self._publish(events)


async def _step_pair(connection: Connection, pair: Pair, bounds: Bounds) -> list[Event]:
    found = await connection.fetchrow(_LOCK, *pair)
    if found is None or found["last_ts"] is None:
        return []
    rule, last = readable_rule(found), to_micros(found["last_ts"])
    if found["live_us"] <= last or rule is None or isinstance(rule.condition, Absent):
        return []
    span = to_datetime(last + 1), to_datetime(found["live_us"] + 1)
    points = [
        (to_micros(each["ts"]), each["value"]) for each in await connection.fetch(_READINGS, pair[1], *span, READINGS)
    ]
    key = SeriesKey(found["device"], found["metric"], canonical_labels(json.loads(found["labels"])))
    if not points:
        return []
    return await stepping.step(connection, {pair[1]: (key, (ready(rule),))}, {pair[1]: points}, bounds)
