"""What the database says in the end: transitions, states, active alerts; which transaction brought which reading."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from alerts.flapping import Flapping
from alerts.machine import Phase, State
from schemas.events import EventType
from schemas.times import to_micros
from tests.faults.oracle import Commit, Outcome, Told

MOVES = {event.value for event in (EventType.FIRING, EventType.ESCALATED, EventType.DEESCALATED, EventType.RESOLVED)}
"""The events that are transitions of the machine."""
FLAPS = {EventType.FLAPPING_STARTED.value, EventType.FLAPPING_STOPPED.value}

# Whoever writes readings of a series has locked it until COMMIT: the order of these rows is that of the commits. Where
# a lock were missing, the order here would differ from what the machine saw, and the test would say so.
NOTE_COMMITS = """
CREATE TABLE noted (
    place bigserial, xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    series_id integer NOT NULL, ts timestamptz NOT NULL, value float8 NOT NULL
);
CREATE INDEX ON noted (series_id);
CREATE FUNCTION note_reading() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO noted (series_id, ts, value) VALUES (NEW.series_id, NEW.ts, NEW.value);
    RETURN NULL;
END $$;
CREATE FUNCTION note_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO noted (series_id, ts, value)
    SELECT NEW.series_id, NEW.ts + o.us * interval '1 microsecond', o.value
    FROM unnest(NEW.offsets, NEW.values) AS o (us, value);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON readings FOR EACH ROW EXECUTE FUNCTION note_reading();
CREATE TRIGGER note AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION note_run();
"""
COMMITS = """
SELECT s.device, s.metric, n.xact::text, n.ts, n.value
FROM noted n JOIN series s ON s.id = n.series_id
WHERE s.device = ANY($1) ORDER BY n.place
"""
EVENTS = """
SELECT e.device, e."offset", e.data FROM alert_events e WHERE e.device = ANY($1) ORDER BY e."offset"
"""
STATES = """
SELECT s.device, s.metric, st.* FROM alert_states st JOIN series s ON s.id = st.series_id WHERE s.device = ANY($1)
"""
ACTIVE = "SELECT rule_id, device, metric FROM alerts WHERE state = 'firing' AND device = ANY($1)"
STORED = "SELECT device, metric, ts, value FROM telemetry WHERE device = ANY($1)"
OFFSETS = """
SELECT count(*) AS events, coalesce(min("offset"), 1) AS first, coalesce(max("offset"), 0) AS last,
       (SELECT last_offset FROM alert_offset) AS given
FROM alert_events
"""


class Series(NamedTuple):
    """By its names."""

    device: str
    metric: str


Pair = tuple[int, Series]
"""Rule id and series."""


@dataclass(slots=True)
class Recorded:
    """What is recorded of some devices."""

    told: dict[Pair, list[Told]] = field(default_factory=lambda: defaultdict(list))
    states: dict[Pair, State] = field(default_factory=dict)
    flaps: dict[Pair, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    flapping: dict[Pair, Flapping] = field(default_factory=dict)
    active: Counter[Pair] = field(default_factory=Counter)
    commits: dict[Series, list[Commit]] = field(default_factory=dict)
    values: dict[Series, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    doubled: list[tuple[Series, int]] = field(default_factory=list)
    """Readings that are stored more than once."""

    def outcome(self, pair: Pair) -> Outcome:
        """What the machine left of one (rule, series)."""
        return Outcome(
            self.told.get(pair, []),
            self.states.get(pair, State()),
            self.flaps.get(pair, []),
            self.flapping.get(pair, Flapping()),
        )


async def codecs(connection: asyncpg.Connection) -> None:
    """Have a connection read JSON."""
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def read(pool: asyncpg.Pool, devices: Iterable[str]) -> Recorded:
    """Read what is recorded of these devices, as of one moment."""
    names, found = list(devices), Recorded()
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        for row in await connection.fetch(EVENTS, names):
            take_event(found, row["device"], row["data"])
        for row in await connection.fetch(STATES, names):
            pair = row["rule_id"], Series(row["device"], row["metric"])
            found.states[pair] = _state(row)
            found.flapping[pair] = Flapping(row["history"], row["flapping"])
        for row in await connection.fetch(ACTIVE, names):
            found.active[row["rule_id"], Series(row["device"], row["metric"])] += 1
        for row in await connection.fetch(STORED, names):
            series, us = Series(row["device"], row["metric"]), to_micros(row["ts"])
            if us in found.values[series]:
                found.doubled.append((series, us))
            found.values[series][us] = row["value"]
        found.commits = _commits(await connection.fetch(COMMITS, names))
    return found


async def offsets_have_no_gap(pool: asyncpg.Pool) -> bool:
    """Whether the offsets are 1, 2, 3 … up to the last one given out."""
    row = await pool.fetchrow(OFFSETS)
    return row is not None and row["first"] == 1 and row["events"] == row["last"] == row["given"]


def take_event(found: Recorded, device: str, data: dict[str, Any]) -> None:
    """Enter an event, if it is a transition or tells of flapping."""
    alert, us = data["alert"], to_micros(datetime.fromisoformat(data["at"]))
    pair = alert["rule"]["id"], Series(device, alert["metric"])
    if data["event"] in MOVES:
        found.told[pair].append(Told(data["event"], alert["severity"], us, alert["value"]))
    elif data["event"] in FLAPS:
        found.flaps[pair].append((data["event"], us))


def _state(row: asyncpg.Record) -> State:
    times = (None if row[name] is None else to_micros(row[name]) for name in ("since", "clear_since", "last_ts"))
    return State(Phase(row["phase"]), row["level"], *times)


def _commits(rows: Sequence[asyncpg.Record]) -> dict[Series, list[Commit]]:
    commits: dict[Series, dict[str, Commit]] = defaultdict(dict)
    for row in rows:
        of_series = commits[Series(row["device"], row["metric"])]
        commit = of_series.setdefault(row["xact"], Commit([], name=row["xact"]))
        commit.points.append((to_micros(row["ts"]), row["value"]))
    return {series: list(of_series.values()) for series, of_series in commits.items()}
