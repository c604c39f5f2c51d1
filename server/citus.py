"""Speaking to Citus: what it plans differently, or not at all, is said in other words; all else goes as it is.

The rooms know one PostgreSQL. Here is, by its text, each statement of theirs that distributed tables take differently,
mostly as a call of a function of `schemas/sql/engines/`; docs/engines.md lists all of them with the reason.
"""

import re
from functools import lru_cache
from typing import Any

import asyncpg

from alerts import replay
from ingest import newest, packed
from query import emptying, final, packing, partitions, purge, retention, roller, stored
from query.packing import LOCK, LONGEST

SESSION = {
    "sluice.engine": "citus",  # for `server/engines.py`, which asks a session what it speaks
    # One connection to each worker: what a group copied, the same transaction then sees, and it locks in one order.
    "citus.multi_shard_modify_mode": "sequential",
    "citus.propagate_set_commands": "local",  # what is SET LOCAL holds on the workers too
}
_DAY = re.compile(r"\b(readings|runs|packed)_(\d{4})(\d\d)(\d\d)\b")
_SWEEP = re.compile(r"(\w+)".join(map(re.escape, purge._DELETE.split("{partition}"))))


def _of_day(template: str, **more: Any) -> str:
    """A statement about the partitions of a day, as `translated` looks for it."""
    return template.format(readings="readings_DAY", runs="runs_DAY", packed="packed_DAY", **more)


_ORIGIN = "'2000-01-01 00:00:00+00'"
_LATE = f"SELECT pg_advisory_xact_lock_shared({LOCK})"
_PACKED = packed._FIND.partition("CROSS JOIN LATERAL")[0]
"""What is looked for, up to where it is looked for."""

WORDS = {
    # A row that is moved meanwhile cannot be locked where it lies on several workers: who looks for late readings keeps
    # the packer away instead, from before the first look to the end of his transaction.
    newest._PLAN_EACH: f"{newest._PLAN_EACH}; {_LATE}",
    newest._RUNS_TO_CHANGE: newest._RUNS,
    # Compared on the workers, which have no functions of ours.
    newest._HEADS: newest._HEADS.replace("quarter_of(w.first)", f"date_bin('15 minutes', w.first, {_ORIGIN})"),
    packed._PIECES: packed._PIECES.replace("FOR UPDATE OF p", ""),
    # Pieces of a series never overlap, so one that holds the moment is the only one.
    packed._FIND: f"""{_PACKED}
JOIN packed p ON p.series_id = n.series_id AND p.unit_us = n.unit_us AND p.ts <= n.ts AND p.until >= n.ts
WHERE p.series_id = ANY($1::integer[]) AND p.ts >= date_bin('1 day', $3::timestamptz, {_ORIGIN}) AND p.ts <= $4
""",
    newest._CLAIM_AND_INSERT: (
        "SELECT total AS found, late, before, hot, closed_us FROM claim_alone($1, $2, $3, $4, $5, $6)"
    ),
    stored._END: """
SELECT least($3::timestamptz, min(e.ts))
FROM unnest($1::int[]) AS s (id) CROSS JOIN LATERAL chunk_end(s.id, $2::timestamptz, $3, $4::bigint) AS e (ts)
""",
    stored._BEGIN: """
SELECT greatest($2::timestamptz, max(e.ts))
FROM unnest($1::int[]) AS s (id) CROSS JOIN LATERAL chunk_begin(s.id, $2, $3::timestamptz, $4::bigint) AS e (ts)
""",
    stored._READ: """
SELECT string_agg(b.plain, '') AS plain, string_agg(b.heads, '') AS heads, string_agg(b.offsets, '') AS offsets,
       string_agg(b.run_values, '') AS values, string_agg(b.piece_heads, '') AS piece_heads,
       string_agg(b.units, '') AS units, string_agg(b.piece_values, '') AS piece_values
FROM unnest($1::int[]) AS s (id) CROSS JOIN LATERAL chunk_bytes(s.id, $2, $3) b
""",
    replay._CHUNK_END: "SELECT chunk_end($1::int, $2::timestamptz, $3::timestamptz, $4::bigint)",
    partitions._LIST: "SELECT * FROM stored_partitions($1)",
    _of_day(packing._WAITING): "SELECT * FROM waiting_on('DAY', $1::int, $2::bigint, $3::int)",
    _of_day(packing._WINDOW): "SELECT * FROM window_on('DAY', $1::int, $2::timestamptz, $3::bigint)",
    _of_day(packing._PACK, longest=LONGEST, finish=final.put(packing._GONE)): (
        f"SELECT pack_on($4::timestamptz, $1::int[], $2, $3, $5, $6::int[], $7::bigint, {LONGEST})"
    ),
    _of_day(emptying._MAY_TRUNCATE): "SELECT may_truncate('DAY') AND $1::date IS NOT NULL",
    _of_day(retention._EXPIRE, finish=retention._FINISH): (
        "SELECT expire_on('DAY', $1::int[], $3::bigint + 0 * $2::bigint)"
    ),
    final._DAY: "SELECT finish_on($1::timestamptz, $2::smallint, $3::bigint, $4::int, $5::bigint)",
    # A transaction's number ends before its readings can be seen; its locks outlast what the workers have to do.
    roller._WRITING: """
SELECT count(*)
FROM pg_locks
WHERE locktype = 'transactionid' AND granted AND mode = 'ExclusiveLock' AND pid <> pg_backend_pid()
  AND (transactionid::text::bigint - $1) & 4294967295 >= 2147483648
""",
}


@lru_cache(1_000)
def translated(query: str) -> str:
    """How the statement is said to Citus."""
    if found := WORDS.get(query):
        return found
    if swept := _SWEEP.fullmatch(query):
        return f"DELETE FROM {swept[1]} WHERE series_id = ANY($1::int[]) AND $2::bigint > 0"  # noqa: S608
    if day := _DAY.search(query):
        said = WORDS.get(_DAY.sub(r"\1_DAY", query))
        if said is not None:
            return said.replace("'DAY'", f"'{day[2]}-{day[3]}-{day[4]} 00:00Z'")
    return query


class CitusConnection(asyncpg.Connection):
    """A connection to the coordinator."""

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """Execute."""
        return await super().execute(translated(query), *args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        """Every record."""
        return await super().fetch(translated(query), *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        """The first record."""
        return await super().fetchrow(translated(query), *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        """A value of the first record."""
        return await super().fetchval(translated(query), *args, **options)
