"""What is stored already: claimed series by series, looked for only where a reading is no later than the newest.

The row of a series in `newest` is the lock under which it is written. A reading later than the one named there is new
for certain; any other is compared with what lies in its quarter of an hour, which under the lock nobody changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import numpy as np

from ingest import packed
from schemas.columns import LATE_AFTER_US, Bools, Float64s, Int32s, Int64s, Rows
from schemas.runs import QUARTER_US
from schemas.times import to_datetime, to_micros

Connection = asyncpg.pool.PoolConnectionProxy

FAR_APART_US = 10_000_000  # late readings between which runs are not asked for
RUNS_AT_ONCE = 200  # read at a time: bounds memory and the hold on the loop

PREPARE = """
SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off;
SET lock_timeout = '1500ms'
"""
"""For a connection that claims: locks are taken in the order of the arguments as long as the plan is a nested loop.

Who waits for a lock keeps its whole group waiting, so not for long; but longer than `deadlock_timeout`.
"""

# RETURNING old exists since PostgreSQL 18 only, hence `before_us`.
_CLAIMED = """
WITH claimed AS (
    UPDATE newest h
    SET before_us = h.ts_us,
        ts_us = greatest(h.ts_us, n.last_us),
        value = CASE WHEN n.last_us > h.ts_us OR ($5 AND n.last_us = h.ts_us) THEN n.value ELSE h.value END,
        live_us = CASE WHEN n.last_us >= $6 THEN greatest(h.live_us, n.last_us) ELSE h.live_us END
    FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::float8[]) AS n (series_id, first_us, last_us, value)
    WHERE h.series_id = n.series_id
    RETURNING h.series_id, h.before_us, h.hot, n.first_us, n.value
)
"""
_INSERTED = """
, inserted AS (
    INSERT INTO readings (series_id, ts, value)
    SELECT series_id, timestamptz 'epoch' + first_us * interval '1 microsecond', value
    FROM claimed
    WHERE first_us > before_us
)
"""
_FOUND = """
SELECT count(*) AS found,
       array_agg(series_id) FILTER (WHERE first_us <= before_us) AS late,
       array_agg(before_us) FILTER (WHERE first_us <= before_us) AS before,
       array_agg(series_id) FILTER (WHERE hot) AS hot,
       (SELECT closed_us FROM rollup_gate) AS closed_us
FROM claimed
"""
_CLAIM, _CLAIM_AND_INSERT = _CLAIMED + _FOUND, _CLAIMED + _INSERTED + _FOUND
# `newest` was passed by: by a version that did not know it, or by hand.
_RECLAIM = """
INSERT INTO newest (series_id, ts_us, value)
SELECT s.id, coalesce((extract(epoch FROM l.ts) * 1000000)::bigint, 0), coalesce(l.value, 0)
FROM series s
LEFT JOIN LATERAL newest_stored(s.id) l ON true
WHERE s.id = ANY($1::integer[])
ORDER BY s.id
ON CONFLICT (series_id) DO UPDATE
SET value = CASE WHEN excluded.ts_us > newest.ts_us THEN excluded.value ELSE newest.value END,
    ts_us = greatest(newest.ts_us, excluded.ts_us)
