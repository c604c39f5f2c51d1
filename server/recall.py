"""What PostgreSQL said of a thing lately, believed for seconds; and for minutes while PostgreSQL is away.

So a credential that was good goes on being good while nobody can tell: its holder gets the 503 that can be acted on,
not a 401 that stops it. And what ends in PostgreSQL is over on every worker within `CACHED_S`, without a message, or
within `BUSY_S` where PostgreSQL answers others and not us: only one that answers nobody is away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from schemas.errors import DatabaseAway
from server.database import AWAY

SILENCE_S = 0.3  # after which what was known lately goes on counting; the rest of 5.5 s is the batch's own deadline
PATIENCE_S = 3.0  # for an answer about what is not known yet
ASKING_S = 0.5  # of an unknown name, for its turn
CACHED_S = 5.0  # a thing is believed for so long: what ends is over within that on every worker (contract: 10 s)
BUSY_S = 8.0  # and for so long where the question about it fails while others are answered
AWAY_S = 300.0  # and for so long while PostgreSQL is away
REFRESH_S = 1.5  # after which a thing in use is asked for again, all of them together, before anybody waits for it
REFRESH_EVERY_S = 0.5
REFRESH_WITHIN_S = 1.0  # with giving the connection back, still before `CACHED_S` is over
ASK_AGAIN_S = 1.0  # between two questions about a thing while PostgreSQL is away
MAX_CACHED = 100_000
MAX_STRANGERS = 10_000  # names that PostgreSQL does not know; made up, they take nothing from those that it does
MAX_ASKING = 3  # questions about unknown names at one time: a flood of them leaves the pool's other connections alone

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
        self.strangers: dict[str, Held[ValueT]] = {}
        """Of whom PostgreSQL has nothing."""
        self._heard = -inf
        """When PostgreSQL answered last, whatever it was asked; seconds of the clock."""
        self._failed = -inf
        """When it was last found to answer nobody."""
        self._looking: dict[str, asyncio.Task[Held[ValueT]]] = {}

    def recent(self, name: str) -> Held[ValueT] | None:
        """What is known without asking, if that is young enough to be believed."""
        held = self._met(name)
        return None if held is None or self._monotonic() - held.checked > CACHED_S else held

    async def get(self, name: str) -> ValueT | None:
        """What PostgreSQL says or said lately; None: it has nothing. Raises DatabaseAway where nobody can tell."""
        held = self.recent(name)
        if held is None:
            held = await self._look_up(name, self._met(name))
        return held.value

    def forget(self, name: str) -> None:
        """Ask anew the next time."""
        self.held.pop(name, None)
        self.strangers.pop(name, None)

    def _met(self, name: str) -> Held[ValueT] | None:
        return self.held.get(name) or self.strangers.get(name)

    def _keep(self, name: str, value: ValueT | None, asked: float) -> Held[ValueT]:
        here, there, most = (
            (self.strangers, self.held, MAX_STRANGERS) if value is None else (self.held, self.strangers, MAX_CACHED)
        )
        there.pop(name, None)
        if name not in here and len(here) >= most:
            del here[next(iter(here))]
        here[name] = Held(value, asked, asked)
        return here[name]

    def _is_away(self, asked: float) -> bool:
        """Whether PostgreSQL has told nobody anything since then, when it was asked what it did not answer.

        A moment's silence does not say so: it may be slow, or a connection be made first.
        """
        return self._heard <= asked and self._heard < self._failed

    def _note_failure(self, asked: float) -> None:
        """What was asked then failed, or was waited for in vain."""
        if self._heard <= asked:
            self._failed = self._monotonic()

    def _counts(self, held: Held[ValueT], asked: float) -> bool:
        """Whether what was said goes on counting, though what was asked then has no answer."""
        return self._monotonic() - held.since < (AWAY_S if self._is_away(asked) else BUSY_S)

    async def _look_up(self, name: str, stale: Held[ValueT] | None) -> Held[ValueT]:
        """Ask PostgreSQL, once for all who want the same."""
        task = self._looking.get(name)
        if task is None:
            task = self._looking[name] = asyncio.create_task(self._ask(name, stale), name="recall")
            task.add_done_callback(lambda done: self._looked(name, done))
        asked = self._monotonic()
        if stale is not None:
            # A silent PostgreSQL must not take the time in which a batch is answered.
            done, _ = await asyncio.wait({task}, timeout=SILENCE_S)
            if not done and self._counts(stale, asked):
                return stale
        # Not cancelled when that is over: to cancel what a frozen PostgreSQL was asked takes longer still.
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_S)
        if not done:
            self._note_failure(asked)
            raise DatabaseAway
        return task.result()

    def _looked(self, name: str, task: "asyncio.Task[Held[ValueT]]") -> None:
        del self._looking[name]
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody may be left who does

    async def _ask(self, name: str, stale: Held[ValueT] | None) -> Held[ValueT]:
        asked = self._monotonic()
        # Who is known does not wait behind those who are not, however many they are.
        turn = _within(self._asking, ASKING_S) if stale is None or stale.value is None else nullcontext()
        try:
            async with turn:
                found = await self._find([name])
        except AWAY as error:
            self._note_failure(asked)
            if stale is not None and self._counts(stale, asked):
                if self._is_away(asked):
                    # Others need not wait for the same silence.
                    stale.checked = self._monotonic() - CACHED_S + ASK_AGAIN_S
                return stale
            raise DatabaseAway from error
        self._heard = self._monotonic()
        return self._keep(name, found.get(name), asked)

    async def refresh(self, names: Iterable[str]) -> None:
        """Ask once more, in one query, for those of these names that are known and were not asked for just now."""
        asked = self._monotonic()
        known = {name: self.held[name] for name in names if name in self.held}
        old = {name: held for name, held in known.items() if asked - held.checked > REFRESH_S}
        if not old:
            return
        try:
            async with asyncio.timeout(REFRESH_WITHIN_S):
                found = await self._find(list(old))
        except AWAY:
            self._note_failure(asked)
            now = self._monotonic()
            for held in old.values() if self._is_away(asked) else ():
                if now - held.since < AWAY_S:
                    held.checked = now - REFRESH_S  # asked again at the next turn
            return
        self._heard = self._monotonic()
        for name in old.keys() & self.held.keys():  # but those forgotten here meanwhile
            self._keep(name, found.get(name), asked)


@asynccontextmanager
async def _within(semaphore: asyncio.Semaphore, patience_s: float) -> AsyncIterator[None]:
    """Hold a semaphore. Raises TimeoutError where it is not to be had in time."""
    async with asyncio.timeout(patience_s):
        await semaphore.acquire()
    try:
        yield
    finally:
        semaphore.release()
