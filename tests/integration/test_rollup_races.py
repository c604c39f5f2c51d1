"""Rolling up beside those who write: what is answered is right at every moment, and what breaks off leaves no trace."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import numpy as np
import pytest

from query import roller as roller_module
from query.buckets import Grid, Raw
from query.cells import Cells
from query.reads import AWAY
from query.rolled import Rolled
from query.rolling import roll
from schemas.columns import Int64s, Rows
from tests.integration.reading import Library, library
from tests.integration.rolling import HOUR, marked, roll_up, rolled_until, roller
from tests.integration.writing import NOW, SECOND, NoRules

DAY = 24 * HOUR


@pytest.fixture
async def shelf(database: str) -> AsyncIterator[Library]:
    """A library of this test's own."""
    async with library(database) as made:
        yield made


class Hesitant(NoRules):
    """A screening that keeps the transaction open until it is let go."""

    def __init__(self) -> None:
        self.there, self.go = asyncio.Event(), asyncio.Event()

    def screen(self, rows: Rows, hot: Sequence[int]) -> Int64s | None:
        return np.arange(len(rows))

    async def step(self, connection: asyncpg.pool.PoolConnectionProxy, rows: Rows, places: Int64s) -> Any:
        self.there.set()
        await self.go.wait()


def shown(cells: Cells) -> str:
    """Tells -0.0 from 0.0."""
    return repr([getattr(cells, name).tolist() for name in Cells.__slots__])


async def disagreement(shelf: Library, since: float, until: float) -> str | None:
    """Where rollups and readings differ, in one snapshot; None: nowhere."""
    async with shelf.reads.connection() as connection, connection.transaction(isolation="repeatable_read"):
        for width in (60, HOUR, DAY):
            grid = Grid(NOW + round(since * SECOND), NOW + round(until * SECOND), width * SECOND)
            for series_id in shelf.ids.values():
                rolled, raw = [
                    shown(await source.cells(connection, series_id, grid, lambda: None)) for source in (Rolled(), Raw())
                ]
                if rolled != raw:
                    return f"{width} s, series {series_id}: {rolled} instead of {raw}"
    return None


async def test_an_hour_is_not_rolled_up_before_who_began_earlier_has_ended(shelf: Library) -> None:
    await shelf.write([(0, -HOUR, 1.0)])
    pool = shelf.shop.pool
    hesitant = Hesitant()
    lane = shelf.shop.lane(hesitant)
    shelf.shop.lanes.insert(2, lane)
    writing = asyncio.create_task(shelf.write([(0, -HOUR + 1, 2.0)], lane=2))
    await hesitant.there.wait()  # it has read the gate, and marks nothing
    worker = roller(pool, 0)
    for _ in range(3):
        await worker.turn()
    assert await pool.fetchval("SELECT closed_us FROM rollup_gate") == NOW
    assert await pool.fetchval("SELECT rolled_us FROM rollup_progress") == 0
    hesitant.go.set()
    await writing
    assert await marked(pool) == []
    await roll_up(pool, 0)
    assert (await shelf.buckets(-HOUR, 0, 3_600, source=Rolled()))[0]["count"] == 2


async def test_who_saw_the_old_gate_while_it_was_moved_is_waited_for(shelf: Library) -> None:
    """His number is younger than that of the transaction that moves it, and his snapshot is gone."""
    await shelf.write([(0, -HOUR, 1.0)])
    pool = shelf.shop.pool
    hesitant, worker = Hesitant(), roller(pool, 0)
    shelf.shop.lanes.insert(2, shelf.shop.lane(hesitant))
    async with pool.acquire() as other, other.transaction():
        moved: Any = await other.fetchrow(roller_module._CLOSE, NOW)
        writing = asyncio.create_task(shelf.write([(0, -HOUR + 1, 2.0), (0, -HOUR + 2, 3.0)], lane=2))
        await hesitant.there.wait()
    worker._closed, worker._closed_by = moved["closed_us"], int(moved["by"])
    for _ in range(3):
        await worker.turn()
    assert await pool.fetchval("SELECT rolled_us FROM rollup_progress") == 0
    hesitant.go.set()
    await writing
    assert await marked(pool) == []
    for _ in range(3):
        await worker.turn()
    assert (await shelf.buckets(-HOUR, 0, 3_600, source=Rolled()))[0]["count"] == 3


async def test_a_snapshot_that_has_not_written_yet_is_waited_for_too(shelf: Library) -> None:
    await shelf.write([(0, -HOUR, 1.0)])
    pool = shelf.shop.pool
    worker = roller(pool, 0)
    async with pool.acquire() as other:
        async with other.transaction(isolation="repeatable_read"):
            await other.fetchval("SELECT closed_us FROM rollup_gate")
            await worker.turn()
            assert await pool.fetchval("SELECT rolled_us FROM rollup_progress") == 0
        await worker.turn()
    assert await rolled_until(pool) == 0


