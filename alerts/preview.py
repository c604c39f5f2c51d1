"""The preview of a rule: the very machine that steps live readings, folded over stored ones.

Series after series, each in chunks, so that its memory is that of a chunk and of the transitions shown. Between chunks
the event loop turns: the requests that this worker answers meanwhile wait for one chunk at most.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from alerts.machine import Phase, State, Transition, step
from alerts.matching import WatchingRule, ready
from alerts.rate import Point, rates
from alerts.record import ACQUIRE_S, Connection
from alerts.replay import Trail, stored
from schemas.columns import SeriesKey
from schemas.errors import Overloaded
from schemas.names import as_like
from schemas.preview import Lack, Preview, PreviewRequest, PreviewTransition
from schemas.rules import Rule
from schemas.times import to_datetime, to_micros

AT_ONCE = 2  # previews of one worker: each has a connection of the pool that the write path lives on

_SERIES = """
SELECT id, device, metric, labels::text AS labels
FROM series
WHERE device LIKE $1 AND metric LIKE $2 AND labels @> $3::jsonb
ORDER BY device, metric, id
LIMIT $4
"""


@dataclass(frozen=True, slots=True)
class PreviewLimits:
    """What one preview may cost. A reading costs this worker 1 to 5 µs, most while firing."""

    series: int = 1_000
    readings: int = 5_000_000
    deadline_s: float = 10.0


class Told(NamedTuple):
    """A transition, in the order in which it is shown."""

    ts: int
    place: int
    """Of its series in the order of names."""
    key: SeriesKey
    transition: Transition


class Previewer:
    """Answers previews, a few at a time."""

    def __init__(self, pool: asyncpg.Pool, limits: PreviewLimits | None = None) -> None:
        self._pool, self._limits = pool, limits or PreviewLimits()
        self._running = 0

    async def run(self, request: PreviewRequest) -> Preview:
        """What the rule would have told. Raises Overloaded while this worker has enough previews to run."""
        if self._running >= AT_ONCE:
            raise Overloaded(f"{AT_ONCE} previews are running already", retry_after=round(self._limits.deadline_s))
        self._running += 1
        try:
            # One state of the database: what is written meanwhile is in none of the chunks.
            async with (
                self._pool.acquire(timeout=ACQUIRE_S) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await _Run(connection, request, self._limits).all()
        finally:
            self._running -= 1


class _Run:
    """One preview while it runs."""

    def __init__(self, connection: Connection, request: PreviewRequest, limits: PreviewLimits) -> None:
        self._connection, self._request, self._limits = connection, request, limits
        self._rule = _ready(request)
        self._clock = asyncio.get_running_loop().time
        self._deadline = self._clock() + limits.deadline_s
        self._since, self._until = to_micros(request.since), to_micros(request.until)
        self._readings = 0
        self._lack: Lack | None = None
        self._told: list[Told] = []
        """The first ones by time, and one more than asked for: whether it is there says whether there are more."""

    async def all(self) -> Preview:
        """Read every series."""
        series = await self._series()
        for place, (series_id, key) in enumerate(series[: self._limits.series]):
            if self._lack is not None:
                break
            told = [Told(found.ts, place, key, found) for found in await self._transitions(series_id)]
            self._told = sorted(self._told + told, key=lambda item: item[:2])[: self._request.limit + 1]
            if self._is_full(self._told):
                self._until = self._told[-1].ts  # nothing later is shown: it need not be read
        return self._answer(len(series))

    async def _series(self) -> list[tuple[int, SeriesKey]]:
        """What the rule watches, and one more than may be read."""
        rule = self._rule
        globs, labels = (as_like(rule.device), as_like(rule.metric)), json.dumps(dict(rule.labels))
        found = await self._connection.fetch(_SERIES, *globs, labels, self._limits.series + 1)
        keys = [(record["id"], SeriesKey(record["device"], record["metric"], record["labels"])) for record in found]
        return [(series_id, key) for series_id, key in keys if rule.watches(key)]

    async def _transitions(self, series_id: int) -> list[Transition]:
        """What one series would have made happen, as far as it is read."""
        told: list[Transition] = []
        state = State()
        window_us = self._rule.window_us
        trail = None
        if window_us is not None:
            trail = Trail(stored(self._connection, series_id, self._since - window_us, self._until), window_us)
        async for points in stored(self._connection, series_id, self._since, self._until):
            self._readings += len(points)
            judged = points
            if trail and window_us is not None and points:
                judged = rates(await trail.before(points), points, window_us)
            state = _fold(self._rule, state, judged, told)
            self._lack = self._exhausted()
            if self._lack is not None or self._is_full(told):
                break
            await asyncio.sleep(0)
        return told

    def _is_full(self, told: Sequence[object]) -> bool:
        return len(told) > self._request.limit

    def _exhausted(self) -> Lack | None:
        if self._clock() > self._deadline:
            return Lack.DEADLINE
        return Lack.READINGS if self._readings >= self._limits.readings else None

    def _answer(self, series: int) -> Preview:
        lack = self._lack
        if lack is None and series > self._limits.series:
            lack = Lack.SERIES
        if lack is None and self._is_full(self._told):
            lack = Lack.TRANSITIONS
        return Preview(
            series=min(series, self._limits.series),
            readings=self._readings,
            transitions=[self._shown(told) for told in self._told[: self._request.limit]],
            truncated=lack is not None,
            truncated_by=lack,
        )

    def _shown(self, told: Told) -> PreviewTransition:
        level = self._rule.condition.levels[told.transition.level]
        return PreviewTransition(
            event=told.transition.event,
            at=to_datetime(told.ts),
            device=told.key.device,
            metric=told.key.metric,
            labels=json.loads(told.key.labels),
            severity=level.severity,
            value=told.transition.value,
            threshold=level.limit,
        )


def _ready(request: PreviewRequest) -> WatchingRule:
    """The rule as the engine would have it, were it stored; previewed also where it is not enabled."""
    stored_as = {"id": 0, "revision": 0, "created_at": request.since, "updated_at": request.since}
    return ready(Rule.model_validate(request.rule.model_dump() | stored_as))


def _fold(rule: WatchingRule, state: State, points: Sequence[Point], told: list[Transition]) -> State:
    """Step over the points, noting the transitions."""
    levels = rule.condition.levels
    upper = min((level.above for level in levels if level.above is not None), default=float("inf"))
    lower = max((level.below for level in levels if level.below is not None), default=float("-inf"))
    for ts, value in points:
        if state.phase is Phase.OK and lower <= value <= upper:
            continue  # as the engine screens: no level holds, so the machine would stay where it is
        state, transition = step(rule.condition, state, ts, value)
        if transition is not None:
            told.append(transition)
    return state
