"""Retention: what goes, when, and that nobody queues behind it."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from query import packing
from query.emptying import WAIT_MS
from query.packer import Packer, due
from query.partitions import Connection, Partition, make, name_of, partitions, start_of
from query.retention import MARGIN_DAYS, Retention
from query.storage import Stored, days
from schemas.columns import Receipt
from tests.integration.rolling import roll_up
from tests.integration.writing import DAY, Workshop, workshop

TODAY = time.time_ns() // 1_000 // DAY
KEPT = 30


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own."""
    async with workshop(database) as shop:
        yield shop


async def names(shop: Workshop) -> set[str]:
    """Of all partitions."""
    async with shop.pool.acquire() as connection:
        return {each.name for each in await partitions(connection)}


async def lay(shop: Workshop, *ages: int) -> None:
    """Make days of so many days ago, with a plain reading, a run and a piece each."""
    async with shop.pool.acquire() as connection:
        for day in (TODAY - age for age in ages):
            for form in ("readings", "runs", "packed"):
                await make(connection, form, day)
            noon = start_of(day).replace(hour=12)
            await connection.execute("INSERT INTO readings VALUES (1, $1, 1)", noon)
            await connection.execute("INSERT INTO runs VALUES (1, $1, $1, '{0}', '{1}')", noon)
            await connection.execute("INSERT INTO packed VALUES (1, 1000, $1, $1, $1, '{0}', '{1}')", noon)


async def test_days_past_retention_go_as_partitions(shop: Workshop) -> None:
    await lay(shop, KEPT + 3, KEPT + MARGIN_DAYS + 1, KEPT + MARGIN_DAYS, 5)
    await Retention(shop.pool, days=KEPT, every_s=60).turn()
    left = {name_of(form, TODAY - age) for form in ("readings", "runs", "packed") for age in (KEPT + MARGIN_DAYS, 5)}
    assert await names(shop) == left


async def test_a_long_query_holds_up_the_drop_and_nobody_else(shop: Workshop) -> None:
    await lay(shop, KEPT + 3, 1)
    retention = Retention(shop.pool, days=KEPT, every_s=0.001)
    async with shop.pool.acquire() as reader, reader.transaction():
        await reader.fetchval("SELECT count(*) FROM telemetry")
        dropping = asyncio.create_task(retention.turn())
        waits: list[float] = []
        while not dropping.done():
            began = time.monotonic()
            assert await shop.write(("a", len(waits), 1.0)) == Receipt(1, 0)
            waits.append(time.monotonic() - began)
        await dropping
        assert name_of("readings", TODAY - KEPT - 3) in await names(shop)
        assert len(waits) > 3
        assert max(waits) < WAIT_MS / 1_000 + 1
    await asyncio.sleep(0.01)
    await retention.turn()
    assert name_of("readings", TODAY - KEPT - 3) not in await names(shop)


async def pack(shop: Workshop) -> None:
    """Pack every old day."""
    await Packer(shop.pool, None, after_days=0, every_s=60).turn()


async def metrics(shop: Workshop) -> dict[str, int]:
    """How many readings of each metric are stored."""
    found = await shop.pool.fetch("SELECT metric, count(*) AS readings FROM telemetry GROUP BY metric")
    return {record["metric"]: record["readings"] for record in found}


async def test_metrics_may_be_kept_for_a_shorter_time(shop: Workshop) -> None:
    old = -10 * 86_400.0 + (TODAY * DAY - (20_780 * DAY)) / 1e6
    wanted = ("debug_a", "debug_b", "debug", "temperature")
    await shop.write(*[(metric, old + place, 1.0) for metric in wanted for place in range(6)])
    keep = "INSERT INTO retention (metric, days) VALUES ($1, $2) ON CONFLICT (metric) DO UPDATE SET days = $2"
    await shop.pool.execute(keep, "debug_*", 9)
    await shop.pool.execute(keep, "debug_b", 20)
    await roll_up(shop.pool, old + 86_400)
    await pack(shop)
    assert await metrics(shop) == {"debug_b": 6, "debug": 6, "temperature": 6}, "left out when packed"
    await shop.pool.execute(keep, "t?mp*", 8)
    retention = Retention(shop.pool, days=KEPT, every_s=1e-9)
    await retention.turn()
    assert await metrics(shop) == {"debug_b": 6, "debug": 6}, "taken out of packed days"
    await shop.pool.execute(keep, "debug_b", 2)
    await retention.turn()
    assert await metrics(shop) == {"debug": 6}, "a rule that changed counts at once"
    assert set(await shop.newest()) == set(wanted), "the newest value stays"


