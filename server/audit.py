"""The audit log as it is read, and shortened: rows are written by whoever acts (`schemas/audit.py`)."""

import getpass
import json
import time
from collections.abc import Callable

import asyncpg
import structlog

from schemas.audit import Actor, Entry
from schemas.cursor import encode_cursor

log = structlog.get_logger(__name__)

ACQUIRE_S = 1.5
KEEP_HOUSE_S = 10.0  # between two looks at what is too old, while there is nothing
CHUNK = 1_000  # rows deleted in one transaction
_PAGE = """
SELECT id, at, key_id, name, address, request_id, act, object, outcome, detail::text AS detail FROM audit
WHERE ($1::bigint IS NULL OR id < $1)
ORDER BY id DESC
LIMIT $2
"""
_PRUNE = """
DELETE FROM audit WHERE id IN (
    SELECT id FROM audit WHERE at < now() - $1 * interval '1 day' ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)
"""


class AuditTrail:
    """The table of administrative acts: pages of it, and its end after so many days."""

    def __init__(self, pool: asyncpg.Pool, days: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._days, self._monotonic = pool, days, monotonic
        self._look_at = 0.0

    async def page(self, before: int | None, limit: int) -> tuple[list[Entry], str | None]:
        """One page, newest first, and the cursor of the next."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            found = await connection.fetch(_PAGE, before, limit + 1)
        entries = [Entry(**dict(each) | {"detail": json.loads(each["detail"])}) for each in found[:limit]]
        return entries, encode_cursor(entries[-1].id) if len(found) > limit else None

    async def prune(self) -> None:
        """Delete some of what is too old. For the elected evaluator, every second; a second one does no harm."""
        if self._monotonic() < self._look_at:
            return
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            tag = await connection.execute(_PRUNE, self._days, CHUNK)
        count = int(tag.removeprefix("DELETE "))
        if count < CHUNK:
            self._look_at = self._monotonic() + KEEP_HOUSE_S
        if count:
            log.info("audit log shortened", rows=count)


def at_the_terminal() -> Actor:
    """Who runs a command here."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        user = "unknown"
    return Actor(None, f"cli:{user}"[:128])
