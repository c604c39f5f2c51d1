"""The group-commit writer: batches that arrive while a flush is in flight form the next group.

There is no timer: an idle server answers at once, a busy one commits larger groups. A batch handed over carries its
reply; a waiter that goes away never cancels its neighbours. Every batch is answered by its deadline.
"""

import asyncio
import time
from dataclasses import asdict, dataclass, fields

import asyncpg
import structlog

from ingest.admission import Admission, AdmissionLimits
from ingest.group import Batch, arrange
from ingest.lane import HinderedError, Lane, PoisonedError
from ingest.metrics import WriteMetrics
from ingest.partitions import Partitions
from ingest.store import Screening, Spent, Stage
from ingest.waiting import Outcome, Queue, Reply, Waiting, answer_all
from schemas.columns import Receipt
from schemas.errors import Defect, Fault, Invalid, SluiceError, Unavailable, Unknown
from schemas.hindrances import SeriesGone
from schemas.tracing import Traces

log = structlog.get_logger(__name__)

STOPPING = "this server is shutting down"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterLimits(AdmissionLimits):
    """Bounds of what waits and of what one flush carries."""

    lanes: int = 2
    """Flushes in flight at once: one waits for the disk while the other copies."""
    lane_rows: int = 2_000
    """Rows that have to wait before one more lane takes them: few at a time cost more each."""
    lane_wait_s: float = 0.01
    """After which one more lane takes whatever waits: a flush that is stuck does not stop the others."""
    gather_s: float = 0.005
    """How long a lane waits at most for what is at the sockets already: a stream that never pauses must not hold it."""
    flush_rows: int = 10_000
    """Rows of one group, but for a single larger batch: bounds one COPY's hold on the loop and on row locks."""
    deadline_s: float = 5.0
    """From a batch's arrival to its answer, whatever PostgreSQL does."""


