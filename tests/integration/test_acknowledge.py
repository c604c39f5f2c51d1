"""Acknowledging on a real database: once, in somebody's name, and nothing else changes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from alerts.acknowledge import Acknowledge
from alerts.routes.listing import AlertFilter, list_alerts
from schemas.alert_errors import AlertResolved
from schemas.errors import Forbidden, NotFound
from schemas.keys import Principal, Scope
from schemas.times import to_datetime, to_text
from tests.integration.writing import NOW, SECOND, Workshop, workshop

T = "temperature"
OPS = Principal("k1", "ops", frozenset({Scope.ADMIN}))
AT = NOW + 60 * SECOND


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own, with a rule."""
    async with workshop(database) as shop:
        await shop.rule()
        yield shop


@pytest.fixture
def acknowledge(shop: Workshop) -> Acknowledge:
    """As the route calls it."""
    return Acknowledge(shop.pool, lambda: AT, shop.published.extend)


async def the_alert(shop: Workshop) -> int:
    """The id of the only alert."""
    alert_id: int = await shop.pool.fetchval("SELECT id FROM alerts")
    return alert_id


async def test_it_is_recorded_told_and_shown(shop: Workshop, acknowledge: Acknowledge) -> None:
    await shop.write((T, 0, 71))
    shown = await acknowledge(await the_alert(shop), "on my way", OPS)
    assert shown["acknowledged_at"] == to_text(to_datetime(AT))
    assert (shown["acknowledged_by"], shown["acknowledged_comment"], shown["state"]) == ("ops", "on my way", "firing")
    event = shop.published[1]
    assert (event.offset, event.device) == (2, "pump-1")
    assert event.data == {
        "event": "acknowledged",
        "at": shown["acknowledged_at"],
        "alert": {name: value for name, value in shown.items() if name != "acknowledged_comment"},
        "comment": "on my way",
    }
    stored = await shop.pool.fetchval('SELECT data FROM alert_events WHERE "offset" = 2')
    assert "on my way" in stored
    (listed,) = (await list_alerts(shop.pool, AlertFilter(), None, 10))["items"]
    assert listed == shown | {"silenced": False}


async def test_twice_is_once(shop: Workshop, acknowledge: Acknowledge) -> None:
    await shop.write((T, 0, 71))
    alert_id = await the_alert(shop)
    other = Principal("k2", "night shift", frozenset({Scope.ADMIN}))
    first, *more = await asyncio.gather(*(acknowledge(alert_id, "mine", by) for by in (OPS, other, OPS, other)))
    assert all(shown == first for shown in more)
    assert [event for _, event, *_ in await shop.events()] == ["firing", "acknowledged"]
    await shop.write((T, 1, 60))
    again = await acknowledge(alert_id, "mine", OPS)  # the answer to the first may have been lost
    assert (again["state"], again["acknowledged_by"]) == ("resolved", first["acknowledged_by"])
    assert [event for _, event, *_ in await shop.events()] == ["firing", "acknowledged", "resolved"]


async def test_the_machine_goes_on_as_ever(shop: Workshop, acknowledge: Acknowledge) -> None:
    await shop.write((T, 0, 71))
    await acknowledge(await the_alert(shop), "", OPS)
    for second, value in enumerate([85, 74, 60, 71], 1):
        await shop.write((T, second, value))
    assert await shop.told() == [
        "firing warning", "acknowledged warning", "escalated critical", "deescalated warning", "resolved warning",
        "firing warning",
    ]  # fmt: skip
    by = [event.data["alert"]["acknowledged_by"] for event in shop.published]
    assert by == [None, "ops", "ops", "ops", "ops", None]
    assert await shop.pool.fetchval("SELECT acknowledged_by FROM alerts ORDER BY id LIMIT 1") == "ops"


async def test_what_cannot_be_acknowledged(shop: Workshop, acknowledge: Acknowledge) -> None:
    await shop.write((T, 0, 71))
    alert_id = await the_alert(shop)
    with pytest.raises(NotFound):
        await acknowledge(alert_id + 1, "", OPS)
    bound = Principal("k3", "fans", frozenset({Scope.ADMIN}), "fan-*")
    with pytest.raises(Forbidden):
        await acknowledge(alert_id, "", bound)
    await shop.write((T, 1, 60))
    with pytest.raises(AlertResolved):
        await acknowledge(alert_id, "", OPS)
    assert await shop.told() == ["firing warning", "resolved warning"]
    own = Principal("k4", "pumps", frozenset({Scope.ADMIN}), "pump-*")
    await shop.write((T, 2, 71))
    assert (await acknowledge(alert_id + 1, "", own))["acknowledged_by"] == "pumps"


async def test_a_race_with_the_end_has_one_order(shop: Workshop, acknowledge: Acknowledge) -> None:
    for round_ in range(20):
        await shop.write((T, 2 * round_, 71))
        alert_id = await shop.pool.fetchval("SELECT max(id) FROM alerts")
        await asyncio.gather(
            shop.write((T, 2 * round_ + 1, 60), lane=1),
            acknowledge(alert_id, "", OPS),
            return_exceptions=True,
        )
        events = [
            record["event"]
            for record in await shop.pool.fetch(
                """SELECT data->>'event' AS event FROM alert_events WHERE alert_id = $1 ORDER BY "offset" """, alert_id
            )
            if not record["event"].startswith("flapping")
        ]
        assert events in (["firing", "acknowledged", "resolved"], ["firing", "resolved"])
        by = await shop.pool.fetchval("SELECT acknowledged_by FROM alerts WHERE id = $1", alert_id)
        assert (by is not None) is ("acknowledged" in events)
