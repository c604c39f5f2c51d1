"""Alerts on a real database: stepped with their readings, recorded once, numbered without gaps."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from alerts.machine import Condition, Phase, State, step
from alerts.matching import ready
from schemas.columns import Int64s, Rows
from schemas.events import EventType
from schemas.rules import Rule, RuleRequest
from tests.integration.writing import NOW, SECOND, Workshop, rule_request, workshop

T = "temperature"
PLAIN: dict[str, Any] = {
    "condition": {"type": "threshold", "levels": [{"severity": "warning", "above": 70.0}]},
}


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own."""
    async with workshop(database) as shop:
        yield shop


async def test_a_rule_fires_escalates_and_resolves(shop: Workshop) -> None:
    rule_id = await shop.rule()
    for second, value in enumerate([60, 71, 72, 85, 74, 66, 65, 60]):
        await shop.write((T, second, value))
    assert await shop.events() == [
        (1, "firing", "warning", 71.0),
        (2, "escalated", "critical", 85.0),
        (3, "deescalated", "warning", 74.0),
        (4, "resolved", "warning", 65.0),
    ]
    assert [event.offset for event in shop.published] == [1, 2, 3, 4]
    (alert,) = await shop.pool.fetch("SELECT * FROM alerts")
    assert (alert["rule_id"], alert["device"], alert["state"], alert["severity"]) == (
        rule_id,
        "pump-1",
        "resolved",
        "warning",
    )
    data = shop.published[0].data["alert"]
    assert (data["device"], data["metric"], data["threshold"], data["state"]) == ("pump-1", T, 70.0, "firing")
    assert data["started_at"] == data["fired_at"]
    assert data["resolved_at"] is None
    assert shop.published[3].data["alert"]["resolved_at"] is not None


async def test_a_group_that_holds_a_whole_life_tells_all_of_it(shop: Workshop) -> None:
    await shop.rule()
    values = [71, 85, 60, 71, 50, 90]
    await shop.write(*[(T, second, value) for second, value in enumerate(values)])
    assert await shop.told() == [
        "firing warning", "escalated critical", "resolved critical", "firing warning", "resolved warning",
        "firing critical",
    ]  # fmt: skip
    assert await shop.pool.fetchval("SELECT count(*) FROM alerts") == 3
    assert await shop.pool.fetchval("SELECT count(*) FROM alerts WHERE state = 'firing'") == 1


async def test_one_alert_at_most_is_active_for_a_rule_and_a_series(shop: Workshop) -> None:
    await shop.rule()
    await shop.rule(name="other")
    for second in range(5):
        await shop.write((T, second, 71), device="a")
        await shop.write((T, second, 71), device="b")
    assert await shop.told() == ["firing warning"] * 4