async def test_what_is_not_rolled_up_yet_stays_until_it_is(shop: Workshop) -> None:
    old = -10 * 86_400.0 + (TODAY * DAY - (20_780 * DAY)) / 1e6
    await shop.write(*[("debug_a", old + place, 1.0) for place in range(6)])
    await shop.pool.execute("INSERT INTO retention (metric, days) VALUES ('debug_*', 1)")
    await pack(shop)
    retention = Retention(shop.pool, days=KEPT, every_s=1e-9)
    await retention.turn()
    assert await metrics(shop) == {"debug_a": 6}
    await roll_up(shop.pool, old + 86_400)
    await retention.turn()
    assert await metrics(shop) == {}
    assert await shop.pool.fetchval("SELECT counts[1] FROM rollup_days") == 6


async def test_a_day_that_is_rolled_up_while_it_is_packed_keeps_nothing_of_them(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "AT_ONCE", 6)  # a series a statement
    old = -10 * 86_400.0 + (TODAY * DAY - (20_780 * DAY)) / 1e6
    await shop.write(*[(metric, old + place, 1.0) for metric in ("debug_a", "debug_b") for place in range(6)])
    await shop.pool.execute("INSERT INTO retention (metric, days) VALUES ('debug_*', 1)")
    chunks: list[list[int]] = []
    pack_one = packing.pack

    async def pack_and_roll_up(connection: Connection, day: int, chunk: packing.Chunk) -> int | None:
        packed = await pack_one(connection, day, chunk)
        if not chunks:
            await roll_up(shop.pool, old + 86_400)
            await Retention(shop.pool, days=KEPT, every_s=60).turn()
        chunks.append(chunk.gone)
        return packed

    monkeypatch.setattr(packing, "pack", pack_and_roll_up)
    packer = Packer(shop.pool, None, after_days=0, every_s=60)
    for _ in range(3):  # rolling up takes longer than a turn
        await packer.turn()
    assert [len(gone) for gone in chunks] == [0, 1]
    assert await metrics(shop) == {}


async def test_what_deleted_series_left_is_not_packed(shop: Workshop) -> None:
    old = -10 * 86_400.0 + (TODAY * DAY - (20_780 * DAY)) / 1e6
    await shop.write(("a", old, 1.0), ("b", old, 1.0))
    await shop.pool.execute("DELETE FROM series WHERE metric = 'a'")
    await pack(shop)
    assert await shop.pool.fetchval("SELECT count(*) FROM packed") == 1


def test_what_is_due_and_what_is_told() -> None:
    now = start_of(TODAY).replace(hour=1)
    found = [
        Partition("packed", TODAY - 40, 8_192, 24_576),
        Partition("readings", TODAY - 3, 0, 8_192),
        Partition("packed", TODAY - 3, 8_192, 24_576),
        Partition("readings", TODAY - 2, 8_192, 24_576),
        Partition("readings", TODAY - 1, 8_192, 24_576),
        Partition("runs", TODAY, 8_192, 24_576),
    ]
    assert due(found, now, 1) == [TODAY - 2]
    assert due(found, now, 0) == [TODAY - 2, TODAY - 1]
    counted = {name_of("packed", TODAY - 3): Stored(100, now, now)}
    told = days(found, counted, pack_after_days=1, retention_days=KEPT)
    assert [each.state(now) for each in told] == ["expired", "packed", "waiting", "open", "open"]
    assert told[1].readings == 100
    assert told[1].dropped_at == start_of(TODAY - 3 + 1 + KEPT + MARGIN_DAYS)
    assert told[1].dropped_at > datetime.now(UTC)
