"""COPY: one group, one transaction.

A plain COPY into the table costs half of a staged one with ON CONFLICT, so it is tried first. Where a duplicate makes
it fail, the group is run again staged, and so are the groups after it while duplicates keep coming (a fleet that
retries): every failed COPY leaves dead rows behind.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol

import asyncpg
import numpy as np

from ingest.group import Group
from schemas.columns import Bools, Int64s, Receipt, Rows

CLEAN_GROUPS = 3  # staged groups without a duplicate after which plain COPY is tried again

_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged (series_id integer, ts timestamptz, value double precision, place integer)
ON COMMIT DELETE ROWS
"""
_KEEP = """
WITH new AS (
    INSERT INTO readings (series_id, ts, value)
    SELECT series_id, ts, value FROM staged ORDER BY series_id, ts
    ON CONFLICT DO NOTHING
    RETURNING series_id, ts
)
SELECT array_agg(place) FROM staged JOIN new USING (series_id, ts)
"""
# After _KEEP, for the rows that it did not insert. One statement for both would have to tell an insert from an update:
# by xmax, which a partitioned table does not give, or by RETURNING old, which PostgreSQL has since 18.
_REPLACE = """
INSERT INTO readings (series_id, ts, value)
SELECT series_id, ts, value FROM staged WHERE place <> ALL($1::int[]) ORDER BY series_id, ts
ON CONFLICT (series_id, ts) DO UPDATE SET value = excluded.value
"""


class Stage(Enum):
    """What a flush was doing: by it an error is understood."""

    OUTSIDE = "outside"
    WRITING = "writing"
    STEPPING = "stepping"
    COMMITTING = "committing"


class Screening(Protocol):
    """What the alert engine is to the write path."""

    @property
    def ready(self) -> bool:
        """Whether the rules are known; before that no reading may be stored, as it would never be looked at."""

    def screen(self, rows: Rows) -> Int64s | None:
        """Places of the rows whose series some rule has to look at; None, as nearly always, for none."""

    async def step(self, connection: asyncpg.pool.PoolConnectionProxy, rows: Rows, places: Int64s) -> Any:
        """Step the rules' states over these new rows, in the transaction of their readings, last before COMMIT."""

    def committed(self, outcome: Any) -> None:
        """What `step` returned is durable now."""


class Store:
    """One lane's way into PostgreSQL. Holds its connection, and what it learned about duplicates."""

    def __init__(self, screening: Screening) -> None:
        self._screening = screening
        self._staged_for = 0
        self.stage = Stage.OUTSIDE
        """How far the flush came that has just failed."""
        self.retries = 0
        """COPYs that met a duplicate and were run again staged."""

    async def flush(self, connection: asyncpg.pool.PoolConnectionProxy, group: Group) -> Sequence[Receipt]:
        """Store the group durably. Raises what the driver raises; `stage` then says what may have happened."""
        self.stage = Stage.WRITING
        new: Bools | None = None
        places = self._screening.screen(group.rows)
        if self._staged_for or group.replace:
            new = await self._write_staged(connection, group)
        else:
            await connection.execute("BEGIN")
            try:
                await _copy(connection, "readings", ["series_id", "ts", "value"], group.as_copy())
            except asyncpg.UniqueViolationError:
                await connection.execute("ROLLBACK")
                self.retries += 1
                self._staged_for = CLEAN_GROUPS
                new = await self._write_staged(connection, group)
        outcome = None
        if places is not None:
            places = places if new is None else places[new[places]]
            if len(places):
                self.stage = Stage.STEPPING
                outcome = await self._screening.step(connection, group.rows, places)
        self.stage = Stage.COMMITTING
        tag = await connection.execute("COMMIT")
        self.stage = Stage.OUTSIDE
        if tag != "COMMIT":
            raise asyncpg.TransactionRollbackError(f"COMMIT was answered with {tag}")
        if outcome is not None:
            self._screening.committed(outcome)
        return group.receipts(new)

    async def _write_staged(self, connection: asyncpg.pool.PoolConnectionProxy, group: Group) -> Bools:
        """Write what is not there yet; returns which rows were new (n,)."""
        await connection.execute(_STAGE)
        await connection.execute("BEGIN")
        await _copy(connection, "staged", ["series_id", "ts", "value", "place"], group.as_staged_copy())
        places = await connection.fetchval(_KEEP) or []
        new = np.zeros(len(group.rows), np.bool_)
        new[places] = True
        if group.replace and not new.all():
            await connection.execute(_REPLACE, places)
        self._staged_for = max(0, self._staged_for - 1) if new.all() else CLEAN_GROUPS
        return new


async def _copy(connection: asyncpg.pool.PoolConnectionProxy, table: str, columns: list[str], data: bytes) -> None:
    # A memoryview, because asyncpg takes bytes for the path of a file.
    source: Any = memoryview(data)
    await connection.copy_to_table(table, source=source, columns=columns, format="binary")
