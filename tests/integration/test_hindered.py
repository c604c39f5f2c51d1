"""What hinders one batch hinders no other: a locked series, a deleted one, a rule that somebody changes."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from ingest.group import Batch
from ingest.metrics import WriteMetrics
from ingest.store import Screening
from ingest.writer import Writer, WriterLimits
from schemas.columns import Receipt
from schemas.hindrances import SeriesGone, SeriesLocked
from tests.integration.writing import NoRules, Workshop, workshop


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own."""
    async with workshop(database) as shop:
        yield shop


async def outcomes(
    shop: Workshop, batches: list[Batch], screening: Screening | None = None
) -> list[tuple[Receipt | BaseException, float]]:
    """What becomes of batches that make one group, and after how many seconds."""
    metrics, began = WriteMetrics(CollectorRegistry()), time.monotonic()
    writer = Writer(shop.pool, shop.partitions, screening or NoRules(), metrics, WriterLimits(lanes=1))

    async def write(batch: Batch) -> tuple[Receipt | BaseException, float]:
        try:
            found: Receipt | BaseException = await writer.write(batch, asyncio.get_running_loop().time())
        except Exception as error:  # noqa: BLE001 - what is asked for
            found = error
        return found, time.monotonic() - began

    waiting = [asyncio.create_task(write(batch)) for batch in batches]
    await asyncio.sleep(0)
    running = asyncio.create_task(writer.run())
    try:
        return await asyncio.gather(*waiting)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_only_the_batches_of_a_locked_series_are_refused(shop: Workshop) -> None:
    batches = [await shop.batch((f"m{number % 8}", number, 1.0), ("n", number, 1.0)) for number in range(8)]
    batches += [await shop.batch((f"m{number % 8}", 100 + number, 1.0)) for number in range(8)]
    locked = int((await shop.batch(("m3", 0, 0.0))).series_id[0])
    async with shop.pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM newest WHERE series_id = $1 FOR UPDATE", locked)
        found = await outcomes(shop, batches)
    refused = {number for number, (outcome, _) in enumerate(found) if isinstance(outcome, SeriesLocked)}
    assert refused == {3, 11}
    assert all(
        outcome == Receipt(len(batches[number]), 0)
        for number, (outcome, _) in enumerate(found)
        if number not in refused
    )
    assert max(after for number, (_, after) in enumerate(found) if number not in refused) < 4
    assert max(after for _, after in found) < 6
    assert len(await shop.values()) == 7 * 2 + 7


async def test_who_waits_for_a_lock_that_is_let_go_is_stored(shop: Workshop) -> None:
    batches = [await shop.batch((f"m{number}", 0, 1.0)) for number in range(4)]
    async with shop.pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT FROM newest WHERE series_id = $1 FOR UPDATE", int(batches[2].series_id[0]))
        writing = asyncio.create_task(outcomes(shop, batches))
        while len(await shop.values()) < 3 and not writing.done():  # noqa: ASYNC110 - a table sets no event
            await asyncio.sleep(0.01)
        await transaction.rollback()
        found = await writing
    assert [outcome for outcome, _ in found] == [Receipt(1, 0)] * 4
    assert max(after for number, (_, after) in enumerate(found) if number != 2) < found[2][1]


async def test_only_the_batches_of_a_deleted_series_are_refused(shop: Workshop) -> None:
    batches = [await shop.batch((f"m{number}", 0, 1.0), ("n", number, 1.0)) for number in range(6)]
    await shop.pool.execute("DELETE FROM series WHERE metric IN ('m1', 'm4')")
    found = [outcome for outcome, _ in await outcomes(shop, batches)]
    assert {number for number, outcome in enumerate(found) if isinstance(outcome, SeriesGone)} == {1, 4}
    assert all(outcome == Receipt(2, 0) for number, outcome in enumerate(found) if number not in {1, 4})
    assert len(await shop.values()) == 8


async def test_only_who_crosses_a_locked_rule_is_refused(shop: Workshop) -> None:
    rule = await shop.rule()
    batches = [
        await shop.batch(("temperature", number, 90.0 if number == 2 else 1.0), device=f"d{number}")
        for number in range(5)
    ]
    async with shop.pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM rules WHERE id = $1 FOR UPDATE", rule)
        found = [outcome for outcome, _ in await outcomes(shop, batches, shop.engine)]
    assert isinstance(found[2], SeriesLocked)
    assert [outcome for number, outcome in enumerate(found) if number != 2] == [Receipt(1, 0)] * 4