"""
# A partition that was never analysed makes a generic plan that reads all of it; so these are planned every time. Two
# arguments bound the times from both ends, so that only the partitions of these days are looked into.
_PLAN_EACH = "SET LOCAL plan_cache_mode = force_custom_plan"
_HEADS = """
SELECT r.series_id, r.ts, r.until
FROM (
    SELECT series_id, timestamptz 'epoch' + first_us * interval '1 microsecond' AS first,
           timestamptz 'epoch' + last_us * interval '1 microsecond' AS last
    FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS n (series_id, first_us, last_us)
) w
JOIN runs r ON r.series_id = w.series_id AND r.ts >= quarter_of(w.first) AND r.ts <= w.last AND r.until >= w.first
WHERE r.ts >= $4 AND r.ts <= $5
"""
_RUNS = """
SELECT r.series_id, r.ts, r.offsets, CASE WHEN $5 THEN r.values END AS values
FROM unnest($1::integer[], $2::timestamptz[]) AS n (series_id, ts)
JOIN runs r ON r.series_id = n.series_id AND r.ts = n.ts
WHERE r.ts >= $3 AND r.ts <= $4
"""
_RUNS_TO_CHANGE = _RUNS + "FOR UPDATE OF r"
_REPLACE_READINGS = """
UPDATE readings r
SET value = n.value
FROM (
    SELECT series_id, timestamptz 'epoch' + us * interval '1 microsecond' AS ts, value
    FROM unnest($1::integer[], $2::bigint[], $3::float8[]) AS n (series_id, us, value)
) n
WHERE r.series_id = n.series_id AND r.ts = n.ts AND r.ts >= $4 AND r.ts <= $5
"""
_PRESENT = "SELECT series_id FROM newest WHERE series_id = ANY($1::integer[])"
_FREE = _PRESENT + " FOR NO KEY UPDATE SKIP LOCKED"  # what claiming takes
_REPLACE_RUN = "UPDATE runs SET values = $3 WHERE series_id = $1 AND ts = $2"


@dataclass(frozen=True, slots=True)
class Claim:
    """What was learned of n rows when their series were locked."""

    late: Bools | None
    """(n,) those no later than what was the newest of their series; None, as nearly always: none of them."""
    stored: bool
    """Whether all the others are stored by now."""
    hot: Sequence[int]
    """Ids of the series for which an alert is pending or firing."""
    closed_us: int
    """Hours before that may be rolled up already (`ingest/dirty.py`)."""


class UnclaimedError(Exception):
    """Some series have no row in `newest`: they were deleted, or made by a version that did not know it."""


async def claim(connection: Connection, rows: Rows, *, replace: bool) -> Claim:
    """Lock the series of these rows, in order of (series, ts), and move their newest reading on.

    Rows that are each the only one of their series are stored in the same statement. Raises UnclaimedError.
    """
    starts = np.flatnonzero(np.diff(rows.series_id, prepend=-1))
    ends = np.append(starts[1:], len(rows)) - 1
    series = rows.series_id[starts]
    alone = len(series) == len(rows)
    query = _CLAIM_AND_INSERT if alone else _CLAIM
    found = await connection.fetchrow(
        query,
        series.tolist(),
        rows.ts[starts].tolist(),
        rows.ts[ends].tolist(),
        rows.value[ends].tolist(),
        replace,
        int(rows.arrived.max()) - LATE_AFTER_US,
    )
    if found is None or found["found"] != len(series):
        raise UnclaimedError
    if found["late"] is None:
        return Claim(None, alone, found["hot"] or (), found["closed_us"])
    before = np.zeros(len(series), np.int64)
    before[np.searchsorted(series, found["late"])] = found["before"]
    late = rows.ts <= np.repeat(before, ends - starts + 1)
    return Claim(late, alone, found["hot"] or (), found["closed_us"])


async def find_hindered(connection: Connection, rows: Rows) -> tuple[Int32s, Int32s]:
    """Of the series of these rows, the ids of those that are gone, and of those that somebody has locked."""
    series = np.unique(rows.series_id)
    present = _ids(await connection.fetch(_PRESENT, series.tolist()))
    free = _ids(await connection.fetch(_FREE, series.tolist()))
    return np.setdiff1d(series, present), np.setdiff1d(present, free)


def _ids(records: Sequence[asyncpg.Record]) -> Int32s:
    return np.array([record["series_id"] for record in records], np.int32)


async def reclaim(connection: Connection, rows: Rows) -> None:
    """Make `newest` say of the series of these rows what is stored, in a transaction of its own."""
    await connection.execute(_RECLAIM, np.unique(rows.series_id).tolist())


async def find_stored(connection: Connection, late: Rows, *, replace: bool) -> Bools:
    """Which of these rows (n,), of claimed series and in order of (series, ts), are stored already.

    With `replace` their values take the place of the stored ones.
    """
    await connection.execute(_PLAN_EACH)
    stored = await _find_in_runs(connection, late, replace=replace)
    if stored.all():
        return stored
    rest = np.flatnonzero(~stored)
    rows = late.take(rest)
    bounds = to_datetime(int(rows.ts.min())), to_datetime(int(rows.ts.max()))
    records = await connection.fetch(packed.FIND_PLAIN, rows.series_id.tolist(), rows.ts.tolist(), *bounds)
    found = np.array([record["place"] for record in records], np.int64)
    places = rest[found[found > 0] - 1]
    stored[places] = True
    if replace and len(places):
        plain = late.take(places)
        arguments = plain.series_id.tolist(), plain.ts.tolist(), plain.value.tolist()
        tag = await connection.execute(_REPLACE_READINGS, *arguments, *bounds)
        packed.check_unmoved(int(tag.split()[-1]), len(plain))
    if len(places) < len(found) and not stored.all():  # some of these days have pieces
        rest = np.flatnonzero(~stored)
        stored[rest[await packed.find(connection, late.take(rest), replace=replace)]] = True
    return stored


async def _find_in_runs(connection: Connection, late: Rows, *, replace: bool) -> Bools:
    stored = np.zeros(len(late), np.bool_)
    bounds = to_datetime(int(late.ts.min()) // QUARTER_US * QUARTER_US), to_datetime(int(late.ts.max()))
    places = await _find_heads(connection, late, bounds)
    changed: list[tuple[Any, ...]] = []
    heads = list(places)
    for start in range(0, len(heads), RUNS_AT_ONCE):
        series, times = zip(*heads[start : start + RUNS_AT_ONCE], strict=True)
        records = await connection.fetch(_RUNS_TO_CHANGE if replace else _RUNS, series, times, *bounds, replace)
        if replace:
            packed.check_unmoved(len(records), len(series))
        for record in records:
            part = places[record["series_id"], record["ts"]]
            at: Int64s = to_micros(record["ts"]) + np.array(record["offsets"], np.int64)
            place = np.searchsorted(at, late.ts[part])  # none is beyond the last
            hit = at[place] == late.ts[part]
            stored[part] |= hit
            if replace and hit.any():
                values: Float64s = np.array(record["values"], np.float64)
                values[place[hit]] = late.value[part][hit]
                changed.append((record["series_id"], record["ts"], values.tolist()))
    if changed:
        await connection.executemany(_REPLACE_RUN, changed)
    return stored


async def _find_heads(
    connection: Connection, late: Rows, bounds: tuple[datetime, datetime]
) -> dict[tuple[int, datetime], slice]:
    """The runs, by series and first time, in whose span a late reading lies, with the places of these readings.

    Runs between two readings that lie far apart are not even asked for, and no run is read before it is known to
    matter: a few readings over a fast series' history must not fetch all of it.
    """
    first = np.ones(len(late), np.bool_)
    quarter = late.ts // QUARTER_US
    first[1:] = (
        (late.series_id[1:] != late.series_id[:-1])
        | (quarter[1:] != quarter[:-1])
        | (late.ts[1:] - late.ts[:-1] > FAR_APART_US)
    )
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(late)) - 1
    windows = late.series_id[starts].tolist(), late.ts[starts].tolist(), late.ts[ends].tolist()
    found: dict[tuple[int, datetime], slice] = {}
    for series_id, ts, until in await connection.fetch(_HEADS, *windows, *bounds):
        begin, end = np.searchsorted(late.series_id, [series_id, series_id + 1]).tolist()
        times = late.ts[begin:end]
        left = int(np.searchsorted(times, to_micros(ts)))
        right = int(np.searchsorted(times, to_micros(until), side="right"))
        if left < right:
            found[series_id, ts] = slice(begin + left, begin + right)
    return found
