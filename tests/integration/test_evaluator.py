"""The elected worker: one at a time, replaced when it is gone or frozen; and what it catches up with."""

import asyncio
import time

import asyncpg
import pytest

from alerts.catchup import _BEHIND, CatchUp
from alerts.election import IDLE_S, TRY_S, Election
from alerts.rulebook import RuleLoader
from tests.integration.writing import PLAIN, T, Workshop, workshop


async def until(condition: object, seconds: float = 30) -> float:
    """Wait until a callable says True; returns how long that took."""
    began = time.monotonic()
    while not condition():  # type: ignore[operator]
        assert time.monotonic() - began < seconds
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_one_of_three_is_elected_and_another_when_it_is_gone(shop: Workshop) -> None:
    turns = [0, 0, 0]

    def job(number: int) -> object:
        async def turn() -> None:
            turns[number] += 1

        return turn

    stand = [Election(shop.pool, {"job": job(number)}) for number in range(3)]  # type: ignore[dict-item]
    running = [asyncio.create_task(each.run()) for each in stand]
    try:
        await until(lambda: sum(turns) >= 1)
        await asyncio.sleep(1.5)
        first = next(number for number, each in enumerate(stand) if each.elected)
        assert [number for number, count in enumerate(turns) if count] == [first]
        running[first].cancel()
        await until(lambda: any(each.elected for each in stand[:first] + stand[first + 1 :]))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_one_that_is_frozen_loses_its_place_within_five_seconds(shop: Workshop, database: str) -> None:
    frozen = await asyncpg.connect(database)
    try:
        assert await frozen.fetchval("SELECT pg_try_advisory_lock($1)", 0x51_1C_E0_02)
        await frozen.execute(f"SET idle_session_timeout = {round(IDLE_S * 1000)}")  # and no sign of life any more
        other = Election(shop.pool, {})
        running = asyncio.create_task(other.run())
        assert IDLE_S + TRY_S < 5
        assert 1 < await until(lambda: other.elected) < 15  # on a machine that does other things
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    finally:
        frozen.terminate()


async def test_a_session_that_was_cut_ends_the_term_and_its_jobs(shop: Workshop) -> None:
    cancelled = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    election = Election(shop.pool, {"slow": slow})
    running = asyncio.create_task(election.run())
    await until(lambda: election.elected)
    await shop.pool.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    await asyncio.wait_for(cancelled.wait(), 30)
    await until(lambda: election.elected)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_defect_of_a_job_is_not_survived(shop: Workshop) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(Election(shop.pool, {"broken": broken}).run(), 30)


async def test_what_a_worker_without_the_rule_stored_is_stepped(shop: Workshop, database: str) -> None:
    catching = CatchUp(shop.pool, shop.published.extend)
    async with workshop(database) as ignorant:
        await RuleLoader(ignorant.pool, ignorant.engine, ignorant.series.items).refresh()  # before there is a rule
        await shop.rule(**PLAIN, for_s=5)
        await shop.write((T, 0, 71))
        await ignorant.write((T, 1, 71), (T, 6, 71), (T, 7, 72))
        assert await shop.told() == []
        await catching.step()
        assert await shop.told() == ["firing warning"]
        assert [value for *_, value in await shop.events()] == [71]
        await ignorant.write((T, 8, 10))
        await ignorant.write((T, 9, 99), arrived_s=400)  # late: never stepped
        await catching.step()
        await catching.step()
        assert await shop.told() == ["firing warning", "resolved warning"]
        assert not await shop.pool.fetchval("SELECT hot FROM newest")


async def test_there_is_nothing_to_catch_up_with_where_every_worker_knows_the_rule(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    await shop.rule(name="rate", condition={
        "type": "rate", "window_s": 1, "levels": [{"severity": "info", "above": 1.0}]})  # fmt: skip
    for second in range(0, 40, 4):  # no rate, as the window is shorter than the pause
        await shop.write((T, second, 71), (T, second + 0.5, 75))
        await shop.write((T, second + 2.5, 75))  # of which there is no rate: it moves nothing
        await CatchUp(shop.pool, shop.published.extend).step()
    before = await shop.told()
    assert await shop.pool.fetch(_BEHIND, 10) == []
    assert await shop.told() == before
