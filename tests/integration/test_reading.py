"""Raw readings and buckets: whatever was written in whatever order, they answer as a dictionary would."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from query import stored
from query.stored import Span, chunks
from schemas.errors import Invalid, NotFound
from schemas.times import to_datetime, to_micros
from tests.integration.reading import Library, folded, library
from tests.integration.writing import NOW, SECOND

DAY = 86_400


@pytest.fixture
async def shelf(database: str) -> AsyncIterator[Library]:
    """A library of this test's own."""
    async with library(database) as made:
        yield made


moments = st.one_of(
    st.integers(0, 40).map(lambda tick: tick * 0.000_25),
    st.integers(-3, 1_900).map(float),
    st.sampled_from([-3 * DAY, -DAY, -1, 59.999_999, 60, 899, 900, 901, 3_599, 3_600, DAY, 2 * DAY + 0.5]).map(float),
)
values = st.one_of(st.integers(-9, 9).map(float), st.floats(-1e6, 1e6), st.sampled_from([-0.0, 5e-324, 0.1]))
batches = st.lists(
    st.tuples(st.booleans(), st.lists(st.tuples(st.integers(0, 2), moments, values), min_size=1, max_size=40)),
    min_size=1,
    max_size=6,
)
spans = st.tuples(moments, moments).map(lambda pair: (min(pair), max(pair)))
relaxed = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def fill(shelf: Library, written: list[tuple[bool, list[tuple[int, float, float]]]]) -> None:
    await shelf.clear()
    await shelf.write([(site, -4.0 * DAY, 0.5) for site in range(3)])  # so that every label set is known
    for number, (replace, points) in enumerate(written):
        await shelf.write(points, replace=replace, lane=number % 2)


def micros(text: str) -> int:
    return to_micros(datetime.fromisoformat(text))


def repr_of(readings: list[Any]) -> str:
    """Tells -0.0 from 0.0, which == does not."""
    return repr(readings)


@relaxed
@given(batches, spans, st.sampled_from([1, 2, 7, 50]), st.booleans(), st.booleans())
async def test_pages_hold_every_reading_once_and_in_order(
    shelf: Library,
    written: list[tuple[bool, list[tuple[int, float, float]]]],
    span: tuple[float, float],
    limit: int,
    descending: bool,
    one: bool,
) -> None:
    await fill(shelf, written)
    labels, sites = ({"site": "B"}, [1]) if one else ({}, [])
    found, cursor = [], None
    while True:
        answer = await shelf.page(*span, limit, cursor, descending=descending, labels=labels)
        assert len(answer["items"]) <= limit
        found += answer["items"]
        cursor = answer["next"]
        if cursor is None:
            break
        assert len(answer["items"]) == limit
    names = {series: site for site, series in shelf.ids.items()}
    wanted: list[dict[str, Any]] = [
        {"us": at, "value": value} | ({} if one else {"labels": {"site": "ABC"[names[series]]}})
        for at, series, value in shelf.expected(*span, sites)
    ]
    shown = [{"us": micros(item.pop("ts"))} | item for item in found]
    assert repr_of(shown) == repr_of(wanted[::-1] if descending else wanted)


@relaxed
@given(batches, spans, st.sampled_from([1, 7, 60, 900, 3_600, 7_200, 10_800, DAY, 2 * DAY]), st.booleans())
async def test_buckets_are_what_plain_loops_make_bit_for_bit(
    shelf: Library,
    written: list[tuple[bool, list[tuple[int, float, float]]]],
    span: tuple[float, float],
    bucket_s: int,
    one: bool,
) -> None:
    await fill(shelf, written)
    if (span[1] - span[0]) / bucket_s > 9_000:
        bucket_s = 60
    found = await shelf.buckets(*span, bucket_s, {"site": "C"} if one else {})
    shown = [{"us": micros(bucket.pop("ts"))} | bucket for bucket in found]
    wanted = folded(shelf.expected(*span, [2] if one else []), bucket_s)
    order = ("us", "avg", "min", "max", "count", "sum", "first", "last")
    assert repr_of([{name: each[name] for name in order} for each in shown]) == repr_of(
        [{name: each[name] for name in order} for each in wanted]
    )


async def test_sql_says_the_same_of_minutes(shelf: Library) -> None:
    points = [(place % 3, place * 0.75 + (place % 7) * 1e-6, (place * 37 % 101) / 7) for place in range(3_000)]
    for start in range(0, 3_000, 150):
        await shelf.write(points[start : start + 150])
    rows = await shelf.shop.pool.fetch(
        """SELECT date_bin('1 minute', ts, 'epoch') AS start, count(*) AS count, min(value), max(value),
                  sum(value ORDER BY ts) AS sum, (array_agg(value ORDER BY ts))[1] AS first,
                  (array_agg(value ORDER BY ts DESC))[1] AS last
           FROM telemetry WHERE labels @> '{"site": "A"}' GROUP BY 1 ORDER BY 1"""
    )
    found = await shelf.buckets(0, 10_000, 60, {"site": "A"})
    names = ("count", "min", "max", "sum", "first", "last")
    assert [[to_datetime(micros(each["ts"])), *(each[name] for name in names)] for each in found] == [
        [row["start"], *(row[name] for name in names)] for row in rows
    ]
    assert len(rows) > 30


