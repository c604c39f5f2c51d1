"""Buckets: aggregates of readings by spans of time, from whatever source has the cells."""

from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pydantic_core import to_json

from query.cells import Cells, fold, joined, levels, merge, of_readings
from query.lines import time_texts
from query.reads import Connection, Reads
from query.selection import Selection, find
from query.stored import Span, chunks
from schemas.columns import Float64s
from schemas.errors import Fault, Invalid
from schemas.queries import MAX_BUCKETS, Aggregate

CHUNK = 20_000  # readings read at a time: bounds memory, and the hold on the loop to a few milliseconds

Check = Callable[[], None]
"""Raises once an answer has taken too long."""

MAX_CELLS = 1_000_000  # of one answer before its series are merged: 100 MB, and a tenth of a second of the loop


@dataclass(frozen=True, slots=True)
class Grid:
    """Which buckets: of `width_us`, with the readings since <= ts < until. Microseconds."""

    since: int
    until: int
    width_us: int

    @property
    def count(self) -> int:
        """How many there are at most."""
        return -(-self.until // self.width_us) - self.since // self.width_us


class Source(Protocol):
    """Where the cells of one series come from; all of one answer from one state of the database."""

    async def cells(self, connection: Connection, series_id: int, grid: Grid, check: Check) -> Cells:
        """The cells of the grid, in order, none empty, folded as `query/cells.py` lays down."""


class Raw:
    """From the readings themselves."""

    async def cells(self, connection: Connection, series_id: int, grid: Grid, check: Check) -> Cells:
        """Fold chunk after chunk; what a chunk leaves unfinished, the next one goes on with."""
        finest, *coarser = levels(grid.width_us)
        parts: list[Cells] = []

        @asynccontextmanager
        async def lend() -> Any:
            yield connection

        async for chunk in chunks(lend, Span([series_id], grid.since, grid.until), CHUNK):
            check()
            begun = [parts.pop()] if parts else []
            folded = fold(joined([*begun, of_readings(chunk.ts, chunk.value)]), finest)
            parts += [folded.take(slice(None, -1)), folded.take(slice(-1, None))]
        cells = joined(parts)
        for width_us in coarser:
            cells = fold(cells, width_us)
        return cells


async def buckets(
    reads: Reads, source: Source, wanted: Selection, grid: Grid, aggregates: Sequence[Aggregate]
) -> bytes:
    """The answer, as JSON. Raises Invalid, NotFound, TooManyQueries, QueryTooSlow."""
    if grid.count > MAX_BUCKETS:
        text = f"{grid.count} buckets, of {MAX_BUCKETS} at most: ask for longer ones, or for less"
        raise Invalid([Fault(("query", "bucket_s"), "too_many_buckets", text)])
    check = reads.deadline()
    async with reads.connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        parts, held = [joined([])], 0
        for series_id in await find(connection, wanted):
            parts.append(await source.cells(connection, series_id, grid, check))
            held += len(parts[-1])
            if held > MAX_CELLS:
                text = f"more than {MAX_CELLS} buckets of single series: ask for longer ones, or for fewer labels"
                raise Invalid([Fault(("query", "bucket_s"), "too_many_buckets", text)])
    return encode(merge(parts), aggregates)


def encode(cells: Cells, aggregates: Sequence[Aggregate]) -> bytes:
    """`{"buckets": [{"ts", "avg", …}]}`; null where a sum is no float any more."""
    columns = [_texts(cells, aggregate) for aggregate in aggregates]
    glue = b'"%b":%%b'
    item = b'{"ts":"%b",' + b",".join(glue % aggregate.encode() for aggregate in aggregates) + b"}"
    rows = zip(time_texts(cells.start), *columns, strict=True)
    return b'{"buckets":[%b]}' % b",".join(map(item.__mod__, rows))


def _texts(cells: Cells, aggregate: Aggregate) -> list[bytes]:
    values: Any = getattr(cells, aggregate) if aggregate is not Aggregate.AVG else _averages(cells)
    return to_json(values.tolist(), inf_nan_mode="null")[1:-1].split(b",") if len(cells) else []


def _averages(cells: Cells) -> Float64s:
    with np.errstate(over="ignore", invalid="ignore"):
        return cells.sum / cells.count
