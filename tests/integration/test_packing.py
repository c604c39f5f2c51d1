"""Packing old days: whatever is written before, between and after, what is stored is what a dictionary would hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from query import packing
from query.packer import Packer
from query.partitions import FORMS, make, name_of
from schemas.columns import Receipt
from schemas.times import to_datetime
from tests.integration.writing import DAY, NOW, Workshop, until_locked, workshop

TODAY = NOW // DAY
HALF_DAY_S = 43_200  # `NOW` is noon


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own."""
    async with workshop(database) as shop:
        yield shop


async def pack(shop: Workshop) -> None:
    """Pack every day there is."""
    packer = Packer(shop.pool, None, after_days=-3_650, every_s=1e-9)  # `NOW` is not now
    for _ in range(2):  # a step, and the truncation of what it left
        await packer.turn()


async def forms(shop: Workshop) -> dict[str, int]:
    """Tuples of each form."""
    return {form: await shop.pool.fetchval(f"SELECT count(*) FROM {form}") for form in FORMS}  # noqa: S608


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few readings are too many for one statement, and a series busy."""
    monkeypatch.setattr(packing, "AT_ONCE", 7)
    monkeypatch.setattr(packing, "LONGEST", 4)


async def test_a_packed_day_shows_what_it_showed_before(shop: Workshop) -> None:
    slow = [("slow", 130.0 * place - HALF_DAY_S, place / 7) for place in range(660)]
    for place in range(0, len(slow), 60):
        await shop.write(*slow[place : place + 1])
        await shop.write(*slow[place + 1 : place + 60])
    fine = [("fine", place * 0.000_7 - 5, -float(place)) for place in range(1_000)]
    await shop.write(*fine)
    before, newest = await shop.values(), await shop.newest()
    await pack(shop)
    assert await forms(shop) == {"readings": 0, "runs": 0, "packed": 5 + 6 + 1}, "1 in 10 of `fine` is at a millisecond"
    assert await shop.pool.fetchval("SELECT pg_relation_size($1)", name_of("readings", TODAY)) == 0
    assert await shop.values() == before
    assert await shop.between("slow", 0, 3_600) == [(at, value) for _, at, value in slow if 0 <= at < 3_600]
    assert await shop.between("fine", -5, -4.99) == [(round(at, 6), value) for _, at, value in fine if at < -4.99]
    stored = """SELECT extract(epoch FROM ts)::float8 - $2, value
                FROM newest_stored((SELECT id FROM series WHERE metric = $1))"""
    for metric, (at, value) in newest.items():
        record = await shop.pool.fetchrow(stored, metric, NOW / 1e6)
        assert record is not None
        assert (round(record[0], 6), record[1]) == (at, value)


async def test_what_was_packed_is_found_and_replaced(shop: Workshop) -> None:
    points = [("a", 60.0 * place, float(place)) for place in range(300)] + [("a", 5.000_001, 5.0)]
    await shop.write(*points)
    await pack(shop)
    assert await shop.write(*points[40:50], ("a", 61.0, 1.0), ("a", 5.000_001, 1.0)) == Receipt(1, 11)
    assert await shop.write(("a", 60.0, 9.5), ("a", 61.0, 9.5), ("a", 5.000_001, 9.5), replace=True) == Receipt(0, 3)
    assert await shop.write(("a", 5.000_002, 1.0), ("a", 5.001, 1.0), ("a", 7_777.0, 1.0)) == Receipt(3, 0)
    wanted = {("a", at): value for _, at, value in points}
    wanted |= {("a", at): 9.5 for at in (60.0, 61.0, 5.000_001)} | {
        ("a", at): 1.0 for at in (5.000_002, 5.001, 7_777.0)
    }
    assert await shop.values() == wanted
    await pack(shop)
    assert (await forms(shop))["readings"] == 0
    assert await shop.values() == wanted
    assert await shop.write(*[(metric, at, 0.0) for metric, at in wanted]) == Receipt(0, len(wanted))


moments = st.integers(0, 40) | st.sampled_from(
    [1_799, 1_800, 1_801, 30_000, -HALF_DAY_S, HALF_DAY_S - 1, HALF_DAY_S, 100_000]
)
points = st.tuples(
    st.sampled_from("abc"), moments, st.sampled_from([0, 0, 0, 0.001, 0.000_001, 0.5]), st.integers(0, 9)
)
steps = st.lists(
    st.just("pack") | st.tuples(st.booleans(), st.lists(points, min_size=1, max_size=30)), min_size=2, max_size=10
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
@pytest.mark.usefixtures("small_chunks")
async def test_any_order_of_writes_and_packing_is_as_a_dictionary_would(shop: Workshop, steps: list[Any]) -> None:
    await shop.clear()
    wanted: dict[tuple[str, float], float] = {}
    for step in steps:
        if step == "pack":
            await pack(shop)
            assert (await forms(shop))["runs"] == 0
        else:
            replace, content = step
            batch = [(metric, at + fraction, float(value)) for metric, at, fraction, value in content]
            new = len({(metric, at) for metric, at, _ in batch} - wanted.keys())
            for metric, at, value in batch:
                if replace or (metric, at) not in wanted:
                    wanted[metric, at] = value
            assert await shop.write(*batch, replace=replace) == Receipt(new, len(batch) - new)
        assert await shop.values() == wanted
        for bounds in ((1, 1_800), (20.5, 30_000.000_001), (-HALF_DAY_S, HALF_DAY_S), (0.000_001, 40)):
            inside = [
                (at, value) for (name, at), value in wanted.items() if name == "a" and bounds[0] <= at < bounds[1]
            ]
            assert await shop.between("a", *bounds) == sorted(inside)
            assert await oldest(shop, *bounds) == sorted(inside)[:1]
    overlapping = await shop.pool.fetch(
        "SELECT FROM packed p JOIN packed q USING (series_id, unit_us) WHERE p.ts < q.ts AND p.until >= q.ts"
    )
    assert not overlapping
    assert all(
        newest == (at, wanted[metric, at])
        for metric, newest in (await shop.newest()).items()
        for at in [max(at for name, at in wanted if name == metric)]
    )


@pytest.mark.usefixtures("small_chunks")
async def test_a_series_that_grew_busy_has_no_overlapping_pieces(shop: Workshop) -> None:
    slow = [("a", 0.0, 1.0), ("a", 1_500.0, 1.0), ("a", 2_000.0, 1.0)]
    await shop.write(*slow)
    await pack(shop)
    many = [("a", 1_810.0 + place, 1.0) for place in range(10)]
    await shop.write(*many)
    await pack(shop)
    assert await forms(shop) == {"readings": 0, "runs": 0, "packed": 1 + 3}
    assert await shop.write(*slow, *many) == Receipt(0, 13)


async def test_what_an_older_version_stored_again_is_packed_once(shop: Workshop) -> None:
    batch = await shop.batch(*[("a", float(place), 1.0) for place in range(9)])
    await shop.flush(batch)
    await pack(shop)
    twice = [(int(batch.series_id[0]), to_datetime(int(us)), 2.0) for us in batch.ts[3:5]]
    await shop.pool.executemany("INSERT INTO readings VALUES ($1, $2, $3)", twice)
    await pack(shop)
    assert await shop.values() == {("a", float(place)): 1.0 for place in range(9)}
    assert await shop.pool.fetchval("SELECT sum(cardinality(values)) FROM packed") == 9


async def oldest(shop: Workshop, since: float, until: float) -> list[tuple[float, float]]:
    """`oldest_between` of the metric a."""
    bounds = (to_datetime(NOW + round(seconds * 1e6)) for seconds in (since, until))
    query = """SELECT (extract(epoch FROM ts) - $3)::float8, value
               FROM oldest_between((SELECT id FROM series WHERE metric = 'a'), $1, $2)"""
    return [(round(at, 6), value) for at, value in await shop.pool.fetch(query, *bounds, NOW // 1_000_000)]


@pytest.mark.parametrize("form", FORMS)
async def test_a_replacement_that_meets_packing_is_not_lost(shop: Workshop, form: str) -> None:
    await shop.write(*[("a", float(place), 1.0) for place in range(1 if form == "readings" else 9)], ("b", 0, 1.0))
    if form == "packed":
        await pack(shop)
        await shop.write(("a", 0.5, 2.0))  # so that there is something to pack again
    async with packing_meanwhile(shop):
        late = asyncio.create_task(shop.write(("a", 0, 9.0), replace=True))
        await until_locked(shop.pool)
    assert await late == Receipt(0, 1)
    assert (await shop.values())["a", 0] == 9.0
    assert (await forms(shop))[form] == (1 if form == "packed" else 0) + (form == "packed")


@asynccontextmanager
async def packing_meanwhile(shop: Workshop) -> AsyncIterator[None]:
    """A statement that packs, and commits in the end."""
    async with shop.pool.acquire() as connection:
        await make(connection, "packed", TODAY)
        async with connection.transaction():
            chunk = await packing.find(connection, TODAY, None, 0)
            assert chunk is not None
            assert await packing.pack(connection, TODAY, chunk)
            yield


async def test_nobody_waits_for_packing_who_writes_what_is_new(shop: Workshop) -> None:
    await shop.write(*[("a", float(place), 1.0) for place in range(9)])
    async with packing_meanwhile(shop):
        assert await shop.write(("a", 3.0, 5.0), ("a", 3.5, 1.0), ("a", 30.0, 1.0)) == Receipt(2, 1)
    assert len(await shop.values()) == 11


async def test_an_older_snapshot_sees_what_was_packed(shop: Workshop) -> None:
    await shop.write(*[("a", 2.0 * place, 1.0) for place in range(50)], ("b", 1, 1.0))
    async with shop.pool.acquire() as reader:
        async with reader.transaction(isolation="repeatable_read"):
            await reader.fetchval("SELECT count(*) FROM series")
            await pack(shop)
            assert await forms(shop) == {"readings": 0, "runs": 0, "packed": 2}
            assert await reader.fetchval("SELECT count(*) FROM telemetry") == 51, "TRUNCATE came too early"
        assert await shop.pool.fetchval("SELECT pg_relation_size($1)", name_of("runs", TODAY)) > 0
        await pack(shop)
        assert await shop.pool.fetchval("SELECT pg_relation_size($1)", name_of("runs", TODAY)) == 0


async def test_readings_take_little_room(shop: Workshop) -> None:
    series, each = 150, 667
    keys = await shop.batch(*[(f"m{number}", 0, 0.0) for number in range(series)])
    await shop.flush(keys)
    await shop.pool.execute(
        """INSERT INTO readings SELECT s, $1::timestamptz + n * interval '129.5 s' + s * interval '7 ms', random()
           FROM generate_series(0, $2) n, unnest($3::int[]) s ON CONFLICT DO NOTHING""",
        to_datetime(TODAY * DAY),
        each - 1,
        keys.series_id.tolist(),
    )
    size = "SELECT pg_total_relation_size($1) / sum(cardinality(values))::float8 FROM packed"
    await pack(shop)
    assert 12 < await shop.pool.fetchval(size, name_of("packed", TODAY)) <= 20
    assert await shop.pool.fetchval("SELECT sum(cardinality(values)) FROM packed") >= series * each
