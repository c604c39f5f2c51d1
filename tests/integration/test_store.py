"""Storing a group: runs, duplicates, late and replaced readings, poison, partitions, deadlocks, two lanes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import asyncpg
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from ingest.group import Batch, arrange
from ingest.metrics import WriteMetrics
from ingest.runs import LONGEST
from ingest.series import MAX_WANTED
from ingest.writer import Writer, WriterLimits
from schemas.columns import Int64s, Receipt, Rows, SeriesKey
from schemas.errors import DatabaseAway, Invalid, Overloaded, Unavailable
from tests.integration.writing import NoRules, Workshop, workshop

POISON = 666.0
REFUSE = f"""
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(new)->'value' = '{POISON:.0f}' OR to_jsonb(new)->'values' @> '[{POISON:.0f}]' THEN
        RAISE numeric_value_out_of_range;
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER refuse BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own."""
    async with workshop(database) as shop:
        yield shop


async def test_what_is_stored_is_seen_whether_it_lies_in_runs_or_alone(shop: Workshop) -> None:
    run = [("a", float(place), float(place)) for place in range(10)]
    assert await shop.write(*run) == Receipt(10, 0)
    assert await shop.write(("a", 20, 20.0)) == Receipt(1, 0)
    assert await shop.sizes() == (1, 1)
    again = [("a", 3.0, -1.0), ("a", 3.5, 3.5), ("a", 20.0, -1.0), ("a", 30.0, 30.0)]
    assert await shop.write(*again) == Receipt(2, 2)
    assert await shop.write(*again) == Receipt(0, 4)
    assert await shop.write(*run, ("b", 0, 1.0)) == Receipt(1, 10)
    assert await shop.values() == {("a", at): at for _, at, _ in run} | {
        ("a", 3.5): 3.5,
        ("a", 20.0): 20.0,
        ("a", 30.0): 30.0,
        ("b", 0.0): 1.0,
    }


async def test_a_run_that_begins_within_another_hides_nothing(shop: Workshop) -> None:
    even = [("a", 2.0 * place, 1.0) for place in range(LONGEST + 50)]
    odd = [("a", 2.0 * place + 1, 1.0) for place in range(LONGEST + 50)]
    assert await shop.write(*even) == Receipt(len(even), 0)
    assert await shop.write(*odd) == Receipt(len(odd), 0)
    assert await shop.write(*odd[10:20], *even[300:340], ("a", 5000.5, 1.0)) == Receipt(1, 50)
    assert len(await shop.values()) == len(even) + len(odd) + 1


points = st.tuples(
    st.sampled_from("abc"), st.integers(0, 12) | st.sampled_from([0, 899, 900, 901, 86_400]), st.integers(0, 9)
)
flushes = st.lists(
    st.tuples(st.booleans(), st.lists(st.lists(points, min_size=1, max_size=14), min_size=1, max_size=3)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flushes)
async def test_any_order_of_writes_is_stored_as_a_dictionary_would(
    shop: Workshop, groups: list[tuple[bool, list[list[tuple[str, int, int]]]]]
) -> None:
    await shop.clear()
    wanted: dict[tuple[str, float], float] = {}
    for number, (replace, contents) in enumerate(groups):
        batches, receipts = [], []
        for content in contents:
            batches.append(await shop.batch(*content, replace=replace))
            new = 0
            for metric, at, value in content:
                new += (metric, at) not in wanted
                if replace or (metric, at) not in wanted:
                    wanted[metric, at] = value
            receipts.append((new, len(content) - new))
        found = await shop.flush(*batches, lane=shop.lanes[number % 2])
        if replace:  # whose replacement counts as the new one is not promised
            assert sum(receipt.accepted for receipt in found) == sum(new for new, _ in receipts)
        else:
            assert [(receipt.accepted, receipt.duplicates) for receipt in found] == receipts
    assert await shop.values() == wanted
    newest = {metric: max(at for name, at in wanted if name == metric) for metric, _ in wanted}
    assert await shop.newest() == {metric: (at, wanted[metric, at]) for metric, at in newest.items()}
    assert await shop.between("a", 1, 900) == sorted(
        (at, value) for (metric, at), value in wanted.items() if metric == "a" and 1 <= at < 900
    )


async def test_what_was_stored_behind_our_back_is_found_out(shop: Workshop) -> None:
    batch = await shop.batch(("a", 1, 1.0))
    await shop.flush(await shop.batch(("b", 1, 1.0)))  # makes the partition
    at = float(batch.ts[0]) / 1e6
    await shop.pool.execute("INSERT INTO readings VALUES ($1, to_timestamp($2), 7)", int(batch.series_id[0]), at)
    lane = shop.lane()
    assert await shop.flush(batch, await shop.batch(("a", 2, 2.0)), lane=lane) == [Receipt(0, 1), Receipt(1, 0)]
    assert lane.store.reclaims == 1
    assert await shop.newest() == {"a": (2, 2.0), "b": (1, 1.0)}


async def test_a_series_that_an_older_version_made_is_adopted(shop: Workshop) -> None:
    await shop.write(*[("a", float(place), 1.0) for place in range(10)])
    await shop.pool.execute("DELETE FROM newest")
    assert await shop.write(("a", 5, 2.0), ("a", 9, 2.0), ("a", 10, 2.0)) == Receipt(1, 2)
    assert await shop.newest() == {"a": (10, 2.0)}


async def test_a_series_that_was_deleted_is_made_anew(shop: Workshop) -> None:
    batch = await shop.batch(("a", 1, 1.0))
    await shop.pool.execute("DELETE FROM series")
    with pytest.raises(Unavailable):
        await shop.flush(batch)
    assert await shop.write(("a", 1, 1.0)) == Receipt(1, 0)
    assert await shop.values() == {("a", 1): 1.0}


async def test_receipts_of_a_group_are_each_batch_s_own(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0))
    batches = [
        await shop.batch(("a", 0, 5.0), ("a", 1, 5.0)),
        await shop.batch(("a", 1, 6.0), ("b", 1, 6.0), ("b", 1, 7.0)),
        await shop.batch(("b", 1, 8.0)),
    ]
    assert await shop.flush(*batches) == [Receipt(1, 1), Receipt(1, 2), Receipt(0, 1)]
    assert await shop.values() == {("a", 0): 1.0, ("a", 1): 5.0, ("b", 1): 6.0}


@pytest.mark.parametrize("others", [0, 20])
async def test_replacing_changes_the_value_and_counts_a_duplicate(shop: Workshop, others: int) -> None:
    await shop.write(("a", 0, 1.0), ("a", 1, 1.0))
    if others:  # they make a run of what replacing meets
        await shop.clear()
        await shop.write(("a", 0, 1.0), ("a", 1, 1.0), *[("a", 3.0 + place, 9.0) for place in range(others)])
        assert await shop.sizes() == (0, 1)
    replacing = await shop.batch(("a", 1, 2.0), ("a", 2, 2.0), ("a", 2, 3.0), replace=True)
    assert await shop.flush(replacing) == [Receipt(1, 2)]
    found = {key: value for key, value in (await shop.values()).items() if value != 9.0}
    assert found == {("a", 0): 1.0, ("a", 1): 2.0, ("a", 2): 3.0}
    assert len(await shop.values()) == 3 + others
    assert await shop.flush(replacing) == [Receipt(0, 3)]
    assert await shop.newest() == {"a": (22, 9.0) if others else (2, 3.0)}


def writer(shop: Workshop, **limits: Any) -> Writer:
    """A writer without rules."""
    metrics = WriteMetrics(CollectorRegistry())
    return Writer(shop.pool, shop.partitions, NoRules(), metrics, WriterLimits(**limits), shop.series.forget)


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


async def test_a_deadlock_is_retried_unseen(shop: Workshop) -> None:
    await shop.write(("a", -10, 0.0), ("b", -10, 0.0))
    batch = await shop.batch(("a", 1, 1.0), ("b", 1, 1.0))
    first, second = (int(series) for series in batch.series_id)
    lock = "SELECT 1 FROM newest WHERE series_id = $1 FOR UPDATE"
    async with shop.pool.acquire() as other:
        await other.execute("SET deadlock_timeout = '20s'")  # so that the lane is the one that finds it
        async with other.transaction():
            await other.execute(lock, max(first, second))
            lane = shop.lane()
            flushing = asyncio.create_task(shop.flush(batch, lane=lane))
            await asyncio.sleep(0.3)  # the lane holds the first row and waits for the second
            await other.execute(lock, min(first, second))
    assert await flushing == [Receipt(2, 0)]
    assert set((await shop.values()).values()) == {0.0, 1.0}


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
        await shop.pool.execute("TRUNCATE readings, runs")
        forward, backward = await shop.batch(*points), await shop.batch(*reversed(points))
        ((one,), (other,)) = await asyncio.gather(
            shop.flush(forward, lane=lanes[0]), shop.flush(backward, lane=lanes[1])
        )
        assert one.accepted + other.accepted == 200
        assert one.accepted + one.duplicates == other.accepted + other.duplicates == 200
        assert len(await shop.values()) == 200


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

    def screen(self, rows: Rows, hot: Sequence[int]) -> Int64s | None:
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


async def test_a_few_late_readings_over_a_fast_series_read_little(shop: Workshop) -> None:
    for minute in range(14):
        await shop.write(*[("a", minute * 60 + place * 0.02, 1.0) for place in range(3_000)])
    lane = shop.lane()
    await shop.flush(await shop.batch(("b", 0, 1.0)), lane=lane)
    fetched: list[int] = []
    connection = lane._connection
    assert connection is not None
    fetch = connection.fetch

    async def counted(query: str, *arguments: Any) -> list[asyncpg.Record]:
        records = await fetch(query, *arguments)
        fetched.append(sum(len(record["offsets"]) for record in records if "offsets" in record))
        return list(records)

    class Counting:
        """The connection, counting what is read of runs."""

        def __getattr__(self, name: str) -> Any:
            return counted if name == "fetch" else getattr(connection, name)

    late = await shop.batch(("a", 30.011, 2.0), ("a", 400.02, 2.0), ("a", 800.02, 2.0), replace=True)
    group = arrange([late])
    assert await lane.store.flush(cast(Any, Counting()), group) == [Receipt(1, 2)]
    assert 2 <= sum(fetched) <= 3 * LONGEST
    assert (await shop.values())["a", 400.02] == 2.0


async def test_series_that_nobody_waits_for_any_more_delay_nobody(shop: Workshop) -> None:
    async with shop.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
        asking = [
            asyncio.create_task(shop.series.resolve([SeriesKey(f"d{number}", f"m{n}") for n in range(2_000)]))
            for number in range(20)
        ]
        await asyncio.sleep(0.1)
        with pytest.raises(Overloaded):
            await shop.series.resolve([SeriesKey("e", f"m{n}") for n in range(MAX_WANTED)])
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    assert len(await shop.series.resolve([SeriesKey("f", "m")])) == 1
    assert await shop.pool.fetchval("SELECT count(*) FROM series") <= 1_001, "made for nobody"


async def test_whom_the_search_fails_is_told_and_the_next_one_is_served(shop: Workshop) -> None:
    await shop.pool.execute("ALTER TABLE series RENAME TO elsewhere")
    with pytest.raises(asyncpg.UndefinedTableError):
        await asyncio.wait_for(shop.series.resolve([SeriesKey("a", "m")]), 5)
    await shop.pool.execute("ALTER TABLE elsewhere RENAME TO series")
    assert len(await shop.series.resolve([SeriesKey("a", "m"), SeriesKey("a", "m")])) == 2


async def test_a_partition_that_was_detached_is_attached_again(shop: Workshop) -> None:
    await shop.write(*[("a", float(place), 1.0) for place in range(5)])
    (name,) = await shop.pool.fetchrow(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'runs'::regclass"
    )  # type: ignore[misc]
    await shop.pool.execute(f"ALTER TABLE runs DETACH PARTITION {name}")
    assert await shop.write(*[("a", 10.0 + place, 1.0) for place in range(5)]) == Receipt(5, 0)
    assert len(await shop.values()) == 10