async def test_late_readings_change_nothing(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    assert (await shop.write((T, 0, 99), arrived_s=300.000001)).accepted == 1
    assert await shop.told() == []
    await shop.write((T, 1, 99), arrived_s=301)
    assert await shop.told() == ["firing warning"]
    await shop.write((T, 2, 10), arrived_s=400)
    assert await shop.told() == ["firing warning"], "a late reading resolved an alert"


async def test_readings_out_of_order_change_nothing(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    await shop.write((T, 10, 10))
    await shop.write((T, 5, 99), arrived_s=10)
    assert await shop.told() == [], "older than a stored reading that was never stepped"
    await shop.write((T, 20, 99))
    await shop.write((T, 15, 10), arrived_s=20)
    assert await shop.told() == ["firing warning"], "older than the last one stepped"
    await shop.write((T, 30, 10))
    assert await shop.told() == ["firing warning", "resolved warning"]
    await shop.write((T, 25, 99), arrived_s=30)
    assert len(await shop.told()) == 2, "reopened by late data"


async def test_duplicates_and_replacements_change_nothing(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    await shop.write((T, 0, 10))
    await shop.write((T, 0, 99))
    await shop.write((T, 0, 99), replace=True)
    assert (await shop.values())[T, 0] == 99
    assert await shop.told() == []
    await shop.write((T, 1, 99))
    for _ in range(3):
        assert (await shop.write((T, 1, 99))).duplicates == 1
    await shop.write((T, 1, 10), replace=True)
    assert await shop.told() == ["firing warning"]


async def test_for_s_waits_in_the_readings_own_time(shop: Workshop) -> None:
    await shop.rule(**PLAIN, for_s=10)
    for second, value in [(0, 71), (9, 71), (9.5, 60), (10, 71), (19.999999, 71)]:
        await shop.write((T, second, value))
    assert await shop.told() == []
    await shop.write((T, 20, 71))
    assert await shop.told() == ["firing warning"]
    (alert,) = await shop.pool.fetch("SELECT fired_at - started_at AS waited FROM alerts")
    assert alert["waited"].total_seconds() == 10


async def test_keep_firing_for_s(shop: Workshop) -> None:
    await shop.rule(**PLAIN, keep_firing_for_s=10)
    for second, value in [(0, 71), (1, 60), (10.5, 60)]:
        await shop.write((T, second, value))
    assert await shop.told() == ["firing warning"]
    await shop.write((T, 11, 60))
    assert await shop.told() == ["firing warning", "resolved warning"]


async def test_a_resolved_event_heard_late_does_not_hide_what_is_pending(shop: Workshop) -> None:
    await shop.rule(**PLAIN, for_s=5)
    await shop.write((T, 0, 71), (T, 5, 71), (T, 6, 60), (T, 7, 71))  # fires, resolves, is pending again
    assert await shop.told() == ["firing warning", "resolved warning"]
    shop.engine.hear(shop.published)  # as the feed tells every worker, also the one that made them
    await shop.write((T, 8, 60))
    await shop.write((T, 13, 71))
    assert len(await shop.told()) == 2, "the reading of second 8 was not stepped: it fired on a wait that had ended"


async def test_loading_rules_forgets_nothing_that_became_active_meanwhile(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    await shop.write((T, 0, 10))
    fetch = shop.engine.load

    def stale(rules: Any, active: Any, known: Any) -> None:
        fetch(rules, [], known)  # read before the alert was committed

    await shop.write((T, 1, 71))
    shop.engine.load = stale  # type: ignore[method-assign]
    await shop.rule(name="another", metric="humidity")
    await shop.write((T, 2, 10))
    assert await shop.told() == ["firing warning", "resolved warning"]


async def test_changing_a_rule_resolves_what_it_fired(shop: Workshop) -> None:
    rule_id = await shop.rule(**PLAIN)
    await shop.write((T, 0, 71))
    levels = [{"severity": "info", "above": 50.0}]
    changed = rule_request(condition={"type": "threshold", "levels": levels})
    assert await shop.rulebook.replace(rule_id, changed) is not None
    assert await shop.told() == ["firing warning", "resolved warning"]
    await shop.write((T, 1, 72))
    assert await shop.told() == ["firing warning", "resolved warning"], "judged by a rule that is no more"
    await shop.loader.refresh()
    await shop.write((T, 2, 60))
    assert await shop.told() == ["firing warning", "resolved warning", "firing info"]
    assert [event.offset for event in shop.published] == [1, 2, 3]


async def test_deleting_a_rule_resolves_what_it_fired_and_keeps_its_events(shop: Workshop) -> None:
    rule_id = await shop.rule(**PLAIN)
    await shop.write((T, 0, 71))
    assert await shop.rulebook.delete(rule_id)
    assert not await shop.rulebook.delete(rule_id)
    await shop.write((T, 1, 72))
    await shop.loader.refresh()
    await shop.write((T, 2, 73))
    assert await shop.told() == ["firing warning", "resolved warning"]
    assert await shop.pool.fetchval("SELECT count(*) FROM alert_states") == 0


async def test_a_disabled_rule_is_silent(shop: Workshop) -> None:
    await shop.rule(**PLAIN, enabled=False)
    await shop.write((T, 0, 99))
    assert await shop.told() == []


class Failing:
    """The engine, but that its transaction breaks between the events and COMMIT."""

    ready = True

    def __init__(self, shop: Workshop) -> None:
        self._engine = shop.engine
        self.failures = 1

    def screen(self, rows: Rows) -> Int64s | None:
        """As the engine does."""
        return self._engine.screen(rows)

    async def step(self, connection: asyncpg.pool.PoolConnectionProxy, rows: Rows, places: Int64s) -> Any:
        """Write events, then fail."""
        outcome = await self._engine.step(connection, rows, places)
        assert outcome.events
        if self.failures:
            self.failures -= 1
            await connection.execute("SELECT 1 / 0")
        return outcome

    def committed(self, outcome: Any) -> None:
        """As the engine does."""
        self._engine.committed(outcome)


async def test_a_transition_is_committed_with_its_readings_or_not_at_all(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    lane = shop.lane(Failing(shop))
    batch = await shop.batch((T, 0, 71))
    with pytest.raises(Exception, match="22012"):
        await shop.flush(batch, lane=lane)
    assert await shop.values() == {}
    assert await shop.events() == []
    assert shop.published == []
    assert await shop.pool.fetchval("SELECT last_offset FROM alert_offset") == 0
    assert await shop.pool.fetchval("SELECT count(*) FROM alert_states") == 0
    await shop.flush(batch, lane=lane)
    assert await shop.events() == [(1, "firing", "warning", 71.0)]
    assert len(shop.published) == 1


async def test_offsets_of_two_lanes_have_no_gap_and_ascend_with_their_commits(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    devices = [f"pump-{number}" for number in range(20)]

    async def lane(number: int) -> None:
        for second in range(10):
            for device in devices[number::2]:
                await shop.write((T, second, 71 if second % 2 == 0 else 10), device=device, lane=number)

    await asyncio.gather(lane(0), lane(1))
    assert [offset for offset, *_ in await shop.events()] == list(range(1, 20 * 10 + 1))
    assert sorted(event.offset for event in shop.published) == list(range(1, 20 * 10 + 1))
    for device in devices:
        found = await shop.pool.fetch(
            """SELECT data->>'event' FROM alert_events WHERE device = $1 ORDER BY "offset" """, device
        )
        assert [record[0] for record in found] == ["firing", "resolved"] * 5


def folded(request: RuleRequest, points: list[tuple[int, float]]) -> tuple[State, list[tuple[str, str, float]]]:
    """The pure machine over the readings, in words."""
    stored = {"id": 1, "revision": 1, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    condition: Condition = ready(Rule.model_validate(request.model_dump() | stored)).condition
    state, told = State(), []
    for second, value in points:
        state, transition = step(condition, state, NOW + second * SECOND, value)
        if transition:
            told.append((transition.event.value, condition.levels[transition.level].severity.value, value))
    return state, told


@pytest.mark.parametrize("seed", range(4))
async def test_at_rest_it_is_the_machine_folded_over_all_readings(shop: Workshop, seed: int) -> None:
    chance = random.Random(seed)
    request = rule_request(for_s=chance.choice([0, 0, 3]), keep_firing_for_s=chance.choice([0, 2]))
    await shop.rule(for_s=request.for_s, keep_firing_for_s=request.keep_firing_for_s)
    value, points = 68.0, []
    for second in range(150):
        value = min(95.0, max(55.0, value + chance.uniform(-8, 8)))
        points.append((second, value))
    left = list(points)
    while left:
        count = chance.randint(1, 6)
        sent, left = left[:count], left[count:]
        await shop.write(*[(T, float(second), each) for second, each in sent], lane=chance.randint(0, 1))
        if chance.random() < 0.2:
            await shop.write(*[(T, float(second), each) for second, each in sent])
    state, told = folded(request, points)
    assert told, "the walk crosses the limits"
    assert [(event, severity, each) for _, event, severity, each in await shop.events()] == told
    found = await shop.pool.fetchrow("SELECT phase, level FROM alert_states")
    assert found is not None
    assert (Phase(found["phase"]), found["level"]) == (state.phase, state.level)
    assert {EventType.FIRING.value, EventType.RESOLVED.value} <= {event for event, _, _ in told}
