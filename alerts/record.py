"""The record of what the machine decided: states, alerts and numbered events, in the transaction of their readings.

Locks are taken in one order by everybody: series (in `newest`), then rules, then the counter of offsets, in the one
statement that writes the events, after which comes COMMIT. A state is moved by who has locked its series and shares its
rule, or by who has locked its rule alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import asyncpg
from pydantic_core import to_json

from alerts.alert import Acknowledgement, Alert
from alerts.flapping import STEPS, Flapping
from alerts.machine import Phase, State
from alerts.rate import Point
from schemas.events import Event, EventType
from schemas.times import to_datetime, to_micros

DELIVERED = {EventType.FIRING, EventType.ESCALATED, EventType.DEESCALATED, EventType.RESOLVED}  # to webhooks
ACQUIRE_S = 1.5  # for a connection, and for giving it back: asyncpg waits for ever on a frozen server otherwise
Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

_LOCK_RULES = "SELECT id, revision FROM rules WHERE id = ANY($1::int[]) ORDER BY id FOR SHARE"
_ACTIVE = "SELECT rule_id, series_id FROM alert_states WHERE series_id = ANY($1::int[]) AND (phase <> 'ok' OR flapping)"
_ALERT_COLUMNS = ", ".join(f"a.{field.name}" for field in fields(Alert) if field.name != "labels")
_as_row = attrgetter(*(field.name for field in fields(Alert)))  # astuple copies deeply, at 70 µs an alert
_STATES = f"""
SELECT st.rule_id AS state_rule_id, st.series_id AS state_series_id, st.phase, st.level, st.since, st.clear_since,
       st.last_ts, st.history, st.flapping, {_ALERT_COLUMNS}, a.labels::text AS labels
FROM unnest($1::int[], $2::int[]) AS p (rule_id, series_id)
JOIN alert_states st USING (rule_id, series_id)
LEFT JOIN alerts a ON a.id = st.alert_id
"""  # noqa: S608 - the columns are the fields of a class of ours
_SAVE_STATES = """
INSERT INTO alert_states (rule_id, series_id, phase, level, since, clear_since, last_ts, history, flapping, alert_id)
SELECT * FROM unnest($1::int[], $2::int[], $3::text[], $4::smallint[], $5::timestamptz[], $6::timestamptz[],
                     $7::timestamptz[], $8::int[], $9::boolean[], $10::bigint[])
ON CONFLICT (rule_id, series_id) DO UPDATE
SET phase = excluded.phase, level = excluded.level, since = excluded.since, clear_since = excluded.clear_since,
    last_ts = excluded.last_ts, history = excluded.history, flapping = excluded.flapping, alert_id = excluded.alert_id
"""
_SET_HOT = """
UPDATE newest h SET hot = n.hot
FROM unnest($1::int[], $2::boolean[]) AS n (series_id, hot)
WHERE h.series_id = n.series_id AND h.hot <> n.hot
"""
# What rates need of what was stored before `first`: every reading that is the oldest in the window of one of our own.
_WINDOWS = """
SELECT w.place, r.ts, r.value
FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY
     AS w (series_id, since, last_since, first, place)
CROSS JOIN LATERAL (
    SELECT ts, value FROM readings_between(w.series_id, w.since, w.last_since)
    UNION ALL
    SELECT ts, value FROM oldest_between(w.series_id, w.last_since, w.first)
) r
ORDER BY w.place, r.ts
"""
# Readings between the last evaluation of a state at rest and the first one now: evaluations without a change.
_QUIET = """
SELECT (SELECT count(*) FROM (
    SELECT FROM readings_between(w.series_id, w.since + interval '1 microsecond', w.until) LIMIT $4) AS few)::int
FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS w (series_id, since, until, place)
ORDER BY w.place
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
RETURNING id, acknowledged_at, acknowledged_by
"""
_SAVE_EVENTS = """
WITH counter AS (UPDATE alert_offset SET last_offset = last_offset + $1 RETURNING last_offset - $1 AS before),
events AS (
    INSERT INTO alert_events ("offset", device, alert_id, data)
    SELECT counter.before + e.place, e.device, e.alert_id, e.data::jsonb
    FROM counter, unnest($2::text[], $3::bigint[], $4::text[]) WITH ORDINALITY AS e (device, alert_id, data, place)
),
deliveries AS (
    INSERT INTO webhook_deliveries (url, "offset", rule_id, series_id)
    SELECT d.url, counter.before + d.place, d.rule_id, d.series_id
    FROM counter, unnest($5::text[], $6::int[], $7::int[], $8::int[]) AS d (url, place, rule_id, series_id)
    ON CONFLICT DO NOTHING  -- whatever a rule holds, it must not keep its readings out
)
SELECT before FROM counter
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one (rule, series) stands."""

    state: State
    alert: Alert | None = None
    """The one that fires; while flapping, the last one."""
    flapping: Flapping = field(default_factory=Flapping)

    @property
    def is_firing(self) -> bool:
        """Whether its alert is one that fires now."""
        return self.alert is not None and self.alert.state == "firing"

    @property
    def is_active(self) -> bool:
        """Whether every reading of its series has to be stepped."""
        return self.state.phase is not Phase.OK or self.flapping.marked


Pair = tuple[int, int]
"""(rule id, series id)"""


async def lock_rules(connection: Connection, rule_ids: Iterable[int]) -> dict[int, int]:
    """Hold the rules as they are until COMMIT; returns the revision of each that still exists."""
    records = await connection.fetch(_LOCK_RULES, sorted(rule_ids))
    return {record["id"]: record["revision"] for record in records}


async def active(connection: Connection, series: Iterable[int]) -> list[Pair]:
    """The (rule, series) of these series that are pending or firing."""
    return [tuple(found) for found in await connection.fetch(_ACTIVE, list(series))]


async def states(connection: Connection, pairs: Iterable[Pair]) -> dict[Pair, Standing]:
    """Where these pairs stand; those of which nothing is known are ok. Their series are locked: nobody moves them."""
    standings = {pair: Standing(State()) for pair in sorted(pairs)}
    arguments = [rule for rule, _ in standings], [series for _, series in standings]
    for record in await connection.fetch(_STATES, *arguments):
        standings[record["state_rule_id"], record["state_series_id"]] = _standing(record)
    return standings


@dataclass(frozen=True, slots=True)
class Window:
    """Of a rate: its series and length, and the first and last of the readings to judge. Times are microseconds."""

    series_id: int
    us: int
    first: int
    last: int


async def read_windows(connection: Connection, wanted: Sequence[Window]) -> list[list[Point]]:
    """What is stored before the first reading of each window and is the oldest one in the window of some reading."""
    found: list[list[Point]] = [[] for _ in wanted]
    records = await connection.fetch(
        _WINDOWS,
        [window.series_id for window in wanted],
        [to_datetime(window.first - window.us) for window in wanted],
        [to_datetime(min(window.last - window.us, window.first)) for window in wanted],
        [to_datetime(window.first) for window in wanted],
    )
    for record in records:
        found[record["place"] - 1].append((to_micros(record["ts"]), record["value"]))
    return found


async def count_quiet(connection: Connection, spans: Sequence[tuple[int, int, int]]) -> list[int]:
    """How many readings, as far as flapping counts, lie within each (series, after, before), microseconds."""
    series = [series_id for series_id, _, _ in spans]
    after, before = ([to_datetime(span[place]) for span in spans] for place in (1, 2))
    return [found[0] for found in await connection.fetch(_QUIET, series, after, before, STEPS)]


async def set_hot(connection: Connection, hot: dict[int, bool]) -> None:
    """Write down of series, which are locked, whether some rule is pending or firing."""
    await connection.execute(_SET_HOT, list(hot), list(hot.values()))


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
            standing.flapping.history,
            standing.flapping.marked,
            standing.alert.id if standing.alert and (standing.is_firing or standing.flapping.marked) else None,
        )
        for pair, standing in standings.items()
    ]
    await connection.execute(_SAVE_STATES, *map(list, zip(*rows, strict=True)))


async def save_alerts(connection: Connection, alerts: Iterable[Alert]) -> dict[int, Acknowledgement]:
    """Write alerts, new ones and changed ones; returns by id who acknowledged them, maybe a moment ago."""
    records = await connection.fetch(_SAVE_ALERTS, *map(list, zip(*map(_as_row, alerts), strict=True)))
    return {found["id"]: (found["acknowledged_at"], found["acknowledged_by"]) for found in records}


async def save_events(
    connection: Connection,
    told: Sequence[tuple[Alert, dict[str, Any]]],
    hooks: Mapping[int, Sequence[str]] | None = None,
) -> list[Event]:
    """Number and write events, in this order, and what has to be delivered to the webhooks of their rules.

    `hooks` are URLs by rule id. COMMIT has to follow at once: the counter is locked for everybody.
    """
    devices, ids = [alert.device for alert, _ in told], [alert.id for alert, _ in told]
    data = [to_json(payload).decode() for _, payload in told]
    deliveries = [
        (url, place, alert.rule_id, alert.series_id)
        for place, (alert, payload) in enumerate(told, 1)
        if payload["event"] in DELIVERED
        for url in dict.fromkeys((hooks or {}).get(alert.rule_id, ()))
    ]
    columns = [list(column) for column in zip(*deliveries, strict=True)] or [[], [], [], []]
    before = await connection.fetchval(_SAVE_EVENTS, len(told), devices, ids, data, *columns)
    return [Event(before + place, alert.device, payload) for place, (alert, payload) in enumerate(told, 1)]


def _standing(record: asyncpg.Record) -> Standing:
    state = State(
        Phase(record["phase"]),
        record["level"],
        *(None if record[name] is None else to_micros(record[name]) for name in ("since", "clear_since", "last_ts")),
    )
    alert = None if record["id"] is None else alert_of(record)
    return Standing(state, alert, Flapping(record["history"], record["flapping"]))


def alert_of(record: asyncpg.Record) -> Alert:
    """The alert in a record that has all its columns."""
    return Alert(**{field.name: record[field.name] for field in fields(Alert)})


def _moment(micros: int | None) -> Any:
    return None if micros is None else to_datetime(micros)
