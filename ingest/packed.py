"""Readings that were packed: found where a day has pieces, and replaced there.

The elected worker moves readings from plain rows and runs into pieces without the lock of their series, a statement at
a time. So whoever looks for a reading asks for runs first, then for plain rows, then for pieces, and finds it whatever
moves meanwhile; and whoever changes one locks its tuple, and begins again where that has been moved.
"""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import numpy as np

from schemas.columns import Float64s, Int64s, Rows
from schemas.times import to_datetime, to_micros

Connection = asyncpg.pool.PoolConnectionProxy

PIECES_AT_ONCE = 200  # read at a time: bounds memory and the hold on the loop

# Place 0 says that a day between $3 and $4 has pieces: seen in the same snapshot as the plain readings, so where it is
# missing none of those had been moved away.
FIND_PLAIN = """
SELECT n.place
FROM (
    SELECT series_id, place, timestamptz 'epoch' + us * interval '1 microsecond' AS ts
    FROM unnest($1::integer[], $2::bigint[]) WITH ORDINALITY AS n (series_id, us, place)
) n
JOIN readings r ON r.series_id = n.series_id AND r.ts = n.ts
WHERE r.ts >= $3 AND r.ts <= $4
UNION ALL
(SELECT 0 FROM packing WHERE day >= ($3 AT TIME ZONE 'UTC')::date AND day <= ($4 AT TIME ZONE 'UTC')::date LIMIT 1)
"""
_FIND = """
SELECT n.place, p.ts AS piece,
       array_position(p.offsets, (round(date_part('epoch', n.ts - p.base) * 1e6)::bigint / p.unit_us)::integer)
           AS position
FROM (
    SELECT series_id, place, timestamptz 'epoch' + us * interval '1 microsecond' AS ts,
           CASE WHEN us % 1000 = 0 THEN 1000 ELSE 1 END AS unit_us
    FROM unnest($1::integer[], $2::bigint[]) WITH ORDINALITY AS n (series_id, us, place)
) n
CROSS JOIN LATERAL (
    SELECT p.ts, p.until, p.base, p.unit_us, p.offsets
    FROM packed p
    WHERE p.series_id = n.series_id AND p.unit_us = n.unit_us AND p.ts <= n.ts AND p.ts >= day_of(n.ts)
      AND p.ts >= day_of($3) AND p.ts <= $4
    ORDER BY p.ts DESC
    LIMIT 1
) p
WHERE p.until >= n.ts
"""
_PIECES = """
SELECT p.series_id, p.ts, p.values
FROM unnest($1::integer[], $2::integer[], $3::timestamptz[]) AS n (series_id, unit_us, ts)
JOIN packed p ON p.series_id = n.series_id AND p.unit_us = n.unit_us AND p.ts = n.ts
WHERE p.ts >= $4 AND p.ts <= $5
FOR UPDATE OF p
"""
_REPLACE = "UPDATE packed SET values = $4 WHERE series_id = $1 AND unit_us = $2 AND ts = $3"


def check_unmoved(found: int, wanted: int) -> None:
    """Raise where fewer tuples were locked than had been found: the group is run again, unseen by its senders."""
    if found < wanted:
        raise asyncpg.SerializationError("readings to be replaced were packed meanwhile")


async def find(connection: Connection, rows: Rows, *, replace: bool) -> Int64s:
    """Places of the rows that lie in pieces. With `replace` their values take the place of those there.

    Raises asyncpg.SerializationError where a piece to be changed was packed anew meanwhile.
    """
    bounds = to_datetime(int(rows.ts.min())), to_datetime(int(rows.ts.max()))
    records = await connection.fetch(_FIND, rows.series_id.tolist(), rows.ts.tolist(), *bounds)
    found = [record for record in records if record["position"] is not None]
    places = np.array([record["place"] for record in found], np.int64) - 1
    if replace and len(places):
        series = rows.series_id[places].tolist()
        pieces = [(series_id, record["piece"]) for series_id, record in zip(series, found, strict=True)]
        positions = np.array([record["position"] for record in found], np.int64)
        await _replace(connection, pieces, positions, rows.value[places])
    return places


async def _replace(
    connection: Connection, pieces: Sequence[tuple[int, datetime]], positions: Int64s, values: Float64s
) -> None:
    """Replace values (n,): each the one at a position, from 1, of the piece with this series and first time."""
    places: dict[tuple[int, datetime], list[int]] = {}
    for place, piece in enumerate(pieces):
        places.setdefault(piece, []).append(place)
    keys = sorted(places)
    for start in range(0, len(keys), PIECES_AT_ONCE):
        part = keys[start : start + PIECES_AT_ONCE]
        times = [ts for _, ts in part]
        units = [_unit_us(ts) for ts in times]
        found = await connection.fetch(_PIECES, [key[0] for key in part], units, times, min(times), max(times))
        check_unmoved(len(found), len(part))
        changed = []
        for series_id, ts, stored in found:
            new: Float64s = np.array(stored, np.float64)
            at = places[series_id, ts]
            new[positions[at] - 1] = values[at]
            changed.append((series_id, _unit_us(ts), ts, new.tolist()))
        await connection.executemany(_REPLACE, changed)


def _unit_us(first: datetime) -> int:
    """The unit of the piece with this first reading."""
    return 1 if to_micros(first) % 1_000 else 1_000