async def test_a_mark_that_comes_meanwhile_stays(shelf: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    await shelf.write([(0, -HOUR + at, 1.0) for at in range(9)])
    pool = shelf.shop.pool
    await roll_up(pool, 0)
    await shelf.write([(0, -HOUR + 0.5, 5.0)])

    async def interrupted(*arguments: Any) -> None:
        await shelf.write([(0, -HOUR + 1.5, 7.0)])
        await roll(*arguments)

    monkeypatch.setattr(roller_module, "roll", interrupted)
    worker = roller(pool, 0)
    while len(await marked(pool)) != 1 or len(shelf.stored) < 11:
        await worker.turn()
    monkeypatch.undo()
    assert await disagreement(shelf, -HOUR, 0) is None
    await roll_up(pool, 0)
    assert await disagreement(shelf, -HOUR, 0) is None
    assert (await shelf.buckets(-HOUR, 0, 3_600, source=Rolled()))[0]["max"] == 7.0


async def test_what_breaks_off_leaves_no_trace(shelf: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    await shelf.write([(site, -2 * HOUR + 60 * at, 1.0) for at in range(120) for site in range(3)])
    pool = shelf.shop.pool

    async def killed(connection: Any, *arguments: Any) -> None:
        await roll(connection, *arguments)
        await pool.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())

    async def fails() -> None:
        monkeypatch.setattr(roller_module, "roll", killed)
        with pytest.raises(AWAY):
            await roller(pool, 0).turn()
        monkeypatch.undo()

    await fails()
    assert await pool.fetchval("SELECT rolled_us + (SELECT count(*) FROM rollup_hours) FROM rollup_progress") == 0
    await roll_up(pool, 0)
    await shelf.write([(1, -HOUR + 0.5, 9.0)])
    await fails()
    assert await marked(pool) == [-HOUR]
    assert await disagreement(shelf, -2 * HOUR, 0) is None
    await roll_up(pool, 0)
    assert await disagreement(shelf, -2 * HOUR, 0) is None


async def test_answers_are_exact_while_late_readings_come_and_two_roll_up(shelf: Library) -> None:
    pool = shelf.shop.pool
    await shelf.write([(site, -DAY - HOUR + 300 * at + site, 0.1 * at) for at in range(320) for site in range(3)])
    going, checks = True, 0

    async def write(lane: int) -> None:
        dice = random.Random(lane)
        while checks < 8:
            first = dice.choice([-DAY, -HOUR, -60, -5 * HOUR])
            points = [(dice.randrange(3), first + dice.randrange(-1_800, 1_800), dice.random()) for _ in range(5)]
            await shelf.write(points, replace=dice.random() < 0.3, lane=lane)

    async def work(closes: Sequence[float]) -> None:
        workers = [roller(pool, close) for close in closes]
        while going:
            for worker in workers:
                await worker.turn()
                await asyncio.sleep(0)

    async def check() -> None:
        nonlocal checks
        while going:
            assert await disagreement(shelf, -DAY - 2 * HOUR, 2 * HOUR) is None
            checks += 1

    async with asyncio.TaskGroup() as tasks:
        for closes in ([-20 * HOUR, -2 * HOUR], [-HOUR, 0.0]):
            tasks.create_task(work(closes))
        tasks.create_task(check())
        async with asyncio.TaskGroup() as writers:
            for lane in range(2):
                writers.create_task(write(lane))
        going = False
    await roll_up(pool, 0)
    assert await marked(pool) == []
    assert await rolled_until(pool) == 0
    assert await disagreement(shelf, -2 * DAY, 2 * HOUR) is None


async def test_it_begins_with_little_and_takes_as_much_as_goes_quickly(
    shelf: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roller_module, "TURN_S", 0)  # a transaction a turn
    pool, midnight = shelf.shop.pool, NOW - 12 * HOUR * SECOND
    await shelf.write([(site, hour * HOUR + 1.0, 1.0) for site in range(3) for hour in range(-10, 0)])
    state = "SELECT rolled_us, until_us, after_series FROM rollup_progress"
    for long_s, slow in ((0.0, True), (1e6, False)):
        monkeypatch.setattr(roller_module, "LONG_S", long_s)
        monkeypatch.setattr(roller_module, "SHORT_S", long_s)
        await pool.execute("UPDATE rollup_progress SET rolled_us = 0, until_us = 0, after_series = 0")
        worker, transactions = roller(pool, 0), 0
        while await pool.fetchval("SELECT rolled_us FROM rollup_progress") < NOW:
            await worker.turn()
            transactions += 1
            if transactions == 1:
                began = midnight, midnight + HOUR * SECOND, shelf.ids[0]
                assert tuple(await pool.fetchrow(state) or ()) == began
            assert transactions < 100
        # Twelve hours of three series, each alone, and a look that finds no more of them; or ever more at once.
        assert transactions == 12 * 4 if slow else transactions < 14
    assert await disagreement(shelf, -12 * HOUR, 0) is None
