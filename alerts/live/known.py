"""What is stored of a device already: a reading older than that is late, and no news to who begins to view it."""

import asyncio
import json

import asyncpg
import structlog

from alerts.live.board import MAX_SERIES, Reading
from alerts.live.fetch import AWAY, fetch
from schemas.columns import canonical_labels

log = structlog.get_logger(__name__)

READERS = 4
"""Reads at one time: a thousand who begin at once must not use up the pool the write path lives on."""

DEADLINE_S = 1.0
"""With waiting for one's turn. Whoever would wait longer does without: nothing is promised of live readings."""

QUERY = """
SELECT s.metric, s.labels::text AS labels, n.ts_us, n.value
FROM series s JOIN newest n ON n.series_id = s.id
WHERE s.device = $1 AND n.ts_us > 0
ORDER BY n.ts_us DESC
LIMIT $2
"""


class Known:
    """Reads the newest stored reading of each series of a device."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._readers = asyncio.Semaphore(READERS)

    async def of(self, device: str) -> list[Reading]:
        """In order of time, one more than a board holds where there are so many; none where that cannot be read."""
        try:
            async with asyncio.timeout(DEADLINE_S), self._readers:
                rows = await fetch(self._pool, DEADLINE_S, QUERY, device, MAX_SERIES + 1)
        except AWAY as error:
            log.debug("newest_readings_unknown", error=repr(error))
            return []
        return [
            Reading(row["metric"], canonical_labels(json.loads(row["labels"])), row["ts_us"], row["value"])
            for row in reversed(rows)
        ]
