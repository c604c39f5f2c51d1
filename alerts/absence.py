"""Absence: devices of the registry that have sent nothing for too long, by the time of arrival.

Judged by the elected worker, as nothing arrives that could. A time in which nobody could have been heard (PostgreSQL
away, no worker running) is nobody's silence: `listening` remembers since when somebody listens.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import asyncpg

from alerts import record
from alerts.alert import Alert
from alerts.ending import end, hooks_of
from alerts.record import ACQUIRE_S, Connection, Pair
from alerts.rulebook import readable_rule
from schemas.conditions import Absent, Policy
from schemas.events import Event, EventType
from schemas.names import as_like
from schemas.rules import Rule
from schemas.times import to_datetime

REGISTRY_LAG_S = 5.0  # arrivals are written down every two seconds, and a busy moment later
DEAF_S = 4.0  # without a sign of the elected worker for so long, nobody was listening
AT_ONCE = 500  # alerts of one transaction: the counter of offsets is locked for everybody meanwhile

_RULES = """
SELECT id, revision, document, created_at, updated_at FROM rules
WHERE document->'condition'->>'type' = 'absent' AND NOT ending
"""
_LISTENING = """
INSERT INTO listening (since, beat_at) VALUES ($1, $1)
ON CONFLICT (singleton) DO UPDATE
SET since = CASE WHEN listening.beat_at < $1 - $2::interval OR listening.beat_at > $1 + $2::interval
                 THEN $1 ELSE listening.since END,
    beat_at = $1
RETURNING since
"""
# A device stands by the first of its series that the rule is about; one that only ever sent backfill was never live.
_SILENT = """
SELECT d.name AS device, d.live_at AS heard,
       s.id AS series_id, s.metric, s.labels::text AS labels
FROM devices d
CROSS JOIN LATERAL (
    SELECT id, metric, labels FROM series
    WHERE device = d.name AND metric LIKE $2 AND labels @> $3::jsonb ORDER BY id LIMIT 1
) s
WHERE d.name LIKE $1 AND d.live_at IS NOT NULL AND greatest(d.live_at, $4) < $5
  AND NOT EXISTS (SELECT FROM alert_states st WHERE st.rule_id = $6 AND st.series_id = s.id AND st.phase <> 'ok')
