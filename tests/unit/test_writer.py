"""The writer's promise: one answer for everything taken, the right one, whatever breaks."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from ingest.group import Batch, Group
from ingest.metrics import WriteMetrics
from ingest.store import Stage
from ingest.waiting import Outcome
from ingest.writer import Writer, WriterLimits
from schemas.columns import Receipt
from schemas.errors import Overloaded, Unavailable, Unknown


class Watch:
    """A screening that is ready, or not."""

    ready = True


class StuckLane:
    """A lane whose flush hangs in one stage until it is let go: the injected failure."""

    def __init__(self, stage: Stage) -> None:
        self.store = self
        self.stage, self.reclaims = stage, 0
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    def begin(self) -> None: ...

    async def flush(self, group: Group, _: float) -> Sequence[Receipt]:
        self.begun.set()
        await self.go.wait()
        return group.receipts(None)

    async def close(self) -> None: ...


def make(stage: Stage = Stage.WRITING, watch: Any = None, **limits: Any) -> tuple[Writer, StuckLane]:
    nothing = cast(Any, None)
    screening = cast(Any, watch or Watch())
    metrics, bounds = WriteMetrics(CollectorRegistry()), WriterLimits(**{"lanes": 1} | limits)
    writer = Writer(nothing, nothing, screening, metrics, bounds)
    lanes = [StuckLane(stage) for _ in range(bounds.lanes)]
    writer._lanes = cast(Any, lanes)
    return writer, lanes[0]


def batch(series_id: int = 1) -> Batch:
    return Batch(np.array([series_id], np.int32), np.array([1], np.int64), np.array([1.0]), 1)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(("stage", "expected"), [(Stage.COMMITTING, Unknown), (Stage.WRITING, Unavailable)])
async def test_a_flush_that_is_cancelled_says_what_may_have_happened(stage: Stage, expected: type) -> None:
    writer, lane = make(stage)
    outcomes: list[Outcome] = []
    running = asyncio.create_task(writer.run())
    writer.submit(batch(1), now(), outcomes.append)
    await lane.begun.wait()
    writer.submit(batch(2), now(), outcomes.append)  # waits in the queue: surely not stored
    running.cancel()
    await asyncio.wait({running})
    assert [type(outcome) for outcome in outcomes] == [expected, Unavailable]
    with pytest.raises(Unavailable):
        writer.admit()


async def test_a_reply_that_breaks_is_nobody_elses_trouble() -> None:
    writer, lane = make()
    lane.go.set()
    outcomes: list[Outcome] = []
    writer.submit(batch(1), now(), lambda _: 1 / 0)  # type: ignore[arg-type]
    writer.submit(batch(2), now(), outcomes.append)
    running = asyncio.create_task(writer.run())
    await asyncio.sleep(0.01)
    assert outcomes == [Receipt(1, 0)]
    assert await writer.write(batch(3), now()) == Receipt(1, 0)
    running.cancel()
    await asyncio.wait({running})


async def test_nothing_is_taken_before_the_rules_are_known() -> None:
    watch = Watch()
    watch.ready = False
    writer, _ = make(watch=watch)
    with pytest.raises(Unavailable, match="rules"):
        writer.admit()
    watch.ready = True
    writer.admit()


async def test_more_than_may_wait_is_refused() -> None:
    writer, _ = make(queue_rows=2)
    outcomes: list[Outcome] = []
    for number in range(2):
        writer.submit(batch(number), now(), outcomes.append)
    with pytest.raises(Overloaded):
        writer.admit()
    assert not outcomes


async def test_one_more_lane_helps_when_much_waits_or_the_others_are_stuck() -> None:
    for rows, wait_s in ((3, 60.0), (1_000, 0.02)):
        writer, first = make(lanes=2, lane_rows=rows, lane_wait_s=wait_s)
        second = cast(StuckLane, writer._lanes[1])
        running = asyncio.create_task(writer.run())
        outcomes: list[Outcome] = []
        writer.submit(batch(1), now(), outcomes.append)
        await first.begun.wait()
        for number in range(2):
            writer.submit(batch(number), now(), outcomes.append)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not second.begun.is_set(), "few wait, and the first lane may come back at once"
        if rows == 3:
            writer.submit(batch(3), now(), outcomes.append)
        await asyncio.wait_for(second.begun.wait(), 30)
        first.go.set()
        second.go.set()
        await writer.drain()
        assert outcomes == [Receipt(1, 0)] * (4 if rows == 3 else 3)
        running.cancel()
        await asyncio.wait({running})


async def test_what_arrives_while_the_sockets_are_read_makes_one_group() -> None:
    writer, lane = make(gather_s=60)  # however slow the turns are
    running = asyncio.create_task(writer.run())
    outcomes: list[Outcome] = []
    for number in range(20):  # one at each turn of the loop
        writer.submit(batch(number), now(), outcomes.append)
        await asyncio.sleep(0)
    assert not lane.begun.is_set()
    await asyncio.wait_for(lane.begun.wait(), 30)
    assert writer.rows_waiting == 0
    lane.go.set()
    await writer.drain()
    assert len(outcomes) == 20
    running.cancel()
    await asyncio.wait({running})


async def test_a_lane_that_gathered_while_another_took_everything_flushes_nothing() -> None:
    writer, first = make(lanes=2, lane_rows=3)
    second = cast(StuckLane, writer._lanes[1])
    first.go.set()
    second.go.set()
    outcomes: list[Outcome] = []
    with capture_logs() as logs:
        running = asyncio.create_task(writer.run())
        for number in range(6):  # both lanes begin to gather
            writer.submit(batch(number), now(), outcomes.append)
            await asyncio.sleep(0)
        await writer.drain()
    assert len(outcomes) == 6
    assert logs == []
    running.cancel()
    await asyncio.wait({running})


async def test_a_stream_that_never_pauses_does_not_hold_a_lane() -> None:
    writer, lane = make(gather_s=0.02)
    running = asyncio.create_task(writer.run())
    outcomes: list[Outcome] = []
    began = now()
    while not lane.begun.is_set():  # one more at each turn of the loop
        writer.submit(batch(1), now(), outcomes.append)
        await asyncio.sleep(0)
        assert now() - began < 0.5
    running.cancel()
    await asyncio.wait({running})
