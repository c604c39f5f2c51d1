"""What PostgreSQL said of a thing lately, believed for seconds; and for minutes while PostgreSQL is away.

So a credential that was good goes on being good while nobody can tell: its holder gets the 503 that can be acted on,
not a 401 that stops it. And what ends in PostgreSQL is over on every worker within `CACHED_S`, without a message.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas.errors import DatabaseAway
from server.database import AWAY

SILENCE_S = 0.5  # after which what was known lately goes on counting, while PostgreSQL is asked
ASKING_S = 0.5  # for one of these; with the two that follow, still within the five seconds a request may take
CACHED_S = 5.0  # a thing is believed for so long: what ends is over within that on every worker (contract: 10 s)
AWAY_S = 300.0  # and for so long while PostgreSQL is away
REFRESH_S = 1.5  # after which a thing in use is asked for again, all of them together, before anybody waits for it
REFRESH_EVERY_S = 0.5
REFRESH_WITHIN_S = 1.0  # with giving the connection back, still before `CACHED_S` is over
ASK_AGAIN_S = 1.0  # between two questions about a thing while PostgreSQL is away
MAX_CACHED = 100_000
MAX_ASKING = 3  # questions at one time: a flood of unknown names leaves the pool's other connections alone

ValueT = TypeVar("ValueT")
Find = Callable[[list[str]], Awaitable[Mapping[str, ValueT]]]
"""Names to what PostgreSQL has of them; raises one of `AWAY`."""


@dataclass(slots=True)
class Held(Generic[ValueT]):
    """What was said of one name, and when."""

    value: ValueT | None  # None: there is nothing of that name, or no more
    since: float  # seconds of the monotonic clock at which PostgreSQL said so
    checked: float  # the same, or when it was asked last and did not answer


class Recall(Generic[ValueT]):
    """A bounded memory of answers, by name. `asking` is shared by all who ask the same pool."""

    def __init__(self, find: Find[ValueT], monotonic: Callable[[], float], asking: asyncio.Semaphore) -> None:
        self._find, self._monotonic, self._asking = find, monotonic, asking
        self.held: dict[str, Held[ValueT]] = {}
        self._looking: dict[str, asyncio.Task[Held[ValueT]]] = {}

    def recent(self, name: str) -> Held[ValueT] | None:
        """What is known without asking, if that is young enough to be believed."""
        held = self.held.get(name)
        return None if held is None or self._monotonic() - held.checked > CACHED_S else held

    async def get(self, name: str) -> ValueT | None:
        """What PostgreSQL says or said lately; None: it has nothing. Raises DatabaseAway where nobody can tell."""
        held = self.recent(name)
        if held is None:
            held = await self._look_up(name, self.held.get(name))
        return held.value

    def forget(self, name: str) -> None:
        """Ask anew the next time."""
        self.held.pop(name, None)

    async def _look_up(self, name: str, stale: Held[ValueT] | None) -> Held[ValueT]:
        """Ask PostgreSQL, once for all who want the same."""
        task = self._looking.get(name)
        if task is None:
            task = self._looking[name] = asyncio.create_task(self._ask(name, stale), name="recall")
            task.add_done_callback(lambda done: self._looked(name, done))
        if stale is not None and self._monotonic() - stale.since < AWAY_S:
            done, _ = await asyncio.wait({task}, timeout=SILENCE_S)
            if not done:
                return stale  # a silent PostgreSQL must not take the time in which a batch is answered
        return await asyncio.shield(task)

    def _looked(self, name: str, task: "asyncio.Task[Held[ValueT]]") -> None:
        del self._looking[name]
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody may be left who does

    async def _ask(self, name: str, stale: Held[ValueT] | None) -> Held[ValueT]:
        now = self._monotonic()
        try:
            async with _within(self._asking, ASKING_S):
                found = await self._find([name])
        except AWAY as error:
            now = self._monotonic()
            if stale is not None and now - stale.since < AWAY_S:
                stale.checked = now - CACHED_S + ASK_AGAIN_S  # others need not wait for the same silence
                return stale
            raise DatabaseAway from error
        held = Held(found.get(name), now, now)
        if len(self.held) >= MAX_CACHED:
            # Names that nobody has go first: made up, they must not take the place of true ones.
            strange = (known for known, each in self.held.items() if each.value is None)
            del self.held[next(strange, None) or next(iter(self.held))]
        self.held[name] = held
        return held

    async def refresh(self, names: Iterable[str]) -> None:
        """Ask once more, in one query, for those of these names that are known and were not asked for just now."""
        now = self._monotonic()
        known = {name: self.held[name] for name in names if name in self.held}
        old = {name: held for name, held in known.items() if now - held.checked > REFRESH_S}
        if not old:
            return
        try:
            async with asyncio.timeout(REFRESH_WITHIN_S):
                found = await self._find(list(old))
        except AWAY:
            now = self._monotonic()
            for held in old.values():
                if now - held.since < AWAY_S:
                    held.checked = now - REFRESH_S  # asked again at the next turn
            return
        for name in old.keys() & self.held.keys():  # but those forgotten here meanwhile
            self.held[name] = Held(found.get(name), now, now)


@asynccontextmanager
async def _within(semaphore: asyncio.Semaphore, patience_s: float) -> AsyncIterator[None]:
    """Hold a semaphore. Raises TimeoutError where it is not to be had in time."""
    async with asyncio.timeout(patience_s):
        await semaphore.acquire()
    try:
        yield
    finally:
        semaphore.release()