@pytest.mark.parametrize("size", [1, 3, 64, 1_000])
@pytest.mark.parametrize("descending", [False, True])
async def test_chunks_are_bounded_and_their_cuts_lose_nothing(
    shelf: Library, monkeypatch: pytest.MonkeyPatch, size: int, descending: bool
) -> None:
    monkeypatch.setattr(stored, "LEAST_OF_SERIES", 1)
    for start in range(5):  # runs that lie across each other, and plain readings between them
        await shelf.write([(0, start * 0.1 + place * 7.0, place) for place in range(200)])
    for place in range(40):
        await shelf.write([(0, place * 31.0 + 0.05, 1.0)])
    await shelf.write([(0, 40.0 * DAY, 1.0)])  # far from the others
    found = []
    span = Span([shelf.ids[0]], NOW - 400 * DAY * SECOND, NOW + 400 * DAY * SECOND, descending)
    async for chunk in chunks(shelf.reads.chunk, span, size):
        assert len(chunk) <= size + 5 * 130 + 1  # and the runs that lie across its ends, within a quarter of an hour
        found += list(zip(chunk.ts.tolist(), chunk.series.tolist(), chunk.value.tolist(), strict=True))
    wanted = shelf.expected(-400 * DAY, 400 * DAY)
    assert found == (wanted[::-1] if descending else wanted)


async def test_pages_are_stable_while_others_write(shelf: Library) -> None:
    before = [(place // 2 % 2, float(place), 1.0) for place in range(0, 600, 2)]
    await shelf.write(before)
    wanted = shelf.expected(-10, 700)

    odd = list(range(1, 600, 2))
    random.Random(7).shuffle(odd)
    found, cursor = [], None
    while True:
        writes = [shelf.write([(place % 3, float(place), 2.0)], lane=lane) for lane, place in enumerate(odd[:2])]
        del odd[:2]
        answer, *_ = await asyncio.gather(shelf.page(-10, 700, 7, cursor), *writes)
        found += answer["items"]
        cursor = answer["next"]
        if cursor is None:
            break
    assert len(found) > len(wanted), "nothing was written in between: this showed nothing"
    shown = [(micros(item["ts"]), item["labels"]["site"]) for item in found]
    assert shown == sorted(set(shown)), "out of order, or twice"
    assert [micros(item["ts"]) for item in found if item["value"] == 1.0] == [at for at, _, _ in wanted]


async def test_too_many_buckets_unknown_devices_and_label_sets(shelf: Library) -> None:
    await shelf.write([(0, 0.0, 1.0)])
    assert len(await shelf.buckets(0, 10_000, 1)) == 1
    with pytest.raises(Invalid) as caught:
        await shelf.buckets(0, 10_001, 1)
    assert caught.value.faults[0].code == "too_many_buckets"
    assert (await shelf.page(0, 1, 1, labels={"site": "nowhere"}))["items"] == []
    assert await shelf.buckets(0, 10, 1, {"site": "nowhere"}) == []
    await shelf.shop.pool.execute("DELETE FROM devices")
    with pytest.raises(NotFound):
        await shelf.page(0, 1, 1)


async def test_a_sum_that_is_no_float_any_more_is_null(shelf: Library) -> None:
    await shelf.write([(0, float(place), 1.7e308) for place in range(4)])
    [bucket] = await shelf.buckets(0, 60, 60)
    assert (bucket["sum"], bucket["avg"], bucket["max"], bucket["count"]) == (None, None, 1.7e308, 4)


@pytest.mark.parametrize("size", [1, 50, 10_000])
@pytest.mark.parametrize("descending", [False, True])
async def test_packed_days_are_read_with_the_others(shelf: Library, size: int, descending: bool) -> None:
    for start in range(3):
        await shelf.write([(0, start * 0.1 + place * 7.0, place) for place in range(100)])
    day = to_datetime(NOW // (DAY * SECOND) * DAY * SECOND)
    bounds_of_day = f"FOR VALUES FROM ('{day}') TO ('{to_datetime(NOW + DAY * SECOND // 2)}')"
    await shelf.shop.pool.execute(f"CREATE TABLE packed_{day:%Y%m%d} PARTITION OF packed {bounds_of_day}")
    piece = """INSERT INTO packed SELECT $1, $2::int, $3::timestamptz + min(k) * $2 * interval '1 us',
        $3::timestamptz + max(k) * $2 * interval '1 us', $3, array_agg(k ORDER BY k),
        array_agg(k / 7.0::float8 ORDER BY k)
        FROM generate_series(1::int, 1200000, 7501) k GROUP BY k / 600000"""
    await shelf.shop.pool.execute(piece, shelf.ids[0], 1_000, to_datetime(NOW))
    await shelf.shop.pool.execute(piece, shelf.ids[0], 1, to_datetime(NOW + 300 * SECOND))
    for since, until in ((0, 2_000), (0.01, 301), (300.5, 700), (1_300, 1_301)):
        bounds = [NOW + round(seconds * SECOND) for seconds in (since, until)]
        rows = await shelf.shop.pool.fetch(
            "SELECT ts, value FROM readings_between($1, $2, $3) ORDER BY ts, value",
            shelf.ids[0],
            *map(to_datetime, bounds),
        )
        found: list[tuple[int, float]] = []
        async for chunk in chunks(shelf.reads.chunk, Span([shelf.ids[0]], bounds[0], bounds[1], descending), size):
            found += list(zip(chunk.ts.tolist(), chunk.value.tolist(), strict=True))
        assert [ts for ts, _ in found] == sorted((ts for ts, _ in found), reverse=descending)
        assert sorted(found) == [(to_micros(row["ts"]), row["value"]) for row in rows]
