"""Rolling up: the readings of some series and a span of one day become cells, in the transaction of the caller.

Whatever was rolled up of that span before is replaced, so to do it again after late readings is the same work.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np

from query.cells import Cells, fold, joined, of_readings
from query.partitions import FORMS, name_of
from query.reads import Connection
from query.rollups import DAY_US, DAYS, HOUR_US, HOURS, MINUTES, Block, read, together, write
from query.stored import Span, chunks
from schemas.columns import Int64s

CHUNK = 20_000  # readings read at a time: bounds memory, and the hold on the loop to a few milliseconds

# What is in the catalogue now, not in our snapshot: but a partition we have read from cannot be dropped any more.
_STORED = "SELECT bool_or(to_regclass(name) IS NOT NULL) FROM unnest($1::text[]) AS n (name)"


async def roll(
    connection: Connection, series: Sequence[int], since: int, until: int, minutes_since: int, hours_since: int
) -> None:
    """Roll up series (ids, ascending), since <= ts < until: whole hours of one UTC day, microseconds.

    Minutes before `minutes_since` are not kept, nor hours before `hours_since`. Where the day's readings were dropped,
    nothing is changed: what is rolled up of them is all that is left.
    """
    day = since // DAY_US * DAY_US
    if day < hours_since:
        since, until = day, day + DAY_US  # as there are no hours to make the day of
    minutes = await _minutes(connection, series, since, until)
    if not await connection.fetchval(_STORED, [name_of(form, day // DAY_US) for form in FORMS]):
        return
    ids = np.array(series, np.int64)
    if day >= minutes_since:
        await write(connection, MINUTES, series, since, until, _unshifted(minutes, ids, day))
    hours = _unshifted(fold(minutes, HOUR_US), ids, day)
    if until - since < DAY_US:
        hours = together(hours, _outside(await read(connection, HOURS, series, day, day + DAY_US), since, until))
    if day >= hours_since:
        await write(connection, HOURS, series, day, day + DAY_US, hours)
    days = _unshifted(fold(_shifted(hours, ids, day), DAY_US), ids, day)
    month = day // DAYS.tuple_us * DAYS.tuple_us
    others = _outside(await read(connection, DAYS, series, month, month + DAYS.tuple_us), day, day + DAY_US)
    await write(connection, DAYS, series, month, month + DAYS.tuple_us, together(days, others))


async def _minutes(connection: Connection, series: Sequence[int], since: int, until: int) -> Cells:
    """The minutes of all series, each series' day shifted behind that of the one before: so one fold folds them all."""
    ids, day = np.array(series, np.int64), since // DAY_US * DAY_US

    @asynccontextmanager
    async def lend() -> AsyncIterator[Connection]:
        yield connection

    done: list[Cells] = []
    begun = joined([])
    async for chunk in chunks(lend, Span(series, since, until), CHUNK):
        if not len(chunk):
            continue
        at: Int64s = chunk.ts - day + np.searchsorted(ids, chunk.series) * DAY_US
        cells = joined([begun, of_readings(at, chunk.value)])
        cells = fold(cells.take(np.argsort(cells.start, kind="stable")), MINUTES.width_us)
        # Chunks follow each other in time, so only the last minute, of whichever series, may go on.
        last = (int(chunk.ts.max()) - day) // MINUTES.width_us * MINUTES.width_us
        goes_on = cells.start % DAY_US == last
        done.append(cells.take(~goes_on))
        begun = cells.take(goes_on)
    minutes = joined([*done, begun])
    return minutes.take(np.argsort(minutes.start))


def _shifted(block: Block, ids: Int64s, day: int) -> Cells:
    by = np.searchsorted(ids, block.series) * DAY_US - day
    return _moved(block.cells, by)


def _unshifted(cells: Cells, ids: Int64s, day: int) -> Block:
    place = cells.start // DAY_US
    return Block(ids[place], _moved(cells, day - place * DAY_US))


def _moved(cells: Cells, by: Int64s) -> Cells:
    return Cells(
        cells.start + by,
        cells.count,
        cells.sum,
        cells.min,
        cells.max,
        cells.first,
        cells.first_us + by,
        cells.last,
        cells.last_us + by,
    )


def _outside(block: Block, since: int, until: int) -> Block:
    return block.take((block.cells.start < since) | (block.cells.start >= until))
