"""A stream of readings: any number of them in the memory of one chunk, as fast as the client takes them.

Between two chunks it holds no connection and no snapshot, so a slow client costs PostgreSQL nothing. A stream that
breaks is cut without the end that chunked encoding needs, so that no client takes a part for the whole.
"""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from query.lines import Layout, Scribe
from query.negotiation import Compressor, compressor
from query.readings import Wanted, select
from query.reads import AWAY, Reads
from query.selection import find
from query.stored import Chunk
from schemas.errors import SluiceError

log = structlog.get_logger(__name__)

CHUNK = 20_000  # readings of one chunk: 0.4 MB, and a few milliseconds of PostgreSQL
PIECE = 4_000  # readings written at a time: a millisecond's hold on the loop


class _StalledError(Exception):
    """The client takes nothing."""


class Export(Response):
    """An answer, as the framework sends them."""

    def __init__(
        self, reads: Reads, wanted: Wanted, layout: Layout, coding: str | None, filename: str | None = None
    ) -> None:
        self._reads, self._wanted, self._layout = reads, wanted, layout
        self._compressor: Compressor | None = compressor(coding) if coding else None
        self.status_code, self.background = 200, None
        kind = layout.media_type + ("; charset=utf-8; header=present" if layout.head else "")
        headers = {"Content-Type": kind, "Vary": "Accept, Accept-Encoding"}
        if coding:
            headers["Content-Encoding"] = coding
        if filename:
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises only before anything was sent: then there is still an answer to give."""
        async with self._reads.stream():
            async with self._reads.chunk() as connection:
                series = await find(connection, self._wanted.selection)
            readings = select(self._reads.chunk, self._wanted, list(series), CHUNK)
            first = await anext(readings, None)
            gone = asyncio.create_task(_gone(receive), name="export-gone")
            try:
                await self._send_all(send, Scribe(self._layout, series), first, readings, gone)
            except (SluiceError, *AWAY, _StalledError) as error:
                # Without an end: uvicorn closes the connection upon that.
                self._reads.metrics.broken.labels("stalled" if isinstance(error, _StalledError) else "database").inc()
                log.warning("a stream broke", error=repr(error))
            finally:
                gone.cancel()
                await readings.aclose()

    async def _send_all(
        self, send: Send, scribe: Scribe, first: Chunk | None, readings: AsyncIterator[Chunk], gone: asyncio.Task[None]
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._put(send, scribe.head)
        chunk = first
        while chunk is not None:
            for start in range(0, len(chunk), PIECE):
                if gone.done():
                    self._reads.metrics.broken.labels("client").inc()
                    return
                await self._put(send, scribe.lines(chunk.take(slice(start, start + PIECE))))
                await asyncio.sleep(0)  # who takes fast must not have the loop to himself
            self._reads.metrics.rows.inc(len(chunk))
            chunk = await anext(readings, None)
        rest = self._compressor.flush() if self._compressor else b""
        await send({"type": "http.response.body", "body": rest})

    async def _put(self, send: Send, text: bytes) -> None:
        data = self._compressor.compress(text) if self._compressor else text
        if not data:
            return
        try:
            async with asyncio.timeout(self._reads.limits.stall_s):
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError:
            raise _StalledError from None


async def _gone(receive: Receive) -> None:
    """Returns when the client goes."""
    while (await receive())["type"] != "http.disconnect":
        pass
