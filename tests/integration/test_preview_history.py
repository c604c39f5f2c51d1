"""The preview of a long history: read in pieces, without memory, while others work."""

import asyncio
import random
import resource
import tracemalloc

import pytest

from alerts import replay
from alerts.preview import Previewer, PreviewLimits
from alerts.rate import rates
from alerts.replay import Trail, stored
from schemas.times import to_datetime
from tests.integration.previewing import RISING, asked, fill, walk
from tests.integration.writing import NOW, PLAIN, SECOND, Point, T, Workshop


async def test_a_trail_gives_the_same_rates_as_all_readings(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "CHUNK", 10)
    points: list[Point] = [(T, *each) for each in walk(random.Random(3), 400)]
    for first in range(0, len(points), 8):
        await shop.write(*points[first : first + 8])
    everything = [(NOW + round(seconds * SECOND), value) for _, seconds, value in points]
    series_id = await shop.pool.fetchval("SELECT id FROM series")
    for window_us in (SECOND, 20 * SECOND, 900 * SECOND):
        async with shop.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            trail = Trail(stored(connection, series_id, NOW - window_us, NOW + 10**12), window_us)
            pieces = [chunk async for chunk in stored(connection, series_id, NOW, NOW + 10**12) if chunk]
            found = [each for piece in pieces for each in rates(await trail.before(piece), piece, window_us)]
        assert [each for piece in pieces for each in piece] == everything
        assert len(pieces) > 10
        assert found == rates([], everything, window_us)


async def test_a_chunk_is_bounded_whatever_it_is_read_from(shop: Workshop) -> None:
    await shop.write((T, 0, 0))
    series_id = await shop.pool.fetchval("SELECT id FROM series")
    await shop.pool.execute(
        "INSERT INTO readings SELECT $1, $2::timestamptz + n * interval '1 ms', n FROM generate_series(1, 5000) n",
        series_id,
        to_datetime(NOW),
    )
    async with shop.pool.acquire() as connection:
        plain = [len(chunk) async for chunk in stored(connection, series_id, NOW, NOW + 100 * SECOND)]
        await fill(shop, 5_000)
        mixed = [len(chunk) async for chunk in stored(connection, series_id, NOW, NOW + 10**12)]
    assert (sum(plain), max(plain)) == (5_001, replay.CHUNK)
    assert sum(mixed) == 10_002
    assert max(mixed) <= 2 * replay.CHUNK


LONG = (PLAIN, {"condition": {"type": "rate", "levels": [RISING], "window_s": 3_600}})


async def test_a_long_history_holds_up_nobody_and_keeps_nothing(shop: Workshop) -> None:
    await fill(shop, 300_000)
    longest, turns = 0.0, 0

    async def watch() -> None:
        nonlocal longest, turns
        clock = asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(0)
            longest, turns = max(longest, clock() - before), turns + 1

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for rule in LONG:
        watching = asyncio.create_task(watch())
        found = await Previewer(shop.pool, PreviewLimits(deadline_s=60)).run(asked(**rule))
        watching.cancel()
        assert (found.readings, found.truncated) == (300_002, False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_384  # KiB
    assert longest < 1, f"the event loop stood still for {longest * 1e3:.0f} ms; it is 11 on an idle machine"
    assert turns > 2 * 300_000 / (2 * replay.CHUNK)


async def test_a_long_history_takes_no_memory(shop: Workshop) -> None:
    await fill(shop, 100_000)
    patient = Previewer(shop.pool, PreviewLimits(deadline_s=60))  # to trace memory is slow
    for rule in LONG:
        await patient.run(asked(until=1_000, **rule))  # statements are prepared
        tracemalloc.start()
        try:
            found = await patient.run(asked(**rule))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert found.readings == 100_002
        assert peak < 2 << 20, f"{peak} bytes for {rule}"
