"""Buckets from rollups where these are right, from raw readings elsewhere: always the same numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from query.buckets import Check, Grid, Raw
from query.cells import Cells, fold, joined, levels
from query.reads import Connection
from query.rollups import HOUR_US, LEVELS, MINUTES, Level, read
from schemas.times import to_datetime

# In the snapshot of the whole answer: what is marked is read from the readings, whether it was rolled up again or not;
# but not what is final, as readings of it have gone.
_STATE = """
SELECT rolled_us, minutes_since_us, hours_since_us,
       (SELECT array_agg(DISTINCT (extract(epoch FROM hour) * 1000000)::bigint)
        FROM rollup_dirty
        WHERE series_id = $1 AND hour > $2 AND hour < $3
          AND extract(epoch FROM hour) * 1000000
              >= coalesce((SELECT until_us FROM rollup_final WHERE series_id = $1), 0)) AS dirty
FROM rollup_progress
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is rolled up of one series, as one snapshot has it. Microseconds."""

    until: int
    since: tuple[int, ...]
    """By level: older cells have expired."""
    dirty: Sequence[int]
    """Hours whose cells are wrong, ascending."""

    def reach(self, place: int, since: int, until: int) -> tuple[int, int]:
        """The whole cells of a level between two moments that may be there; none where the first is not before."""
        width = LEVELS[place].width_us
        return -(-max(since, self.since[place]) // width) * width, min(until, self.until) // width * width

    def holes(self, place: int, since: int, until: int) -> list[tuple[int, int]]:
        """Spans of cells of a level that have a wrong hour, clipped to since <= … < until, in order, none touching."""
        width = max(LEVELS[place].width_us, HOUR_US)
        spans: list[tuple[int, int]] = []
        for hour in self.dirty:
            begin = max(since, hour // width * width)
            end = min(until, hour // width * width + width)
            if begin >= end:
                continue
            if spans and spans[-1][1] >= begin:
                spans[-1] = spans[-1][0], end
            else:
                spans.append((begin, end))
        return spans


class Rolled:
    """A source of cells: `query.buckets.Source`."""

    async def cells(self, connection: Connection, series_id: int, grid: Grid, check: Check) -> Cells:
        """From the coarsest rollups that answer exactly."""
        usable = [level for level in LEVELS if grid.width_us % level.width_us == 0]
        if not usable:
            return await Raw().cells(connection, series_id, grid, check)
        bounds = to_datetime(grid.since - HOUR_US), to_datetime(grid.until)
        found: Any = await connection.fetchrow(_STATE, series_id, *bounds)
        since = found["minutes_since_us"], found["hours_since_us"], 0
        kept = Kept(found["rolled_us"], since, sorted(found["dirty"] or ()))
        gathering = _Gathering(connection, series_id, kept, check)
        cells = await gathering.gather(len(usable) - 1, grid.since, grid.until)
        for width_us in levels(grid.width_us)[len(usable) :]:
            cells = fold(cells, width_us)
        return cells


@dataclass(frozen=True, slots=True)
class _Gathering:
    connection: Connection
    series_id: int
    kept: Kept
    check: Check

    async def gather(self, place: int, since: int, until: int) -> Cells:
        """Cells as wide as those of a level, since <= ts < until; the first and the last may be parts of one."""
        if since >= until:
            return joined([])
        if place < 0:
            return await Raw().cells(self.connection, self.series_id, Grid(since, until, MINUTES.width_us), self.check)
        level: Level = LEVELS[place]
        begin, end = self.kept.reach(place, since, until)
        if begin >= end:
            return fold(await self.gather(place - 1, since, until), level.width_us)
        self.check()
        cells = (await read(self.connection, level, [self.series_id], begin, end)).cells
        parts = []
        for low, high in [(since, begin), *self.kept.holes(place, begin, end), (end, until)]:
            cells = cells.take((cells.start < low) | (cells.start >= high))
            parts.append(fold(await self.gather(place - 1, low, high), level.width_us))
        every = joined([cells, *parts])
        return every.take(np.argsort(every.start))
