"""One group, one transaction: claim its series, leave out what is stored already, COPY the rest, step the alerts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import asyncpg

from ingest import dirty, newest, runs
from ingest.group import Group
from schemas.columns import Bools, Int32s, Int64s, Receipt, Rows

_TABLES = (
    ("readings", ("series_id", "ts", "value")),
    ("runs", ("series_id", "ts", "until", "offsets", "values")),
)


class Stage(Enum):
    """What a flush was doing: by it an error is understood."""

    OUTSIDE = "outside"
    WRITING = "writing"
    STEPPING = "stepping"
    COMMITTING = "committing"


@dataclass(slots=True)
class Spent:
    """Seconds that flushes took, by what they did."""

    claim: float = 0.0
    copy: float = 0.0
    step: float = 0.0
    commit: float = 0.0


class Screening(Protocol):
    """What the alert engine is to the write path."""

    @property
    def ready(self) -> bool:
        """Whether the rules are known; before that no reading may be stored, as it would never be looked at."""

    def screen(self, rows: Rows, hot: Sequence[int]) -> Int64s | None:
        """Places of the rows whose series some rule has to look at; None, as nearly always, for none.

        `hot` are the ids of series for which some rule is pending or firing.
        """

    async def step(self, connection: asyncpg.pool.PoolConnectionProxy, rows: Rows, places: Int64s) -> Any:
        """Step the rules' states over these rows, each later than all stored ones of its series.

        In the transaction of the readings, last before COMMIT.
        """

    def committed(self, outcome: Any) -> None:
        """What `step` returned is durable now."""


class Store:
    """One lane's way into PostgreSQL."""

    def __init__(self, screening: Screening) -> None:
        self._screening = screening
        self.stage = Stage.OUTSIDE
        """How far the flush came that has just failed."""
        self.reclaims = 0
        """Groups that were run again, because `newest` did not know what somebody else had stored."""
        self.stepped: Int32s | None = None
        """Ids of the series that the flush is stepping."""
        self.outdated = False
        """Whether the ids of the group under way belong to a database that was: the screening knows none of them."""
        self.spent = Spent()
        """Where the time of the flushes went that were stored."""

    async def flush(self, connection: asyncpg.pool.PoolConnectionProxy, group: Group) -> Sequence[Receipt]:
        """Store the group durably. Raises what the driver raises, or UnclaimedError where a series was deleted.

        `stage` then says what may have happened.
        """
        self.stage = Stage.WRITING
        try:
            claim, new = await self._write(connection, group)
        except (newest.UnclaimedError, asyncpg.UniqueViolationError):
            await connection.execute("ROLLBACK")
            self.reclaims += 1
            await newest.reclaim(connection, group.rows)
            claim, new = await self._write(connection, group)
        copied = time.perf_counter()
        if self.outdated:  # what is not screened would never be stepped
            raise newest.UnclaimedError
        outcome = None
        places = self._screening.screen(group.rows, claim.hot)
        if places is not None:
            places = places if claim.late is None else places[~claim.late[places]]
            if len(places):
                self.stage, self.stepped = Stage.STEPPING, group.rows.series_id[places]
                outcome = await self._screening.step(connection, group.rows, places)
        self.stage = Stage.COMMITTING
        stepped = time.perf_counter()
        tag = await connection.execute("COMMIT")
        self.stage = Stage.OUTSIDE
        self.spent.step += stepped - copied
        self.spent.commit += time.perf_counter() - stepped
        if tag != "COMMIT":
            raise asyncpg.TransactionRollbackError(f"COMMIT was answered with {tag}")
        if outcome is not None:
            self._screening.committed(outcome)
        return group.receipts(new)

    async def _write(
        self, connection: asyncpg.pool.PoolConnectionProxy, group: Group
    ) -> tuple[newest.Claim, Bools | None]:
        """Begin, and write what is not there yet; returns what was claimed, and which rows are new (None: all)."""
        began = time.perf_counter()
        await connection.execute("BEGIN")
        claim = await newest.claim(connection, group.rows, replace=group.replace)
        claimed = time.perf_counter()
        new = await self._write_claimed(connection, group, claim)
        self.spent.claim += claimed - began
        self.spent.copy += time.perf_counter() - claimed
        return claim, new

    @staticmethod
    async def _write_claimed(
        connection: asyncpg.pool.PoolConnectionProxy, group: Group, claim: newest.Claim
    ) -> Bools | None:
        if claim.late is None:
            if not claim.stored:
                await _copy(connection, group.rows)
            if group.rows.ts.min() < claim.closed_us:
                await dirty.mark(connection, group.rows, claim.closed_us)
            return None
        late_and_new = claim.late.copy()
        late_and_new[claim.late] = ~await newest.find_stored(
            connection, group.rows.take(claim.late), replace=group.replace
        )
        new = late_and_new | ~claim.late
        await _copy(connection, group.rows.take(late_and_new if claim.stored else new))
        if group.rows.ts.min() < claim.closed_us:
            changed = group.rows if group.replace else group.rows.take(new)
            await dirty.mark(connection, changed, claim.closed_us)
        return new


async def _copy(connection: asyncpg.pool.PoolConnectionProxy, rows: Rows) -> None:
    for (table, columns), data in zip(_TABLES, runs.encode(rows), strict=True):
        if data:
            # A memoryview, because asyncpg takes bytes for the path of a file.
            source: Any = memoryview(data)
            await connection.copy_to_table(table, source=source, columns=columns, format="binary")
