"""Partitions are there when a reading needs them, whatever somebody did to them."""

import asyncio

from schemas.columns import Receipt
from tests.integration.writing import Workshop, until_locked


async def test_a_partition_that_somebody_dropped_is_made_again(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0))
    (name,) = await shop.pool.fetchrow(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'readings'::regclass LIMIT 1"
    )  # type: ignore[misc]
    await shop.pool.execute(f"DROP TABLE {name}")
    assert await shop.write(("a", 1, 2.0)) == Receipt(1, 0)
    assert await shop.values() == {("a", 1): 2.0}


async def test_partitions_are_made_where_readings_need_them_and_by_several_at_once(shop: Workshop) -> None:
    day = 86_400.0
    batches = [await shop.batch(("a", number * day, 1.0), ("a", -number * day, 1.0)) for number in range(4)]
    receipts = await asyncio.gather(*(shop.flush(batch, lane=shop.lane()) for batch in batches))
    assert [receipt.accepted for (receipt,) in receipts] == [1, 2, 2, 2]
    assert await shop.pool.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'readings'::regclass") == 7


async def test_a_partition_that_was_detached_is_attached_again(shop: Workshop) -> None:
    await shop.write(*[("a", float(place), 1.0) for place in range(5)])
    (name,) = await shop.pool.fetchrow(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'runs'::regclass"
    )  # type: ignore[misc]
    await shop.pool.execute(f"ALTER TABLE runs DETACH PARTITION {name}")
    assert await shop.write(*[("a", 10.0 + place, 1.0) for place in range(5)]) == Receipt(5, 0)
    assert len(await shop.values()) == 10


async def test_a_partition_that_several_want_at_once_is_made_once(shop: Workshop) -> None:
    ensure = "SELECT ensure_partition('packed', 'packed_20261120', '2026-11-20Z', '2026-11-21Z')"
    async with shop.pool.acquire() as other, other.transaction():
        assert await other.fetchval(ensure)
        making = [asyncio.create_task(shop.pool.fetchval(ensure)) for _ in range(4)]
        await until_locked(shop.pool)
    assert await asyncio.gather(*making) == [False] * 4
    assert not await shop.pool.fetchval(ensure)
