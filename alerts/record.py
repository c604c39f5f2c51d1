"""The record of what the machine decided: states, alerts and numbered events, in the transaction of their readings.

Locks are taken in one order by everybody: rules, then states by (rule, series), then the counter of offsets, in the
one statement that writes the events, after which comes COMMIT.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import asyncpg

from alerts.alert import Alert
from alerts.machine import Phase, State
from schemas.events import Event
from schemas.times import to_datetime, to_micros

ACQUIRE_S = 1.5  # for a connection, and for giving it back: asyncpg waits for ever on a frozen server otherwise
Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

_LOCK_RULES = "SELECT id, revision FROM rules WHERE id = ANY($1::int[]) ORDER BY id FOR SHARE"
_ENSURE_STATES = """
INSERT INTO alert_states (rule_id, series_id)
SELECT p.rule_id, p.series_id
FROM unnest($1::int[], $2::int[]) AS p (rule_id, series_id)
JOIN series s ON s.id = p.series_id
ORDER BY p.rule_id, p.series_id
ON CONFLICT DO NOTHING
"""
_ALERT_COLUMNS = ", ".join(f"a.{field.name}" for field in fields(Alert) if field.name != "labels")
_LOCK_STATES = f"""
SELECT st.rule_id AS state_rule_id, st.series_id AS state_series_id, st.phase, st.level, st.since, st.clear_since,
       st.last_ts, {_ALERT_COLUMNS}, a.labels::text AS labels
FROM unnest($1::int[], $2::int[]) AS p (rule_id, series_id)
JOIN alert_states st USING (rule_id, series_id)
LEFT JOIN alerts a ON a.id = st.alert_id
ORDER BY st.rule_id, st.series_id
FOR UPDATE OF st
"""  # noqa: S608 - the columns are the fields of a class of ours
_SAVE_STATES = """
UPDATE alert_states st
SET phase = n.phase, level = n.level, since = n.since, clear_since = n.clear_since, last_ts = n.last_ts,
    alert_id = n.alert_id
FROM unnest($1::int[], $2::int[], $3::text[], $4::smallint[], $5::timestamptz[], $6::timestamptz[],
            $7::timestamptz[], $8::bigint[])
     AS n (rule_id, series_id, phase, level, since, clear_since, last_ts, alert_id)
WHERE st.rule_id = n.rule_id AND st.series_id = n.series_id
"""
_NEW_ALERT_IDS = "SELECT nextval(pg_get_serial_sequence('alerts', 'id')) FROM generate_series(1, $1)"
# In the order of ids: where a series resolves and fires again in one group, the old alert must end first.
_SAVE_ALERTS = """
INSERT INTO alerts (id, rule_id, series_id, rule_name, device, metric, labels, severity, state, value, threshold,
                    started_at, fired_at, resolved_at, acknowledged_at, acknowledged_by)
OVERRIDING SYSTEM VALUE
SELECT id, rule_id, series_id, rule_name, device, metric, labels::jsonb, severity, state, value, threshold,
       started_at, fired_at, resolved_at, acknowledged_at, acknowledged_by
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::float8[], $11::float8[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[],
            $15::timestamptz[], $16::text[])
     AS n (id, rule_id, series_id, rule_name, device, metric, labels, severity, state, value, threshold, started_at,
           fired_at, resolved_at, acknowledged_at, acknowledged_by)
ORDER BY id
ON CONFLICT (id) DO UPDATE
SET severity = excluded.severity, state = excluded.state, value = excluded.value, threshold = excluded.threshold,
    resolved_at = excluded.resolved_at
"""
_SAVE_EVENTS = """
WITH counter AS (UPDATE alert_offset SET last_offset = last_offset + $1 RETURNING last_offset)
INSERT INTO alert_events ("offset", device, alert_id, data)
SELECT counter.last_offset - $1 + e.place, e.device, e.alert_id, e.data::jsonb
FROM counter, unnest($2::text[], $3::bigint[], $4::text[]) WITH ORDINALITY AS e (device, alert_id, data, place)
RETURNING "offset"
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one (rule, series) stands: the machine's state, and the alert that is active."""

    state: State
    alert: Alert | None = None


Pair = tuple[int, int]
"""(rule id, series id)"""


async def lock_rules(connection: Connection, rule_ids: Iterable[int]) -> dict[int, int]:
    """Hold the rules as they are until COMMIT; returns the revision of each that still exists."""
    records = await connection.fetch(_LOCK_RULES, sorted(rule_ids))
    return {record["id"]: record["revision"] for record in records}


async def lock_states(connection: Connection, pairs: Sequence[Pair]) -> dict[Pair, Standing]:
    """Lock the states of these pairs, making those that are missing. A pair whose series is gone is left out."""
    ordered = sorted(pairs)
    rules, series = [rule for rule, _ in ordered], [series for _, series in ordered]
    await connection.execute(_ENSURE_STATES, rules, series)
    records = await connection.fetch(_LOCK_STATES, rules, series)
    return {(record["state_rule_id"], record["state_series_id"]): _standing(record) for record in records}


async def new_alert_ids(connection: Connection, count: int) -> list[int]:
    """Ids for alerts about to be raised, ascending."""
    return [record[0] for record in await connection.fetch(_NEW_ALERT_IDS, count)] if count else []


async def save_states(connection: Connection, standings: dict[Pair, Standing]) -> None:
    """Write the states back, with the alert that is active in each."""
    rows = [
        (
            *pair,
            standing.state.phase.value,
            standing.state.level,
            *map(_moment, (standing.state.since, standing.state.clear_since, standing.state.last_ts)),
            standing.alert.id if standing.alert and standing.alert.state == "firing" else None,
        )
        for pair, standing in standings.items()
    ]
    await connection.execute(_SAVE_STATES, *map(list, zip(*rows, strict=True)))


async def save_alerts(connection: Connection, alerts: Iterable[Alert]) -> None:
    """Write alerts, new ones and changed ones."""
    await connection.execute(_SAVE_ALERTS, *map(list, zip(*map(astuple, alerts), strict=True)))


async def save_events(connection: Connection, told: Sequence[tuple[Alert, dict[str, Any]]]) -> list[Event]:
    """Number and write events, in this order. COMMIT has to follow at once: the counter is locked for everybody."""
    devices, ids = [alert.device for alert, _ in told], [alert.id for alert, _ in told]
    data = [json.dumps(payload, separators=(",", ":")) for _, payload in told]
    records = await connection.fetch(_SAVE_EVENTS, len(told), devices, ids, data)
    offsets = sorted(record["offset"] for record in records)
    return [Event(offset, alert.device, payload) for offset, (alert, payload) in zip(offsets, told, strict=True)]


def _standing(record: asyncpg.Record) -> Standing:
    state = State(
        Phase(record["phase"]),
        record["level"],
        *(None if record[name] is None else to_micros(record[name]) for name in ("since", "clear_since", "last_ts")),
    )
    if record["id"] is None:
        return Standing(state)
    return Standing(state, alert_of(record))


def alert_of(record: asyncpg.Record) -> Alert:
    """The alert in a record that has all its columns."""
    return Alert(**{field.name: record[field.name] for field in fields(Alert)})


def _moment(micros: int | None) -> Any:
    return None if micros is None else to_datetime(micros)
