"""The fleet at a glance: sparklines are means of the readings, wherever these are kept; and what an answer may hold."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from query.fleet import Glance, Window, glance
from schemas.errors import Invalid
from schemas.queries import Spark
from tests.integration.reading import Library, library
from tests.integration.rolling import HOUR, roll_up
from tests.integration.writing import NOW, SECOND


@pytest.fixture
async def shelf(database: str) -> AsyncIterator[Library]:
    """A library of this test's own."""
    async with library(database) as made:
        yield made


async def told(shelf: Library, **wanted: Any) -> Any:
    """The answer, as it is sent."""
    asked = {"prefix": "", "after": None, "limit": 10, "latest": 3, "metrics": None, "spark": None} | wanted
    return json.loads(await glance(shelf.reads, Glance(**asked), None))


def expected(shelf: Library, site: int, since: int, step: int, points: int) -> list[float | None]:
    """The mean of each step of a site; microseconds."""
    found: list[float | None] = []
    for begin in range(since, since + points * step, step):
        values = [value for (owner, at), value in shelf.stored.items() if owner == site and begin <= at < begin + step]
        found.append(sum(values) / len(values) if values else None)
    return found


@pytest.mark.parametrize("spark", list(Spark))
async def test_sparklines_are_means_whatever_they_are_read_from(shelf: Library, spark: Spark) -> None:
    now = (time.time_ns() // 1_000 - NOW) / SECOND
    rng = np.random.default_rng(7)
    back = spark.step_s * spark.points * 1.1
    for number in range(40):  # some come together, some alone
        at = now - back * rng.random()
        await shelf.write([(0, at + place * 0.5, float(rng.integers(100))) for place in range(1 + number % 7)])
    for rolled in (False, True):
        if rolled:
            await roll_up(shelf.shop.pool, now - 3 * HOUR)
        answer = await told(shelf, spark=spark)
        [[value]] = [item["latest"] for item in answer["items"]]
        since = int(np.datetime64(answer["spark"]["from"].rstrip("Z"), "us").astype(np.int64))
        step, points = answer["spark"]["step_s"] * SECOND, answer["spark"]["points"]
        assert since + (points - 1) * step <= time.time_ns() // 1_000 < since + (points + 1) * step
        assert value["spark"] == pytest.approx(expected(shelf, 0, since, step, points))
        assert sum(point is not None for point in value["spark"]) > 9
    if spark is not Spark.HOUR:
        await shelf.shop.pool.execute("TRUNCATE readings, runs")
        [[value]] = [item["latest"] for item in (await told(shelf, spark=spark))["items"]]
        assert sum(point is not None for point in value["spark"]) > 9, "hours come from rollups"


async def test_a_sum_that_is_no_float_any_more_is_null_and_harms_nobody(shelf: Library) -> None:
    now = (time.time_ns() // 1_000 - NOW) // SECOND // 120 * 120 - 240
    await shelf.write([(0, now + place, 1.7e308) for place in range(3)])
    await shelf.write([(0, now + 120, 5.0)])
    [[value]] = [item["latest"] for item in (await told(shelf, spark=Spark.HOUR))["items"]]
    assert [point for point in value["spark"] if point is not None] == [5.0]


async def test_an_answer_has_so_many_courses_at_most(shelf: Library) -> None:
    await shelf.write([(0, 0, 1.0)])
    for wanted in ({"limit": 501, "latest": 1}, {"limit": 100, "latest": 6}, {"limit": 251, "metrics": ["a", "b"]}):
        with pytest.raises(Invalid):
            await told(shelf, spark=Spark.HOUR, **wanted)
        assert len((await told(shelf, **wanted))["items"]) == 1
    assert len((await told(shelf, spark=Spark.HOUR, limit=100, latest=5))["items"]) == 1


def test_the_last_step_holds_now() -> None:
    for now in (1_000_000 * 120 * 50, 1_000_000 * 120 * 50 - 1, 1_000_000 * 120 * 50 + 1):
        window = Window.at(now, Spark.HOUR)
        assert window.until - window.step_us <= now < window.until
        assert window.until - window.since == HOUR * SECOND
