"""Storing a group: runs, duplicates, late and replaced readings, each batch's own receipt."""

import asyncio
from typing import Any, cast

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.group import arrange
from schemas.columns import Receipt
from schemas.runs import LONGEST
from tests.integration.writing import Workshop, outcomes, writer


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


async def test_a_group_of_two_kinds_of_conflict_handling_is_never_made(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0))
    kinds = [False, True, False, True]
    batches = [await shop.batch(("a", 0, 2.0 + place), replace=kind) for place, kind in enumerate(kinds)]
    assert await outcomes(writer(shop, lanes=1), batches) == [Receipt(0, 1)] * 4
    assert await shop.values() == {("a", 0): 5.0}
    await shop.write(("a", 0, 9.0))
    assert await shop.values() == {("a", 0): 5.0}


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
