"""What is final: rollups of a time of which readings have gone are all that is left of it, so nothing changes them.

Whoever takes readings of a series away says so in the same transaction, if not before. What comes late into such a
time is stored and shown as it is, but no rollup could be made of it: not a new one, as the other readings are missing;
and to the old one it cannot be added, as nobody knows whether it is in there already.
"""

from query.partitions import Connection
from query.rollups import DAY_US, DAYS
from schemas.times import to_datetime

AT_ONCE = 10_000  # series of one statement: a tenth of a second, of the three that it may take

_PUT = """
INSERT INTO rollup_final (series_id, until_us) {found}
ON CONFLICT (series_id) DO UPDATE SET until_us = excluded.until_us WHERE rollup_final.until_us < excluded.until_us
"""
# Of those that have a cell of the day at place $2 of the tuples at $1 (what was not rolled up has nothing to lose) the
# first $5 after series $4, unless they are final already. Gives the last one looked at.
_DAY = """
WITH day AS (
    SELECT series_id FROM rollup_days
    WHERE ts = $1 AND $2::smallint = ANY(places) AND series_id > $4
    ORDER BY series_id LIMIT $5
), final AS (
    {finish}
)
SELECT max(series_id) FROM day
""".format(  # noqa: S608 - of constants
    finish=_PUT.format(
        found="""
    SELECT series_id, $3::bigint FROM day d
    WHERE NOT EXISTS (SELECT FROM rollup_final f WHERE f.series_id = d.series_id AND f.until_us >= $3)
    ORDER BY series_id
"""
    )
)
# Each transaction of the roller updates this row first: so it either saw the readings, or sees what is said here.
_TAKE_TURN = "UPDATE rollup_progress SET turns = turns + 1"


def put(found: str) -> str:
    """SQL that makes final what `found` selects: series and until when, microseconds. As a statement, or in a WITH."""
    return _PUT.format(found=found)


async def take_turn(connection: Connection) -> None:
    """Have nobody roll up until this transaction ends: no snapshot of his would see what it drops."""
    await connection.execute(_TAKE_TURN)


async def finish_day(connection: Connection, day: int) -> None:
    """Make a day (since the Unix epoch) final for all series, some at a time, as there may be a million of them.

    Before its readings go, and once more in the transaction in which they go, for those rolled up meanwhile.
    """
    begin = day * DAY_US
    month = begin // DAYS.tuple_us * DAYS.tuple_us
    last: int | None = 0
    while last is not None:
        arguments = to_datetime(month), (begin - month) // DAY_US, begin + DAY_US, last, AT_ONCE
        last = await connection.fetchval(_DAY, *arguments)
