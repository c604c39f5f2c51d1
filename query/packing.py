"""Packing: readings of some series and one day, in whatever form they are, become pieces in one statement.

It locks no series. What it deletes is exactly what it puts in again, so nothing is lost or doubled, wherever it ends; a
late reading that is stored meanwhile stays a plain row or a run, and is packed the next time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from query import final
from query.partitions import Connection, name_of, start_of
from schemas.times import to_micros

LONGEST = 160  # readings of a piece: four fit on a page
AT_ONCE = 20_000  # readings of one statement; of a series with more a day, as many half hours as have about so many
HALF_HOUR = timedelta(minutes=30)
LOCK = 0x51_1C_E0_03  # advisory: one packer at a time, as pieces of two would overlap
TIMEOUT_S = 60.0  # of one statement: half an hour of a series with a reading each millisecond is 1.8 million

# `lock_timeout`: a replacement in progress may hold a row; it goes first.
_SETTINGS = f"""
SET LOCAL lock_timeout = '200ms';
SET LOCAL work_mem = '32MB';
SET LOCAL statement_timeout = '{TIMEOUT_S:.0f}s'
"""

# Which series after $1 have something to pack, up to $2 tuples of each form. `gone`: deleted, or past its retention.
_WAITING = """
WITH waiting AS (
    SELECT series_id, sum(readings) AS readings
    FROM (
        (SELECT series_id, 1 AS readings FROM {readings} WHERE series_id > $1 ORDER BY series_id LIMIT $2)
        UNION ALL
        (SELECT series_id, cardinality(offsets) FROM {runs} WHERE series_id > $1 ORDER BY series_id LIMIT $2)
    ) r
    GROUP BY series_id
)
SELECT w.series_id, w.readings + (
           SELECT coalesce(sum(cardinality(p.offsets)), 0) FROM {packed} p WHERE p.series_id = w.series_id
       ) AS readings,
       s.id IS NULL OR coalesce(k.days <= $3, false) AS gone
FROM waiting w
LEFT JOIN series s ON s.id = w.series_id
LEFT JOIN LATERAL (
    SELECT days FROM retention WHERE s.metric LIKE metric_like ORDER BY literals DESC, metric LIMIT 1
) k ON true
ORDER BY w.series_id
"""
# Of a busy series from $2 on: the first reading to pack, and one before which there are about $3 of each form.
_WINDOW = """
SELECT least((SELECT min(ts) FROM {readings} WHERE series_id = $1 AND ts >= $2),
             (SELECT min(ts) FROM {runs} WHERE series_id = $1 AND ts >= $2)) AS first,
       least((SELECT ts FROM {readings} WHERE series_id = $1 AND ts >= $2 ORDER BY ts OFFSET $3 LIMIT 1),
             (SELECT ts FROM (
                  SELECT ts, sum(cardinality(offsets)) OVER (ORDER BY ts ROWS UNBOUNDED PRECEDING) AS count
                  FROM {runs} WHERE series_id = $1 AND ts >= $2
              ) counted
              WHERE count > $3 ORDER BY ts LIMIT 1)) AS last
