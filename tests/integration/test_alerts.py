"""Alerts on a real database: stepped with their readings, recorded once, numbered without gaps."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from alerts.machine import Condition, Phase, State, step
from alerts.matching import ready
from schemas.columns import Int64s, Receipt, Rows
from schemas.conditions import Level, Severity
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


async def test_what_is_pending_on_one_worker_is_stepped_by_every_other(shop: Workshop, database: str) -> None:
    await shop.rule(**PLAIN, for_s=5)
    async with workshop(database) as other:
        await other.loader.refresh()
        await shop.write((T, 0, 71))
        await other.write((T, 2, 60))  # ends the waiting, of which the other has heard nothing
        await shop.write((T, 5, 71))
        assert await shop.told() == []
        await other.write((T, 10, 71))
        await shop.write((T, 11, 60))
        assert await shop.told() == ["firing warning", "resolved warning"]
        assert [event.offset for event in other.published] == [1]


async def test_a_series_is_hot_for_as_long_as_some_rule_is_active(shop: Workshop) -> None:
    hot = "SELECT hot FROM newest"
    await shop.rule(**PLAIN, for_s=5)
    rule_id = await shop.rule(name="other", **PLAIN)
    await shop.write((T, 0, 71))
    assert await shop.pool.fetchval(hot)
    await shop.rulebook.delete(rule_id)
    await shop.loader.refresh()
    await shop.write((T, 1, 71))
    assert await shop.pool.fetchval(hot), "still pending"
    await shop.write((T, 2, 10))
    assert not await shop.pool.fetchval(hot)


async def test_a_range(shop: Workshop) -> None:
    await shop.rule(condition={"type": "range", "outside": [10, 20], "severity": "critical"})
    for second, value in enumerate([10, 20, 20.5, 9, 10]):
        await shop.write((T, second, value))
    assert await shop.told() == ["firing critical", "resolved critical"]
    assert [value for *_, value in await shop.events()] == [20.5, 10]


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


async def test_flapping_begins_and_ends_with_an_event_and_changes_nothing_else(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    for second in range(0, 12):
        await shop.write((T, second, 71 if second % 2 == 0 else 10))
    told = await shop.told()
    assert told.count("flapping_started warning") == 1
    assert told.count("firing warning") == told.count("resolved warning") == 6
    assert await shop.pool.fetchval("SELECT flapping FROM alert_states")
    await shop.write(*[(T, float(second), 10.0) for second in range(12, 40)])
    assert (await shop.told())[-1] == "flapping_stopped warning"
    assert not await shop.pool.fetchval("SELECT hot FROM newest"), "at rest nothing has to be stepped"


async def test_quiet_readings_between_alerts_are_evaluations_too(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    for number in range(12):
        at = float(number * 20)
        await shop.write((T, at, 71))
        await shop.write((T, at + 1, 10))
        await shop.write(*[(T, at + 2 + place, 10.0) for place in range(18)])  # screened, and never stepped
    told = await shop.told()
    assert told == ["firing warning", "resolved warning"] * 12


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

    def screen(self, rows: Rows, hot: Sequence[int]) -> Int64s | None:
        """As the engine does."""
        return self._engine.screen(rows, hot)

    async def step(self, connection: asyncpg.pool.PoolConnectionProxy, rows: Rows, places: Int64s) -> Any:
        """Write events, then fail."""
        outcome = await self._engine.step(connection, rows, places)
        assert outcome
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
    assert [offset for offset, *_ in await shop.events()] == list(range(1, 20 * 11 + 1)), "and each begins to flap"
    assert sorted(event.offset for event in shop.published) == list(range(1, 20 * 11 + 1))
    for device in devices:
        found = await shop.pool.fetch(
            """SELECT data->>'event' FROM alert_events WHERE device = $1 ORDER BY "offset" """, device
        )
        told = [record[0] for record in found]
        assert [event for event in told if event != "flapping_started"] == ["firing", "resolved"] * 5
        assert told.index("flapping_started") > 8


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


async def test_an_event_knows_of_an_acknowledgement_of_a_moment_ago(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    await shop.write((T, 0, 71))
    async with shop.pool.acquire() as other, other.transaction():
        await other.execute("UPDATE alerts SET acknowledged_at = now(), acknowledged_by = 'anna'")
        writing = asyncio.create_task(shop.write((T, 1, 10)))
        await asyncio.sleep(0.2)  # it has read the alert, and waits for its row
    await writing
    by = "SELECT data->'alert'->>'acknowledged_by' FROM alert_events ORDER BY \"offset\" DESC LIMIT 1"
    assert await shop.pool.fetchval(by) == "anna"


async def test_flapping_is_not_delivered(shop: Workshop) -> None:
    await shop.rule(**PLAIN, webhooks=["http://127.0.0.1:9/hook"])
    for second in range(12):
        await shop.write((T, second, 71 if second % 2 == 0 else 10))
    assert len(await shop.events()) == 13
    assert await shop.pool.fetchval("SELECT count(*) FROM webhook_deliveries") == 12


async def test_whatever_a_stored_rule_holds_keeps_no_readings_out(shop: Workshop) -> None:
    await shop.rule(**PLAIN)
    twice = '["http://127.0.0.1:9/hook", "http://127.0.0.1:9/hook"]'
    await shop.pool.execute("UPDATE rules SET document = jsonb_set(document, '{webhooks}', $1::jsonb)", twice)
    await shop.pool.execute("UPDATE rules_version SET version = version + 1")
    await shop.loader.refresh()
    assert await shop.write((T, 0, 71)) == Receipt(1, 0)
    assert await shop.pool.fetchval("SELECT count(*) FROM webhook_deliveries") == 1


async def test_a_rate_between_the_largest_values_is_finite(shop: Workshop) -> None:
    await shop.rule(condition=RATE)
    most = 1.7e308
    assert await shop.write((T, 0, -most), (T, 1, most), (T, 2, -most)) == Receipt(3, 0)
    assert await shop.told() == ["firing warning", "resolved warning"]
