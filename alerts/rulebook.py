"""The rules as they are stored: made, read, changed, deleted; and loaded into the engine when they change."""

import asyncio
import json
from collections.abc import Callable, Iterable

import asyncpg
import structlog
from pydantic import ValidationError

from alerts import record
from alerts.engine import Engine
from alerts.eventlog import AWAY
from alerts.matching import RuleSet, ready
from alerts.record import ACQUIRE_S
from schemas.columns import SeriesKey, canonical_labels
from schemas.events import Event, EventType
from schemas.rules import Rule, RuleRequest
from schemas.times import to_datetime

log = structlog.get_logger(__name__)

POLL_S = 0.5  # how often a worker looks whether the rules have changed

_COLUMNS = "id, revision, document, created_at, updated_at"
_ACTIVE = """
SELECT st.rule_id, s.device, s.metric, s.labels::text AS labels
FROM alert_states st JOIN series s ON s.id = st.series_id
WHERE st.phase <> 'ok'
"""
_FIRING_OF_RULE = "SELECT rule_id, series_id FROM alert_states WHERE rule_id = $1 ORDER BY rule_id, series_id"


class RuleBook:
    """Rules in PostgreSQL, which is the truth; every change of any of them raises one version number."""

    def __init__(self, pool: asyncpg.Pool, clock_us: Callable[[], int], publish: Callable[[list[Event]], None]) -> None:
        self._pool, self._clock_us, self._publish = pool, clock_us, publish

    async def all(self) -> list[Rule]:
        """Every rule, by id."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            records = await connection.fetch(f"SELECT {_COLUMNS} FROM rules ORDER BY id")  # noqa: S608 - a constant
        return [_rule(found) for found in records]

    async def get(self, rule_id: int) -> Rule | None:
        """One rule, or None."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            found = await connection.fetchrow(f"SELECT {_COLUMNS} FROM rules WHERE id = $1", rule_id)  # noqa: S608
        return _rule(found) if found else None

    async def create(self, request: RuleRequest) -> Rule:
        """Store a new rule."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection, connection.transaction():
            found = await connection.fetchrow(
                f"INSERT INTO rules (document) VALUES ($1) RETURNING {_COLUMNS}",  # noqa: S608
                request.model_dump_json(),
            )
            await connection.execute("UPDATE rules_version SET version = version + 1")
        assert found is not None  # noqa: S101 - an INSERT that did not raise returns its row
        return _rule(found)

    async def replace(self, rule_id: int, request: RuleRequest) -> Rule | None:
        """Change a rule; what it had fired is resolved, and fires again if a reading says so. None if unknown."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            async with connection.transaction():
                found = await connection.fetchrow(
                    f"UPDATE rules SET document = $2, revision = revision + 1, updated_at = now() "  # noqa: S608
                    f"WHERE id = $1 RETURNING {_COLUMNS}",
                    rule_id,
                    request.model_dump_json(),
                )
                if found is None:
                    return None
                await connection.execute("UPDATE rules_version SET version = version + 1")
                events = await self._resolve_all(connection, rule_id)
            self._publish(events)
        return _rule(found)

    async def delete(self, rule_id: int) -> bool:
        """Delete a rule; what it had fired is resolved. False if it is unknown."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            async with connection.transaction():
                if not await connection.fetchval("SELECT id FROM rules WHERE id = $1 FOR UPDATE", rule_id):
                    return False
                await connection.execute("UPDATE rules_version SET version = version + 1")
                events = await self._resolve_all(connection, rule_id, delete=True)
            self._publish(events)
        return True

    async def _resolve_all(self, connection: record.Connection, rule_id: int, *, delete: bool = False) -> list[Event]:
        """Resolve what a rule has fired, and forget its states. The rule is locked, so nobody steps it meanwhile."""
        pairs = [tuple(found) for found in await connection.fetch(_FIRING_OF_RULE, rule_id)]
        standings = await record.lock_states(connection, pairs) if pairs else {}
        now = to_datetime(self._clock_us())
        resolved = [standing.alert.ended(now) for standing in standings.values() if standing.alert]
        if resolved:
            await record.save_alerts(connection, resolved)
        await connection.execute("DELETE FROM alert_states WHERE rule_id = $1", rule_id)
        if delete:
            await connection.execute("DELETE FROM rules WHERE id = $1", rule_id)
        told = [(alert, alert.event(EventType.RESOLVED, now)) for alert in resolved]
        return await record.save_events(connection, told) if told else []


class RuleLoader:
    """Keeps an engine's rules those of PostgreSQL."""

    def __init__(
        self, pool: asyncpg.Pool, engine: Engine, known: Callable[[], Iterable[tuple[SeriesKey, int]]]
    ) -> None:
        self._pool, self._engine, self._known = pool, engine, known
        self._version: int | None = None

    async def run(self) -> None:
        """Look for a change now and then. Ends only by being cancelled."""
        while True:
            try:
                await self.refresh()
            except AWAY as error:
                log.debug("rules not refreshed", error=repr(error))
            await asyncio.sleep(POLL_S)

    async def refresh(self) -> None:
        """Load the rules if they have changed since the last time."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            version = await connection.fetchval("SELECT version FROM rules_version")
            if version == self._version:
                return
            records = await connection.fetch(f"SELECT {_COLUMNS} FROM rules ORDER BY id")  # noqa: S608
            active = await connection.fetch(_ACTIVE)
        rules = []
        for found in records:
            try:
                rules.append(_rule(found))
            except ValidationError as error:  # written by a newer version: the others still count
                log.warning("a rule cannot be read", rule_id=found["id"], error=str(error))
        self._engine.load(
            RuleSet(ready(rule) for rule in rules if rule.enabled),
            [(found["rule_id"], _key(found)) for found in active],
            self._known(),
        )
        self._version = version


def _rule(found: asyncpg.Record) -> Rule:
    stored = {name: found[name] for name in ("id", "revision", "created_at", "updated_at")}
    return Rule.model_validate(json.loads(found["document"]) | stored)


def _key(found: asyncpg.Record) -> SeriesKey:
    return SeriesKey(found["device"], found["metric"], canonical_labels(json.loads(found["labels"])))