"""
# Readings of series $1 with $2 <= ts < $3, and the pieces that reach into that time as wholes; $4 is where the day
# begins, $5 whether pieces must end with their half hour, $6 series whose readings are left out, so that their rollups
# are final until $7, where the day ends. The sort has read all that is deleted before the first piece is put in. A
# worker of an older version, which sees no pieces, may have stored again what is in one: the first value stays.
_PACK = """
WITH plain AS (
    DELETE FROM {readings} WHERE series_id = ANY($1::int[]) AND ts >= $2 AND ts < $3
    RETURNING series_id, ts, value
), run AS (
    DELETE FROM {runs} WHERE series_id = ANY($1::int[]) AND ts >= $2 AND ts < $3
    RETURNING series_id, ts, offsets, values
), piece AS (
    DELETE FROM {packed} WHERE series_id = ANY($1::int[]) AND ts < $3 AND until >= $2
    RETURNING series_id, unit_us, base, offsets, values
), every AS (
    SELECT series_id, round(date_part('epoch', ts - $4::timestamptz) * 1e6)::bigint AS us, value, true AS came_later
    FROM plain
    UNION ALL
    SELECT series_id, round(date_part('epoch', ts - $4::timestamptz) * 1e6)::bigint + o.us, o.value, true
    FROM run CROSS JOIN LATERAL unnest(offsets, values) AS o (us, value)
    UNION ALL
    SELECT series_id, round(date_part('epoch', base - $4::timestamptz) * 1e6)::bigint + o.units::bigint * unit_us,
           o.value, false
    FROM piece CROSS JOIN LATERAL unnest(offsets, values) AS o (units, value)
), binned AS (
    SELECT series_id, us, value, came_later, CASE WHEN us % 1000 = 0 THEN 1000 ELSE 1 END AS unit_us,
           CASE WHEN us % 1000 <> 0 OR $5 THEN (us / 1800000000)::integer ELSE 0 END AS half_hour
    FROM every
    WHERE NOT series_id = ANY($6::int[])
), placed AS (
    SELECT *, row_number() OVER w - 1 AS place, lag(us) OVER w AS before
    FROM binned
    WINDOW w AS (PARTITION BY series_id, unit_us, half_hour ORDER BY us, came_later)
), made AS (
    INSERT INTO {packed} (series_id, unit_us, ts, until, base, offsets, values)
    SELECT series_id, unit_us,
           $4 + min(us) * interval '1 microsecond',
           $4 + max(us) * interval '1 microsecond',
           $4 + CASE WHEN unit_us = 1 THEN half_hour ELSE 0 END * interval '30 minutes',
           array_agg(((us - CASE WHEN unit_us = 1 THEN half_hour * 1800000000::bigint ELSE 0 END) / unit_us)::integer
                     ORDER BY us),
           array_agg(value ORDER BY us)
    FROM placed
    WHERE before IS DISTINCT FROM us
    GROUP BY series_id, unit_us, half_hour, place / {longest}
    RETURNING cardinality(offsets) AS readings
), final AS (
    {finish}
), moved AS (
    INSERT INTO packing (day, moved_by) VALUES (($4 AT TIME ZONE 'UTC')::date, pg_current_xact_id())
    ON CONFLICT (day) DO UPDATE SET moved_by = excluded.moved_by, packed_at = now()
)
SELECT coalesce(sum(readings), 0) FROM made
"""
# What of these is still there: the others were deleted, and have no rollups.
_GONE = "SELECT id, $7::bigint FROM series WHERE id = ANY($6::int[]) ORDER BY id"


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one statement packs."""

    series: list[int]
    gone: list[int]
    """Those of them whose readings are left out."""
    since: datetime
    until: datetime
    sliced: bool
    """Whether pieces end with their half hour: of a series too busy for one statement a day."""


def choose(waiting: Sequence[tuple[int, int, bool]]) -> tuple[list[int], bool]:
    """Of series with readings to pack (id, readings, gone; by id) the first ones, and whether the first is too busy.

    Readings are counted up to `AT_ONCE` and one more, so the last series of a long list may have more than it says.
    """
    if waiting[0][1] > AT_ONCE:
        return [waiting[0][0]], True
    chosen, total = [], 0
    for series_id, readings, _ in waiting:
        total += readings
        if total > AT_ONCE:
            break
        chosen.append(series_id)
    return chosen, False


async def find(connection: Connection, day: int, last: Chunk | None, age_days: int) -> Chunk | None:
    """The chunk after `last` (None: the first) of a day that ended `age_days` ago; None where nothing is left.

    Of metrics that are kept for no longer than `age_days` everything is left out: -1 keeps all there is.
    """
    if last is not None and last.sliced and (chunk := await _window(connection, day, last)):
        return chunk
    after = last.series[-1] if last else 0
    query = _WAITING.format(**_names(day))
    waiting = [tuple(record) for record in await connection.fetch(query, after, AT_ONCE + 1, age_days)]
    if not waiting:
        return None
    series, sliced = choose(waiting)
    gone = [each[0] for each in waiting[: len(series)] if each[2]]
    start = start_of(day)
    if not sliced:
        return Chunk(series, gone, start, start + timedelta(days=1), sliced=False)
    return await _window(connection, day, Chunk(series, gone, start, start, sliced=True))


async def _window(connection: Connection, day: int, last: Chunk) -> Chunk | None:
    """The next half hours of a busy series."""
    found = await connection.fetchrow(_WINDOW.format(**_names(day)), last.series[0], last.until, AT_ONCE)
    if found is None or found["first"] is None:
        return None
    start = start_of(day)
    since = start + (found["first"] - start) // HALF_HOUR * HALF_HOUR
    until = start + timedelta(days=1)
    if found["last"] is not None:
        until = max(since + HALF_HOUR, start + (found["last"] - start) // HALF_HOUR * HALF_HOUR)
    return replace(last, since=since, until=until)


async def pack(connection: Connection, day: int, chunk: Chunk) -> int | None:
    """Pack a chunk in a transaction; returns the readings in its pieces, None where somebody else is packing.

    Raises asyncpg.LockNotAvailableError where a reading was just being replaced.
    """
    query = _PACK.format(**_names(day), longest=LONGEST, finish=final.put(_GONE))
    end_us = to_micros(start_of(day + 1))
    arguments = chunk.series, chunk.since, chunk.until, start_of(day), chunk.sliced, chunk.gone, end_us
    async with connection.transaction():
        await connection.execute(_SETTINGS)
        # A statement of its own, so that the next one sees what the last holder of the lock committed.
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
            return None
        packed: int = await connection.fetchval(query, *arguments, timeout=TIMEOUT_S)
        return packed


def _names(day: int) -> dict[str, str]:
    return {form: name_of(form, day) for form in ("readings", "runs", "packed")}
