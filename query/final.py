"""What is final: rollups of a time of which readings have gone are all that is left of it, so nothing changes them.

Whoever takes readings of a series away says so in the same transaction. What comes late into such a time is stored and
shown as it is, but no rollup could be made of it: not a new one, as the other readings are missing, and it cannot be
added to the old one, as nobody knows any more whether it is in there already.
"""

from query.partitions import Connection
from query.rollups import DAY_US, DAYS
from schemas.times import to_datetime

_PUT = """
INSERT INTO rollup_final (series_id, until_us) {found}
ON CONFLICT (series_id) DO UPDATE SET until_us = excluded.until_us WHERE rollup_final.until_us < excluded.until_us
"""
# Those that have a cell of the day at place $2 of the tuples at $1: what was not rolled up has nothing to lose.
_DAY = _PUT.format(
    found="""
SELECT series_id, $3::bigint FROM rollup_days WHERE ts = $1 AND $2::smallint = ANY(places) ORDER BY series_id
"""
)
# Each transaction of the roller updates this row first: so it either saw the readings, or sees what is said here.
_TAKE_TURN = "UPDATE rollup_progress SET turns = turns + 1"


def put(found: str) -> str:
    """SQL that makes final what `found` selects: series and until when, microseconds. As a statement, or in a WITH."""
    return _PUT.format(found=found)


async def finish_day(connection: Connection, day: int) -> None:
    """Make a day (since the Unix epoch) final for all series, before its readings go in the same transaction.

    No snapshot sees what was dropped, so nobody may be rolling up meanwhile.
    """
    await connection.execute(_TAKE_TURN)
    begin = day * DAY_US
    month = begin // DAYS.tuple_us * DAYS.tuple_us
    await connection.execute(_DAY, to_datetime(month), (begin - month) // DAY_US, begin + DAY_US)
