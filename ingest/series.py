"""Names to series ids: a bounded cache over the table `series`, which makes the ids."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import asyncpg
import numpy as np
import structlog

from ingest.leaving import Leaving, Unlearn
from schemas.columns import Int32s, SeriesKey
from schemas.errors import Overloaded

log = structlog.get_logger(__name__)

ACQUIRE_S = 1.5  # for a connection, and for giving it back: asyncpg waits for ever on a frozen server otherwise
MAX_WANTED = 50_000  # series being looked for; beyond them a request is refused with 503
CHUNK = 1_000  # series made by one statement
FULL_S = 3.0  # a key that may make no more series is not counted again for so long: that is a write each time
MAX_FULL = 10_000  # such keys that are remembered
EVICTED_SHARE = 10  # one in so many is forgotten when the cache is full: the ones met first

_FIND = """
SELECT k.place, s.id
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (device, metric, labels, place)
JOIN series s ON s.device = k.device AND s.metric = k.metric AND md5(s.labels::text) = md5(k.labels::jsonb::text)
"""
# Who deletes a device locks it before the count of who made its series: so do we, or we would wait for each other.
_LOCK_DEVICES = "SELECT FROM devices WHERE name = ANY($1::text[]) ORDER BY name FOR KEY SHARE"
_COUNT = """
INSERT INTO series_made (key_id) SELECT DISTINCT key_id COLLATE "C" FROM unnest($1::text[]) AS k (key_id) ORDER BY 1
ON CONFLICT (key_id) DO UPDATE SET count = series_made.count  -- locks the row
RETURNING key_id, count
"""
_MAKE_DEVICES = """
INSERT INTO devices (name)
SELECT DISTINCT name COLLATE "C" FROM unnest($1::text[]) AS d (name) ORDER BY 1
ON CONFLICT DO NOTHING
"""
_MAKE_SERIES = """
WITH made AS (
    INSERT INTO series (device, metric, labels, made_by)
    SELECT device, metric, labels::jsonb, nullif(made_by, '')
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (device, metric, labels, made_by)
    ORDER BY device COLLATE "C", metric COLLATE "C", labels
    ON CONFLICT DO NOTHING
    RETURNING id, made_by
), counted AS (
    UPDATE series_made s SET count = s.count + m.count
    FROM (SELECT made_by, count(*) AS count FROM made GROUP BY made_by) m
    WHERE s.key_id = m.made_by
)
INSERT INTO newest (series_id) SELECT id FROM made
"""

BEYOND = 0
"""Instead of an id: the series does not exist, and its key has made as many as it may."""

Learn = Callable[[Sequence[tuple[int, SeriesKey]]], None]


@dataclass(slots=True)
class _Wanted:
    """A series that is being looked for."""

    found: asyncio.Future[int]
    key_id: str
    """Who makes it, if it is new; empty: nobody whose series are counted."""
    waiters: int = 0


class SeriesTable:
    """The ids of series. New ones are committed before the group that writes to them, so that no flush waits."""

    def __init__(
        self, pool: asyncpg.Pool, *, max_cached: int, learn: Learn, unlearn: Unlearn, max_per_key: int = 1_000_000
    ) -> None:
        self._pool = pool
        self.max_per_key = max_per_key
        """Series that one key may have made; deleted ones do not count."""
        self._max_cached, self._learn = max_cached, learn
        self._ids: dict[SeriesKey, int] = {}
        self._leaving = Leaving(unlearn)
        self._wanted: dict[SeriesKey, _Wanted] = {}
        self._beyond: set[SeriesKey] = set()
        """Of those looked for now: neither there, nor may they be made."""
        self._full: dict[str, float] = {}
        """Keys that may make no more series, and when (seconds of the loop's clock) that has to be looked at again."""
        self._finding: asyncio.Task[None] | None = None
        self._era = 0  # of the database, as far as ids are concerned

    def __len__(self) -> int:
        return len(self._ids)

    def items(self) -> Iterable[tuple[SeriesKey, int]]:
        """Every series that may still be written by its id."""
        return chain(self._leaving.items(), self._ids.items())

    def known(self, keys: Sequence[SeriesKey]) -> Int32s | None:
        """The ids of these series (k,), if all are in the cache."""
        try:
            return np.fromiter(map(self._ids.__getitem__, keys), np.int32, len(keys))
        except KeyError:
            return None

    def forget(self, keys: Sequence[SeriesKey], ids: Int32s) -> None:
        """Somebody deleted series of these ids; those of them that were found anew meanwhile stay known."""
        for key, series_id in zip(keys, ids.tolist(), strict=True):
            if self._ids.get(key) == series_id:
                self._leaving.add(key, self._ids.pop(key))

    def renew(self) -> None:
        """Forget every id: the database is another one, or an older state of it, and may give them to other series."""
        self._era += 1
        self._ids.clear()
        self._leaving.clear()

    async def resolve(self, keys: Sequence[SeriesKey], key_id: str = "") -> Int32s:
        """The ids of these series (k,), making those that are new, for a key; `BEYOND` where it may make no more.

        `learn` hears of each the first time it is met. Who asks while others are being looked for is served with all
        who wait, by one query.
        """
        known = self.known(keys)
        if known is not None:
            return known
        era = self._era
        missing = [key for key in dict.fromkeys(keys) if key not in self._ids]
        if len(self._wanted) + len(missing) > MAX_WANTED:
            raise Overloaded(f"{len(self._wanted)} series are being looked for")
        ids = {key: self._ids[key] for key in keys if key in self._ids}  # taken now, as they may be evicted meanwhile
        wanted = [self._want(key, key_id) for key in missing]
        if self._finding is None or self._finding.done():
            self._finding = asyncio.create_task(self._find_wanted(), name="series")
            self._finding.add_done_callback(_tell_of_defect)
        try:
            # One who goes away must not take the search from the others.
            await asyncio.wait([each.found for each in wanted])
        finally:
            for each in wanted:
                each.waiters -= 1
        ids |= {key: each.found.result() for key, each in zip(missing, wanted, strict=True)}
        if era != self._era:
            return await self.resolve(keys, key_id)
        # What another key may not make, which asked first, this one perhaps may.
        refused = [
            key for key, each in zip(missing, wanted, strict=True) if each.key_id != key_id and ids[key] == BEYOND
        ]
        if refused:
            ids |= dict(zip(refused, (await self.resolve(refused, key_id)).tolist(), strict=True))
        return np.array([ids[key] for key in keys], np.int32)

    def _want(self, key: SeriesKey, key_id: str) -> _Wanted:
        wanted = self._wanted.get(key)
        if wanted is None:
            wanted = self._wanted[key] = _Wanted(asyncio.get_running_loop().create_future(), key_id)
        wanted.waiters += 1
        return wanted

    async def _find_wanted(self) -> None:
        """Look for what is wanted, until nothing is; whom PostgreSQL fails is told so."""
        while self._wanted:
            keys = {}
            for key, wanted in list(islice(self._wanted.items(), CHUNK)):
                if wanted.waiters:
                    keys[key] = wanted.key_id
                else:
                    del self._wanted[key]  # those who wanted it went away
            era = self._era
            try:
                found = await self._find(keys) if keys else {}
                if era != self._era:
                    continue
                self._make_room(len(found))
                self._learn([(series_id, key) for key, series_id in found.items()])
            except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
                for key in keys:
                    future = self._wanted.pop(key).found
                    future.set_exception(error)
                    future.exception()  # whoever waits has it; nobody may be left who does
                continue
            self._ids |= found
            for key, series_id in found.items():  # one that somebody deleted in between is looked for again
                self._wanted.pop(key).found.set_result(series_id)
            for key in keys:
                if key in self._beyond:
                    self._wanted.pop(key).found.set_result(BEYOND)

    async def _find(self, keys: Mapping[SeriesKey, str]) -> dict[SeriesKey, int]:
        self._beyond.clear()
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            found = await _select(connection, list(keys))
            missing = {key: key_id for key, key_id in keys.items() if key not in found}
            allowed = {key: key_id for key, key_id in missing.items() if not self._is_full(key_id)}
            new: list[SeriesKey] = []
            if allowed:
                # Somebody may delete a device in between: what is not found then is looked for again.
                new = list(allowed)
                with contextlib.suppress(asyncpg.ForeignKeyViolationError):
                    async with connection.transaction():
                        await connection.execute(_LOCK_DEVICES, [key.device for key in allowed])
                        new = await self._allowed(connection, allowed)
                        await connection.execute(_MAKE_DEVICES, [key.device for key in new])
                        await connection.execute(_MAKE_SERIES, *_as_arrays(new), [allowed[key] for key in new])
                found |= await _select(connection, list(missing))  # others may have made some of them meanwhile
            self._beyond.update(missing.keys() - set(new) - found.keys())
            return found

    async def _allowed(
        self, connection: asyncpg.pool.PoolConnectionProxy, missing: Mapping[SeriesKey, str]
    ) -> list[SeriesKey]:
        """Those that their keys may still make; the counts of these keys are locked until the transaction ends."""
        makers = sorted({key_id for key_id in missing.values() if key_id})
        counts = await connection.fetch(_COUNT, makers) if makers else []
        room = {record["key_id"]: max(0, self.max_per_key - record["count"]) for record in counts}
        for key_id in (key_id for key_id, left in room.items() if not left):
            if len(self._full) >= MAX_FULL:
                del self._full[next(iter(self._full))]
            self._full[key_id] = asyncio.get_running_loop().time() + FULL_S
        new = []
        for key, key_id in missing.items():
            if not key_id or room[key_id] > 0:
                new.append(key)
                if key_id:
                    room[key_id] -= 1
        return new

    def _is_full(self, key_id: str) -> bool:
        """Whether a key has lately been seen to have made as many series as it may."""
        until = self._full.get(key_id)
        if until is not None and until <= asyncio.get_running_loop().time():
            del self._full[key_id]
            return False
        return until is not None

    def _make_room(self, count: int) -> None:
        """Let go of those met first, where there are too many. Raises Overloaded where too many left just now."""
        self._leaving.let_go(self._ids)
        if len(self._ids) + count > self._max_cached:
            self._leaving.require_room(self._max_cached)
            for key in list(islice(self._ids, max(count, self._max_cached // EVICTED_SHARE))):
                self._leaving.add(key, self._ids.pop(key))


async def _select(connection: asyncpg.pool.PoolConnectionProxy, keys: Sequence[SeriesKey]) -> dict[SeriesKey, int]:
    records = await connection.fetch(_FIND, *_as_arrays(keys))
    return {keys[record["place"] - 1]: record["id"] for record in records}


def _tell_of_defect(task: asyncio.Task[None]) -> None:
    """Whoever waits is answered by the deadline, and the next who asks begins a new search."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("the search for series broke", exc_info=error)


def _as_arrays(keys: Sequence[SeriesKey]) -> tuple[list[str], list[str], list[str]]:
    return [key.device for key in keys], [key.metric for key in keys], [key.labels for key in keys]
