"""Alerts on a rate of change: the window, across groups and workers."""

import random

import pytest

from alerts.machine import Condition, State, step
from schemas.columns import Receipt
from schemas.conditions import Level, Severity
from tests.integration.writing import T, Workshop, workshop

RATE = {"type": "rate", "window_s": 10, "levels": [{"severity": "warning", "above": 1, "clear": 0.5}]}


async def test_a_rate_is_the_change_since_the_oldest_reading_of_the_window(shop: Workshop, database: str) -> None:
    await shop.rule(condition=RATE)
    async with workshop(database) as other:
        await other.loader.refresh()
        points = [(0, 0), (5, 5), (10, 10), (11, 17), (21, 21), (40, 99), (41, 99)]
        for number, (second, value) in enumerate(points):
            await (shop, other)[number % 2].write((T, second, value))
    # At 11 the reading at 0 has left the window, so it is (17 - 5) / 6; at 21 (21 - 17) / 10; at 40 there is none.
    assert [(event, value) for _, event, _, value in await shop.events()] == [("firing", 2.0), ("resolved", 0.4)]


@pytest.mark.parametrize("seed", range(3))
async def test_rates_of_groups_are_those_of_single_readings(shop: Workshop, seed: int) -> None:
    chance = random.Random(seed)
    await shop.rule(condition=RATE)
    points, value = [], 0.0
    for second in range(0, 1000, 2):
        value += chance.uniform(-3, 4)
        points.append((second, value))
    left = list(points)
    while left:
        count = chance.randint(1, 40)
        sent, left = left[:count], left[count:]
        await shop.write(*[(T, float(second), each) for second, each in sent])
    condition = Condition((Level(severity=Severity.WARNING, above=1, clear=0.5),))
    state, told = State(), []
    for place, (second, each) in enumerate(points):
        before = [(then, was) for then, was in points[:place] if second - then <= 10]
        if before:
            rate = (each - before[0][1]) / (second - before[0][0])
            state, transition = step(condition, state, second, rate)
            if transition:
                told.append((transition.event.value, rate))
    assert len(told) > 4
    assert [(event, each) for _, event, _, each in await shop.events()] == told


async def test_a_rate_between_the_largest_values_is_finite(shop: Workshop) -> None:
    await shop.rule(condition=RATE)
    most = 1.7e308
    assert await shop.write((T, 0, -most), (T, 1, most), (T, 2, -most)) == Receipt(3, 0)
    assert await shop.told() == ["firing warning", "resolved warning"]
