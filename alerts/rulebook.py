"""The rules as they are stored: made, read, changed, deleted; and loaded into the engine when they change."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable

import asyncpg
import structlog
from pydantic import ValidationError

from alerts.engine import Engine
from alerts.live.fetch import AWAY
from alerts.matching import RuleSet, ready
from alerts.record import ACQUIRE_S
from alerts.succession import RAISE_VERSION, Succession, note
from schemas.alert_errors import TooManyRules
from schemas.audit import SLUICE, Act, Actor
from schemas.columns import SeriesKey
from schemas.conditions import Absent
from schemas.events import Event
from schemas.rules import Rule, RuleRequest

log = structlog.get_logger(__name__)

CHUNK = 500  # rules read at a time: bounds the hold on the loop
MAX_RULES = 100_000  # more were never measured; a worker holds them all, at 1 to 2 KB each
POLL_S = 0.5  # how often a worker looks whether the rules have changed

_COLUMNS = "id, revision, document, created_at, updated_at"
# As they shall be: one that is being changed is shown as what it becomes, one that is being deleted is gone. Whether a
# glob covers a name is asked as LIKE asks it, after the characters that mean something to LIKE were escaped.
_SHOWN = r"""
SELECT id, revision, coalesce(successor, document) AS document, created_at, updated_at FROM rules
WHERE (NOT ending OR successor IS NOT NULL) AND ($1::int IS NULL OR id = $1)
  AND ($2::text IS NULL OR $2 LIKE translate(
        regexp_replace(coalesce(successor, document)->>'device', '([\\%_])', '\\\1', 'g'), '*?', '%_'))
ORDER BY id
"""
_WATCHING = f"SELECT {_COLUMNS} FROM rules WHERE NOT ending ORDER BY id"  # noqa: S608 - a constant
# To count a hundred thousand takes 10 ms: so only where deleted ones have left the ids apart.
_ROOM = "SELECT coalesce(max(id) - min(id) + 1, 0) < $1 OR (SELECT count(*) FROM rules) < $1 FROM rules"


class RuleBook:
    """Rules in PostgreSQL, which is the truth; every change of any of them raises one version number."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        clock_us: Callable[[], int],
        publish: Callable[[list[Event]], None],
        ring: Callable[[], None],
        max_rules: int = MAX_RULES,
    ) -> None:
        self._pool, self._ring, self._max_rules = pool, ring, max_rules
        self._succession = Succession(pool, clock_us, publish, ring)

    async def all(self, device: str | None = None) -> list[Rule]:
        """Every rule, by id; of a device those whose glob covers it."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            records = await connection.fetch(_SHOWN, None, device)
        return [rule for rule in map(readable_rule, records) if rule]

    async def get(self, rule_id: int) -> Rule | None:
        """One rule, or None."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            found = await connection.fetchrow(_SHOWN, rule_id, None)
        return stored_rule(found) if found else None

    async def create(self, request: RuleRequest, by: Actor = SLUICE) -> Rule:
        """Store a new rule. Raises TooManyRules."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection, connection.transaction():
            await connection.execute(RAISE_VERSION)  # first: by that row one waits for the other, and so counts it
            if not await connection.fetchval(_ROOM, self._max_rules):
                raise TooManyRules(f"at most {self._max_rules:,}")
            found = await connection.fetchrow(
                f"INSERT INTO rules (document) VALUES ($1) RETURNING {_COLUMNS}",  # noqa: S608
                request.model_dump_json(),
            )
            assert found is not None  # noqa: S101 - an INSERT that did not raise returns its row
            await note(connection, by, Act.RULE_CREATE, found["id"])
        self._ring()
        return stored_rule(found)

    async def replace(self, rule_id: int, request: RuleRequest, by: Actor = SLUICE) -> Rule | None:
        """Change a rule; what it had fired is resolved, and fires again if a reading says so. None if unknown."""
        known = await self._succession.change(rule_id, request.model_dump_json(), by)
        return await self.get(rule_id) if known else None

    async def delete(self, rule_id: int, by: Actor = SLUICE) -> bool:
        """Delete a rule; what it had fired is resolved. False if it is unknown."""
        return await self._succession.change(rule_id, None, by)

    async def tick(self) -> None:
        """Finish changes that another worker has begun. For the elected worker. Raises what the driver raises."""
        await self._succession.tick()


class RuleLoader:
    """Keeps an engine's rules those of PostgreSQL."""

    def __init__(
        self, pool: asyncpg.Pool, engine: Engine, known: Callable[[], Iterable[tuple[SeriesKey, int]]]
    ) -> None:
        self._pool, self._engine, self._known = pool, engine, known
        self._version: int | None = None
        self._era = 0
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """A rule was changed, here or elsewhere: look at once."""
        self._bell.set()

    def renew(self) -> None:
        """The database is another one, or an older state of it: its version says nothing about the rules we have."""
        self._version = None
        self._era += 1
        self.ring()

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
        era = self._era
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            version = await connection.fetchval("SELECT version FROM rules_version")
            if version == self._version:
                return
            records = await connection.fetch(_WATCHING)
        rules = []
        for number, found in enumerate(records):
            if number % CHUNK == 0:
                await asyncio.sleep(0)
            rule = readable_rule(found)
            if rule and rule.enabled and not isinstance(rule.condition, Absent):
                rules.append(ready(rule))
        await self._engine.load(RuleSet(rules), self._known())
        if era == self._era:
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
