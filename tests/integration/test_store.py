"""Storing a group: the optimistic COPY and its way back, replacing, poison, partitions, deadlocks, two lanes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from ingest.group import Batch
from ingest.metrics import WriteMetrics
from ingest.store import CLEAN_GROUPS
from ingest.writer import Writer, WriterLimits
from schemas.columns import Int64s, Receipt, Rows
from schemas.errors import DatabaseAway, Invalid, Unavailable
from tests.integration.writing import NoRules, Workshop, workshop

POISON = 666.0
REFUSE = f"""
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.value = {POISON} THEN RAISE numeric_value_out_of_range; END IF;
    RETURN new;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own."""
    async with workshop(database) as shop:
        yield shop


async def test_a_copy_that_meets_a_duplicate_is_run_again_staged_and_staged_it_goes_on(shop: Workshop) -> None:
    lane = shop.lane()
    first = await shop.batch(("a", 0, 1.0), ("a", 1, 2.0))
    assert await shop.flush(first, lane=lane) == [Receipt(2, 0)]
    assert lane.store.retries == 0
    again = await shop.batch(("a", 1, 9.0), ("a", 2, 3.0))
    assert await shop.flush(again, lane=lane) == [Receipt(1, 1)]
    assert lane.store.retries == 1
    for number in range(CLEAN_GROUPS):  # duplicates keep coming: no COPY fails for them
        assert await shop.flush(again, lane=lane) == [Receipt(0, 2)], number
    assert lane.store.retries == 1
    for number in range(CLEAN_GROUPS):
        assert await shop.flush(await shop.batch(("a", 10 + number, 1.0)), lane=lane) == [Receipt(1, 0)]
    assert await shop.flush(again, lane=lane) == [Receipt(0, 2)]
    assert lane.store.retries == 2, "after clean groups the plain COPY is tried again"
    assert {at: value for (_, at), value in (await shop.values()).items() if at < 10} == {0: 1.0, 1: 2.0, 2: 3.0}


async def test_receipts_of_a_group_are_each_batch_s_own(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0))
    batches = [
        await shop.batch(("a", 0, 5.0), ("a", 1, 5.0)),
        await shop.batch(("a", 1, 6.0), ("b", 1, 6.0), ("b", 1, 7.0)),
        await shop.batch(("b", 1, 8.0)),
    ]
    assert await shop.flush(*batches) == [Receipt(1, 1), Receipt(1, 2), Receipt(0, 1)]
    assert await shop.values() == {("a", 0): 1.0, ("a", 1): 5.0, ("b", 1): 6.0}


async def test_replacing_changes_the_value_and_counts_a_duplicate(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0), ("a", 1, 1.0))
    replacing = await shop.batch(("a", 1, 2.0), ("a", 2, 2.0), ("a", 2, 3.0), replace=True)
    assert await shop.flush(replacing) == [Receipt(1, 2)]
    assert await shop.values() == {("a", 0): 1.0, ("a", 1): 2.0, ("a", 2): 3.0}
    assert await shop.flush(replacing) == [Receipt(0, 3)]


def writer(shop: Workshop, **limits: Any) -> Writer:
    """A writer without rules."""
    metrics = WriteMetrics(CollectorRegistry())
    return Writer(shop.pool, shop.partitions, NoRules(), metrics, WriterLimits(**limits))


async def outcomes(writer: Writer, batches: list[Batch]) -> list[Receipt | BaseException]:
    """Write batches at the same time, so that they make one group."""
    waiting = [asyncio.create_task(writer.write(batch, asyncio.get_running_loop().time())) for batch in batches]
    await asyncio.sleep(0)
    running = asyncio.create_task(writer.run())
    try:
        return await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("culprits", [{0}, {6}, {3, 4}, set(range(7))])
async def test_a_poisoned_value_fails_its_own_batch_only(shop: Workshop, culprits: set[int]) -> None:
    await shop.pool.execute(REFUSE)
    batches = [
        await shop.batch(("a", number, POISON if number in culprits else 1.0), ("b", number, 1.0))
        for number in range(7)
    ]
    found = await outcomes(writer(shop, lanes=1), batches)
    assert {number for number, outcome in enumerate(found) if isinstance(outcome, Invalid)} == culprits
    assert all(outcome == Receipt(2, 0) for number, outcome in enumerate(found) if number not in culprits)
    assert {at for _, at in await shop.values()} == set(range(7)) - culprits


async def test_a_partition_that_somebody_dropped_is_made_again(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0))
    (name,) = await shop.pool.fetchrow("SELECT inhrelid::regclass::text FROM pg_inherits LIMIT 1")  # type: ignore[misc]
    await shop.pool.execute(f"DROP TABLE {name}")
    assert await shop.write(("a", 1, 2.0)) == Receipt(1, 0)
    assert await shop.values() == {("a", 1): 2.0}


async def test_partitions_are_made_where_readings_need_them_and_by_several_at_once(shop: Workshop) -> None:
    day = 86_400.0
    batches = [await shop.batch(("a", number * day, 1.0), ("a", -number * day, 1.0)) for number in range(4)]
    receipts = await asyncio.gather(*(shop.flush(batch, lane=shop.lane()) for batch in batches))
    assert [receipt.accepted for (receipt,) in receipts] == [1, 2, 2, 2]
    assert await shop.pool.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'readings'::regclass") == 7


async def test_a_deadlock_is_retried_unseen(shop: Workshop) -> None:
    await shop.write(("a", -10, 0.0), ("b", -10, 0.0))
    batch = await shop.batch(("a", 1, 1.0), ("b", 1, 1.0))
    first, second = (int(series) for series in batch.series_id)
    insert = "INSERT INTO readings VALUES ($1, to_timestamp($2), 7)"
    at = float(batch.ts[0]) / 1e6
    async with shop.pool.acquire() as other:
        await other.execute("SET deadlock_timeout = '20s'")  # so that the lane is the one that finds it
        async with other.transaction():
            await other.execute(insert, max(first, second), at)
            lane = shop.lane()
            flushing = asyncio.create_task(shop.flush(batch, lane=lane))
            await asyncio.sleep(0.3)  # the lane holds the first row and waits for the second
            await other.execute(insert, min(first, second), at)
    assert await flushing == [Receipt(0, 2)]
    assert set((await shop.values()).values()) == {0.0, 7.0}


async def test_a_killed_backend_is_replaced_unseen(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0))
    connection = shop.lanes[0]._connection
    assert connection is not None
    assert await shop.pool.fetchval("SELECT pg_terminate_backend($1, 2000)", connection.get_server_pid())
    assert await shop.write(("a", 1, 1.0)) == Receipt(1, 0)


async def test_two_lanes_on_the_same_keys_store_each_once(shop: Workshop) -> None:
    lanes = [shop.lane() for _ in range(2)]
    points = [("a", float(number), 1.0) for number in range(200)]
    for _ in range(5):
        await shop.pool.execute("TRUNCATE readings")
        forward, backward = await shop.batch(*points), await shop.batch(*reversed(points))
        ((one,), (other,)) = await asyncio.gather(
            shop.flush(forward, lane=lanes[0]), shop.flush(backward, lane=lanes[1])
        )
        assert one.accepted + other.accepted == 200
        assert one.accepted + one.duplicates == other.accepted + other.duplicates == 200
        assert await shop.pool.fetchval("SELECT count(*) FROM readings") == 200


async def test_nothing_is_stored_of_a_group_that_is_past_its_deadline(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0))
    batch = await shop.batch(("a", 1, 1.0))
    async with shop.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE readings IN ACCESS EXCLUSIVE MODE")
        with pytest.raises((Unavailable, DatabaseAway)):
            await shop.flush(batch, patience_s=0.3)
    assert await shop.values() == {("a", 0): 1.0}


async def test_a_commit_that_rolls_back_is_no_success(shop: Workshop) -> None:
    await shop.pool.execute(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'late'; END $$;"
        "CREATE TABLE watched (at int);"
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON watched DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION late();"
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO watched VALUES (1); RETURN new; END $$;"
        "CREATE TRIGGER tell BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION tell();"
    )
    with pytest.raises(Unavailable):
        await shop.write(("a", 0, 1.0))
    assert await shop.values() == {}


class Swallowing(NoRules):
    """Steps that fail and keep quiet about it, which leaves a transaction that can only roll back."""

    def screen(self, rows: Rows) -> Int64s | None:
        """Everything."""
        return np.arange(len(rows))

    async def step(self, connection: asyncpg.pool.PoolConnectionProxy, rows: Rows, places: Int64s) -> Any:
        """Fail."""
        with contextlib.suppress(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1 / 0")


async def test_a_commit_that_is_answered_with_rollback_is_no_success(shop: Workshop) -> None:
    with pytest.raises(Unavailable):
        await shop.flush(await shop.batch(("a", 0, 1.0)), lane=shop.lane(Swallowing()))
    assert await shop.values() == {}


async def test_a_group_of_two_kinds_of_conflict_handling_is_never_made(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0))
    kinds = [False, True, False, True]
    batches = [await shop.batch(("a", 0, 2.0 + place), replace=kind) for place, kind in enumerate(kinds)]
    assert await outcomes(writer(shop, lanes=1), batches) == [Receipt(0, 1)] * 4
    assert await shop.values() == {("a", 0): 5.0}
    await shop.write(("a", 0, 9.0))
    assert await shop.values() == {("a", 0): 5.0}


async def test_series_are_the_same_whoever_makes_them_first(shop: Workshop, database: str) -> None:
    points = [(f"m{number}", 0.0, 1.0) for number in range(50)]
    async with workshop(database) as other:
        mine, theirs = await asyncio.gather(shop.batch(*points), other.batch(*reversed(points)))
    assert np.array_equal(np.sort(mine.series_id), np.sort(theirs.series_id))
    assert await shop.pool.fetchval("SELECT count(*) FROM series") == 50
