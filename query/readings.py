"""Raw readings: a page of JSON, or all of them in chunks."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from query.lines import JSON, Scribe
from query.reads import Reads
from query.selection import Selection, find
from query.stored import Chunk, Lend, Span, chunks
from schemas.cursor import decode_cursor, encode_cursor
from schemas.errors import Fault, Invalid

_PLACE = re.compile(r"(\d{1,16})/(\d{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """A reading among those of its metric: pages and streams begin behind one."""

    ts: int
    series_id: int

    @classmethod
    def of(cls, cursor: str) -> "Place":
        """The place in a cursor. Raises Invalid."""
        found = _PLACE.fullmatch(str(decode_cursor(cursor, str)))
        if found is None:
            raise Invalid([Fault(("query", "cursor"), "cursor_invalid", "use 'next' of the page before")])
        return cls(int(found[1]), int(found[2]))

    @property
    def cursor(self) -> str:
        """The same, for whoever asked."""
        return encode_cursor(f"{self.ts}/{self.series_id}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which readings: of a selection, since <= ts < until (microseconds), behind a place, so many at most."""

    selection: Selection
    since: int
    until: int
    descending: bool = False
    behind: Place | None = None
    limit: int | None = None

    def span(self, series: list[int]) -> Span:
        """Where to look for them."""
        since, until = self.since, self.until
        if self.behind and self.descending:
            until = min(until, self.behind.ts + 1)
        elif self.behind:
            since = max(since, self.behind.ts)
        return Span(series, since, until, self.descending)


async def page(reads: Reads, wanted: Wanted, limit: int) -> bytes:
    """One page of at most `limit`, as JSON: `{"items": [{"ts", "value"}], "next"}`."""
    check = reads.deadline()
    async with reads.connection() as connection:

        @asynccontextmanager
        async def lend() -> AsyncIterator[Any]:
            check()
            yield connection

        series = await find(connection, wanted.selection)
        scribe = Scribe(JSON, series)
        parts: list[Chunk] = []
        async for chunk in select(lend, replace(wanted, limit=limit + 1), list(series), limit):
            parts.append(chunk)
    left, texts, last = limit, [], None
    for part in parts:
        shown = part.take(slice(0, left))
        left -= len(shown)
        if len(shown):
            texts.append(scribe.lines(shown))
            last = Place(int(shown.ts[-1]), int(shown.series[-1]))
    more = sum(map(len, parts)) > limit
    following = b'"%b"' % last.cursor.encode() if more and last else b"null"
    return b'{"items":[%b],"next":%b}' % (b",".join(texts), following)


async def select(lend: Lend, wanted: Wanted, series: list[int], size: int) -> AsyncGenerator[Chunk]:
    """The readings that are wanted, in order, in chunks of about `size`; none is empty."""
    left = wanted.limit
    async for found in chunks(lend, wanted.span(series), size):
        chunk = _behind(found, wanted)
        if left is not None:
            chunk = chunk.take(slice(0, left))
            left -= len(chunk)
        if len(chunk):
            yield chunk
        if left == 0:
            return


def _behind(chunk: Chunk, wanted: Wanted) -> Chunk:
    place = wanted.behind
    if place is None or not len(chunk):
        return chunk
    if wanted.descending:
        return chunk.take((chunk.ts < place.ts) | ((chunk.ts == place.ts) & (chunk.series < place.series_id)))
    return chunk.take((chunk.ts > place.ts) | ((chunk.ts == place.ts) & (chunk.series > place.series_id)))