ORDER BY s.id
LIMIT $7
"""
_SPEAKING = """
SELECT st.rule_id, st.series_id
FROM alert_states st
JOIN series s ON s.id = st.series_id
JOIN devices d ON d.name = s.device
WHERE st.rule_id = $1 AND st.phase <> 'ok' AND d.live_at >= $2
ORDER BY st.series_id
LIMIT $3
FOR UPDATE OF st  -- a successor of this worker's may be at it as well
"""
# What else fires for these devices, with their series locked, which comes before the rules in the order of locks.
_OTHERS = """
SELECT st.rule_id, st.series_id
FROM newest n
JOIN series s ON s.id = n.series_id
JOIN alert_states st ON st.series_id = n.series_id AND (st.phase <> 'ok' OR st.flapping)
JOIN rules r ON r.id = st.rule_id AND r.document->'condition'->>'type' <> 'absent'
WHERE s.device = ANY($1::text[])
ORDER BY n.series_id
FOR UPDATE OF n
"""
_FIRE = """
INSERT INTO alert_states (rule_id, series_id, phase, level, since, alert_id)
SELECT $1, series_id, 'firing', 0, since, alert_id
FROM unnest($2::int[], $3::timestamptz[], $4::bigint[]) AS n (series_id, since, alert_id)
ON CONFLICT (rule_id, series_id) DO UPDATE
SET phase = excluded.phase, level = excluded.level, since = excluded.since, alert_id = excluded.alert_id
"""


class Absence:
    """Raises and resolves the alerts of `absent` rules."""

    def __init__(self, pool: asyncpg.Pool, clock_us: Callable[[], int], publish: Callable[[list[Event]], None]) -> None:
        self._pool, self._clock_us, self._publish = pool, clock_us, publish

    async def judge(self) -> None:
        """Look at every device once. Raises what the driver raises."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            now = to_datetime(self._clock_us())
            since = await connection.fetchval(_LISTENING, now, timedelta(seconds=DEAF_S))
            if since == now:  # nobody was listening, or the clock was set: what was heard in the future was heard now
                await connection.execute("UPDATE devices SET live_at = $1 WHERE live_at > $1", now)
            for found in await connection.fetch(_RULES):
                rule = readable_rule(found)
                if rule and rule.enabled:
                    await self._judge(connection, rule, now, since)

    async def _judge(self, connection: Connection, rule: Rule, now: datetime, since: datetime) -> None:
        condition = rule.condition
        if not isinstance(condition, Absent):
            return
        while await self._raise(connection, rule, condition, now, since) == AT_ONCE:
            pass
        while await self._resolve(connection, rule, condition, now) == AT_ONCE:
            pass

    async def _raise(
        self, connection: Connection, rule: Rule, condition: Absent, now: datetime, since: datetime
    ) -> int:
        """Raise alerts for devices that are silent now; returns for how many."""
        bound = now - timedelta(seconds=condition.after_s + REGISTRY_LAG_S)
        globs = as_like(rule.device), as_like(rule.metric), json.dumps(rule.labels)
        async with connection.transaction():
            silent = await connection.fetch(_SILENT, *globs, since, bound, rule.id, AT_ONCE)
            others: list[Pair] = []
            if silent and condition.policy is Policy.RESOLVE:
                devices = [found["device"] for found in silent]
                others = [tuple(found) for found in await connection.fetch(_OTHERS, devices)]
            revisions = await record.lock_rules(connection, {rule.id, *(rule_id for rule_id, _ in others)})
            if not silent or revisions.get(rule.id) != rule.revision:
                return 0
            told = await end(connection, others, now)
            ids = await record.new_alert_ids(connection, len(silent))
            alerts = [
                _silence(alert_id, rule, condition, found, now) for alert_id, found in zip(ids, silent, strict=True)
            ]
            await record.save_alerts(connection, alerts)
            series, starts = [alert.series_id for alert in alerts], [alert.started_at for alert in alerts]
            await connection.execute(_FIRE, rule.id, series, starts, ids)
            told += [(alert, alert.event(EventType.FIRING, now)) for alert in alerts]
            hooks = await hooks_of(connection, revisions)
            events = await record.save_events(connection, told, hooks)
        self._publish(events)
        return len(silent)

    async def _resolve(self, connection: Connection, rule: Rule, condition: Absent, now: datetime) -> int:
        """Resolve the alerts of devices that speak again; returns how many."""
        bound = now - timedelta(seconds=condition.after_s)
        async with connection.transaction():
            if rule.id not in await record.lock_rules(connection, {rule.id}):
                return 0
            pairs = [tuple(found) for found in await connection.fetch(_SPEAKING, rule.id, bound, AT_ONCE)]
            if not pairs:
                return 0
            told = await end(connection, pairs, now)
            events = await record.save_events(connection, told, await hooks_of(connection, {rule.id})) if told else []
        self._publish(events)
        return len(pairs)


def _silence(alert_id: int, rule: Rule, condition: Absent, found: asyncpg.Record, now: datetime) -> Alert:
    """The alert of a silent device; its value is the seconds since it was heard, its threshold `after_s`."""
    heard = found["heard"]
    return Alert(
        id=alert_id,
        rule_id=rule.id,
        series_id=found["series_id"],
        rule_name=rule.name,
        device=found["device"],
        metric=found["metric"],
        labels=found["labels"],
        severity=condition.severity.value,
        state="firing",
        value=(now - heard).total_seconds(),
        threshold=condition.after_s,
        started_at=heard,
        fired_at=now,
    )
