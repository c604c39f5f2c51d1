"""The rules as they are stored: made, read, changed, deleted; and loaded into the engine when they change."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable

import asyncpg
import structlog
from pydantic import ValidationError

from alerts import record
from alerts.ending import end, hooks_of
from alerts.engine import Engine
from alerts.live.fetch import AWAY
from alerts.matching import RuleSet, ready
from alerts.record import ACQUIRE_S
from schemas import audit
from schemas.audit import SLUICE, Act, Actor
from schemas.columns import SeriesKey
from schemas.conditions import Absent
from schemas.events import Event
from schemas.rules import Rule, RuleRequest
from schemas.times import to_datetime

log = structlog.get_logger(__name__)

CHUNK = 500  # rules read at a time: bounds the hold on the loop
POLL_S = 0.5  # how often a worker looks whether the rules have changed

_COLUMNS = "id, revision, document, created_at, updated_at"
_PAIRS = "SELECT rule_id, series_id FROM alert_states WHERE rule_id = $1 ORDER BY rule_id, series_id"
_NAMED = "SELECT document ->> 'name' AS name, revision FROM rules WHERE id = $1"
_RAISE_VERSION = "UPDATE rules_version SET version = version + 1"


class RuleBook:
    """Rules in PostgreSQL, which is the truth; every change of any of them raises one version number."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        clock_us: Callable[[], int],
        publish: Callable[[list[Event]], None],
        ring: Callable[[], None],
    ) -> None:
        self._pool, self._clock_us, self._publish, self._ring = pool, clock_us, publish, ring

    async def all(self) -> list[Rule]:
        """Every rule, by id."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            records = await connection.fetch(f"SELECT {_COLUMNS} FROM rules ORDER BY id")  # noqa: S608 - a constant
        return [rule for rule in map(readable_rule, records) if rule]

    async def get(self, rule_id: int) -> Rule | None:
        """One rule, or None."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            found = await connection.fetchrow(f"SELECT {_COLUMNS} FROM rules WHERE id = $1", rule_id)  # noqa: S608
        return stored_rule(found) if found else None

    async def create(self, request: RuleRequest, by: Actor = SLUICE) -> Rule:
        """Store a new rule."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection, connection.transaction():
            found = await connection.fetchrow(
                f"INSERT INTO rules (document) VALUES ($1) RETURNING {_COLUMNS}",  # noqa: S608
                request.model_dump_json(),
            )
            await connection.execute(_RAISE_VERSION)
            assert found is not None  # noqa: S101 - an INSERT that did not raise returns its row
            await _note(connection, by, Act.RULE_CREATE, found["id"])
        self._ring()
        return stored_rule(found)

    async def replace(self, rule_id: int, request: RuleRequest, by: Actor = SLUICE) -> Rule | None:
        """Change a rule; what it had fired is resolved, and fires again if a reading says so. None if unknown."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            async with connection.transaction():
                hooks = await _lock(connection, rule_id)
                found = await connection.fetchrow(
                    f"UPDATE rules SET document = $2, revision = revision + 1, updated_at = now() "  # noqa: S608
                    f"WHERE id = $1 RETURNING {_COLUMNS}",
                    rule_id,
                    request.model_dump_json(),
                )
                if found is None:
                    return None
                await _note(connection, by, Act.RULE_REPLACE, rule_id)
                events = await self._end_all(connection, rule_id, hooks)
            self._tell(events)
        return stored_rule(found)

    async def delete(self, rule_id: int, by: Actor = SLUICE) -> bool:
        """Delete a rule; what it had fired is resolved. False if it is unknown."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            async with connection.transaction():
                hooks = await _lock(connection, rule_id)
                if rule_id not in hooks:
                    return False
                await _note(connection, by, Act.RULE_DELETE, rule_id)
                events = await self._end_all(connection, rule_id, hooks, delete=True)
            self._tell(events)
        return True

    async def _end_all(
        self, connection: record.Connection, rule_id: int, hooks: dict[int, list[str]], *, delete: bool = False
    ) -> list[Event]:
        """Resolve what a rule has fired, and forget its states. The rule is locked, so nobody steps it meanwhile."""
        pairs = [tuple(found) for found in await connection.fetch(_PAIRS, rule_id)]
        told = await end(connection, pairs, to_datetime(self._clock_us()))
        if delete:
            await connection.execute("DELETE FROM rules WHERE id = $1", rule_id)
        await connection.execute(_RAISE_VERSION)
        return await record.save_events(connection, told, hooks) if told else []

    def _tell(self, events: list[Event]) -> None:
        self._ring()
        self._publish(events)


async def _note(connection: record.Connection, by: Actor, act: Act, rule_id: int) -> None:
    """Write down what is done to a stored rule. Not the whole of it: the URLs of its webhooks may hold secrets."""
    found = await connection.fetchrow(_NAMED, rule_id)
    await connection.execute(audit.INSERT, *audit.row(by, act, rule_id, dict(found) if found else None))


async def _lock(connection: record.Connection, rule_id: int) -> dict[int, list[str]]:
    """Lock a rule alone; returns its webhooks, of nothing if it is unknown."""
    await connection.execute("SELECT FROM rules WHERE id = $1 FOR UPDATE", rule_id)
    return await hooks_of(connection, {rule_id})


class RuleLoader:
    """Keeps an engine's rules those of PostgreSQL."""

    def __init__(
        self, pool: asyncpg.Pool, engine: Engine, known: Callable[[], Iterable[tuple[SeriesKey, int]]]
    ) -> None:
        self._pool, self._engine, self._known = pool, engine, known
        self._version: int | None = None
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """A rule was changed, here or elsewhere: look at once."""
        self._bell.set()

    async def run(self) -> None:
        """Look for a change when the bell rings, and now and then. Ends only by being cancelled."""
        while True:
            self._bell.clear()
            try:
                await self.refresh()
            except AWAY as error:
                log.debug("rules not refreshed", error=repr(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._bell.wait()

    async def refresh(self) -> None:
        """Load the rules if they have changed since the last time."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            version = await connection.fetchval("SELECT version FROM rules_version")
            if version == self._version:
                return
            records = await connection.fetch(f"SELECT {_COLUMNS} FROM rules ORDER BY id")  # noqa: S608
        rules = []
        for number, found in enumerate(records):
            if number % CHUNK == 0:
                await asyncio.sleep(0)
            rule = readable_rule(found)
            if rule and rule.enabled and not isinstance(rule.condition, Absent):
                rules.append(ready(rule))
        await self._engine.load(RuleSet(rules), self._known())
        self._version = version


def readable_rule(found: asyncpg.Record) -> Rule | None:
    """A row of `rules`, or None, with a warning, for one that a newer version wrote: the others still count."""
    try:
        return stored_rule(found)
    except ValidationError as error:
        log.warning("a rule cannot be read", rule_id=found["id"], error=str(error))
        return None


def stored_rule(found: asyncpg.Record) -> Rule:
    """A row of `rules`. Raises pydantic's ValidationError for one that a newer version wrote."""
    stored = {name: found[name] for name in ("id", "revision", "created_at", "updated_at")}
    return Rule.model_validate(json.loads(found["document"]) | stored)
