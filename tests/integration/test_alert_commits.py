"""Alerts are recorded once, with their readings, numbered without gaps; at rest they are the machine's."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from alerts.machine import Condition, Phase, State, step
from alerts.matching import ready
from schemas.columns import Int64s, Receipt, Rows
from schemas.events import EventType
from schemas.rules import Rule, RuleRequest
from tests.integration.writing import NOW, PLAIN, SECOND, T, Workshop, rule_request, until_locked


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
        await until_locked(shop.pool)  # it has read the alert, and waits for its row
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