class Writer:
    """Takes batches, answers with receipts. Nothing is answered unless `run` is running."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        partitions: Partitions,
        screening: Screening,
        metrics: WriteMetrics,
        limits: WriterLimits,
        traces: Traces | None = None,
    ) -> None:
        self._screening, self._metrics, self._limits, self._traces = screening, metrics, limits, traces
        self._lanes = [Lane(pool, partitions, screening, metrics.flush_failed) for _ in range(limits.lanes)]
        self._queue = Queue(Admission(limits))
        self._go = asyncio.Event()
        self._in_flight = 0
        self._brisk: set[Lane] = set()  # lanes whose flush began less than `lane_wait_s` ago
        self._draining = False

    @property
    def deadline_s(self) -> float:
        """From a request's arrival to its answer."""
        return self._limits.deadline_s

    @property
    def rows_waiting(self) -> int:
        """Rows that were taken and not yet handed to a lane."""
        return self._queue.rows

    def spent(self) -> dict[str, float]:
        """Seconds that flushes took, by what they did, since the start."""
        return {each.name: sum(getattr(lane.store.spent, each.name) for lane in self._lanes) for each in fields(Spent)}

    def admit(self) -> None:
        """Refuse a request before its body is read, if what waits is already too much. Raises Unavailable."""
        if self._draining:
            raise Unavailable(STOPPING)
        if not self._screening.ready:
            raise Unavailable("the rules are not loaded yet")
        now = asyncio.get_running_loop().time()  # uvloop's stands still during a turn
        self._queue.check(now, time.monotonic() - now)

    def admit_long_way(self) -> None:
        """Refuse a request that cannot be answered at the door, if a crowd of those came at once. Raises Overloaded."""
        self._queue.check_long_way(asyncio.get_running_loop().time())

    async def write(self, batch: Batch, since: float) -> Receipt:
        """Hand over a batch that was received at `since` of the loop's clock; returns once it is durable.

        Raises Unavailable (nothing stored), Unknown (COMMIT was sent, no answer came) or Invalid (PostgreSQL cannot
        store one of its values).
        """
        self.admit()
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

        def reply(outcome: Outcome) -> None:
            if future.done():  # its waiter went away
                return
            if isinstance(outcome, Receipt):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

        self.submit(batch, since, reply, None if self._traces is None else self._traces.current())
        return await future

    def submit(self, batch: Batch, since: float, reply: Reply, span: object | None = None) -> None:
        """Hand over a batch without waiting, admitted in this turn of the loop; `reply` hears what became of it."""
        self._queue.put(Waiting(batch, since, reply, span))
        self._nudge()

    def renew(self) -> None:
        """The database is another one, or an older state of it: whatever waits has to find its series again."""
        for lane in self._lanes:
            lane.renew()
        self._queue.refuse(SeriesGone())

    async def run(self) -> None:
        """Flush what comes. Ends only by being cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, lane in enumerate(self._lanes):
                    tasks.create_task(self._serve(lane), name=f"lane-{number}")
        finally:
            self._draining = True
            self._queue.refuse(Unavailable(STOPPING))
            for lane in self._lanes:
                await lane.close()

    async def drain(self) -> None:
        """Refuse what is new, and return when everything taken was answered."""
        self._draining = True
        while self._queue or self._in_flight:  # noqa: ASYNC110 - once in a process's life
            await asyncio.sleep(0.005)

    async def _serve(self, lane: Lane) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        # A group cancels its tasks once, and before Python 3.12 whatever uses wait_for may swallow that: the pool does.
        while task is None or not task.cancelling():
            await self._go.wait()
            self._go.clear()
            if not self._is_worth_a_flush():  # another lane was faster
                continue
            self._brisk.add(lane)
            timer = loop.call_later(self._limits.lane_wait_s, self._end_brisk, lane)
            try:
                await self._gather()
                if group := self._take():  # else another lane, which gathered as well, was faster
                    await self._flush_group(lane, group)
            finally:
                timer.cancel()
                self._end_brisk(lane)

    async def _gather(self) -> None:
        """Let what is at the sockets already come along: look again as long as each look brings more."""
        loop = asyncio.get_running_loop()
        seen, until = 0, loop.time() + self._limits.gather_s
        while seen < self.rows_waiting < self._limits.flush_rows and loop.time() < until:
            seen = self.rows_waiting
            await asyncio.sleep(0)

    async def _flush_group(self, lane: Lane, group: list[Waiting]) -> None:
        self._in_flight += 1
        self._nudge()
        try:
            lane.begin()
            await self._flush(lane, group)
        finally:
            # Cancelled: what is unanswered yet was not stored, unless COMMIT was on its way.
            sent = lane.store.stage is Stage.COMMITTING
            answer_all(group, Unknown() if sent else Unavailable(STOPPING))
            self._in_flight -= 1

    def _end_brisk(self, lane: Lane) -> None:
        self._brisk.discard(lane)
        self._nudge()

    def _nudge(self) -> None:
        if self._is_worth_a_flush():
            self._go.set()

    def _is_worth_a_flush(self) -> bool:
        """Whether enough waits for one more lane, or no other will come back for it soon."""
        return bool(self._queue) and (not self._brisk or self.rows_waiting >= self._limits.lane_rows)

    def _take(self) -> list[Waiting]:
        group = self._queue.take(self._limits.flush_rows)
        self._metrics.waiting(self._queue.rows, self._queue.admission.held)
        return group

    async def _flush(self, lane: Lane, group: list[Waiting], *, again: bool = True) -> None:
        """Answer every batch of the group.

        Where a value poisons it, by halves, until only its own batch fails; where a series hinders it, first those that
        have none of it. Who waits for a lock is tried once more behind them.
        """
        try:
            receipts = await self._store(lane, group)
        except PoisonedError:
            if len(group) == 1:
                answer_all(group, Invalid([Fault((), "storage", "PostgreSQL cannot store one of these values")]))
                return
            middle = len(group) // 2
            await self._flush(lane, group[:middle])
            await self._flush(lane, group[middle:])
        except HinderedError as error:
            await self._flush_hindered(lane, group, error, again=again)
        except SluiceError as error:
            answer_all(group, error)
        except Exception:  # a defect of ours: these senders are told so, the lane goes on
            log.exception("a flush broke", batches=len(group))
            answer_all(group, Defect())
        else:
            for waiting, receipt in zip(group, receipts, strict=True):
                waiting.answer(receipt)

    async def _flush_hindered(self, lane: Lane, group: list[Waiting], error: HinderedError, *, again: bool) -> None:
        hindered = [waiting for place, waiting in enumerate(group) if place in error.batches]
        others = [waiting for place, waiting in enumerate(group) if place not in error.batches]
        self._metrics.hindered.labels(error.refusal.code).inc(len(hindered))
        gone = isinstance(error.refusal, SeriesGone)  # asking again finds no more than the first time
        if gone or not again:
            answer_all(hindered, error.refusal)
        if others:
            await self._flush(lane, others, again=again)
        if again and not gone:
            await self._flush(lane, hindered, again=False)

    async def _store(self, lane: Lane, group: list[Waiting]) -> list[Receipt]:
        now, started = asyncio.get_running_loop().time(), time.perf_counter()
        arranged = arrange([waiting.batch for waiting in group])
        oldest = min(waiting.since for waiting in group)
        reclaims = lane.store.reclaims
        deadline = oldest + self._limits.deadline_s
        if self._traces is not None and (spans := [each.span for each in group if each.span is not None]):
            with self._traces.group(spans, len(arranged.rows)):
                spent = asdict(lane.store.spent)
                receipts = await lane.flush(arranged, deadline)
                self._traces.stages({name: took - spent[name] for name, took in asdict(lane.store.spent).items()})
        else:
            receipts = await lane.flush(arranged, deadline)
        rows, took = len(arranged.rows), time.perf_counter() - started
        self._queue.admission.stored(rows, len(group), took, now + took)
        self._metrics.flushed(now - oldest, took, rows, receipts, lane.store.reclaims - reclaims)
        return list(receipts)
