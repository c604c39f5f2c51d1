"""Silences on a real database: what begins and ends is told once, and only paging is held."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from alerts import silences as module
from alerts.routes.listing import AlertFilter, list_alerts, list_silences
from alerts.silences import MAX_DURATION, Silences
from schemas.alert_errors import TooManySilences
from schemas.errors import Invalid, NotFound
from schemas.silences import SilenceRequest
from tests.integration.writing import Workshop, until_locked

T = "temperature"


@pytest.fixture
def silences(shop: Workshop) -> Silences:
    """The silences of that database."""
    return Silences(shop.pool, shop.published.extend)


def wanted(**changes: Any) -> SilenceRequest:
    """A silence of everything for an hour."""
    return SilenceRequest.model_validate({"until": after(timedelta(hours=1))} | changes)


def after(delay: timedelta) -> str:
    """The time it will be then."""
    return (datetime.now(UTC) + delay).isoformat()


async def told(shop: Workshop, skip: int = 0) -> list[tuple[str, str]]:
    """Event and device of everything recorded after so many; offsets have no gaps, and all is published."""
    found = await shop.pool.fetch(
        """SELECT "offset", device, data->>'event' AS event FROM alert_events ORDER BY "offset" """
    )
    assert [record["offset"] for record in found] == list(range(1, len(found) + 1))
    assert [event.offset for event in shop.published] == [record["offset"] for record in found]
    return [(record["event"], record["device"]) for record in found[skip:]]


async def silenced(shop: Workshop) -> dict[str, bool]:
    """What the list of alerts says, by device."""
    listed = await list_alerts(shop.pool, AlertFilter(), None, 100)
    return {item["device"]: item["silenced"] for item in listed["items"]}


async def expire(shop: Workshop) -> None:
    """Let every silence's time be over."""
    await shop.pool.execute("UPDATE silences SET until = now() - interval '1 second' WHERE ended_at IS NULL")


async def test_its_beginning_is_told_for_what_fires_and_it_covers(shop: Workshop, silences: Silences) -> None:
    await shop.rule()
    for device in ("a_1", "ab1", "a%1", "pump", r"a\1", "a_x"):
        await shop.write((T, 0, 71), device=device)
    await shop.write((T, 1, 60), device="a_x")
    made = await silences.create(wanted(device="a_*", comment="belt", metric="temp*"), "ops")
    assert (made["device"], made["comment"], made["created_by"], made["state"]) == ("a_*", "belt", "ops", "active")
    assert await told(shop, 7) == [("silenced", "a_1")]
    (event,) = shop.published[7:]
    assert event.data["silence"] == made["id"]
    assert event.data["alert"]["state"] == "firing"
    assert await silenced(shop) == {
        "a_1": True, "ab1": False, "a%1": False, "pump": False, r"a\1": False, "a_x": False,
    }  # fmt: skip
    await silences.create(wanted(device="a?1"), "ops")
    assert sorted(device for _, device in await told(shop, 8)) == sorted(["a_1", "ab1", "a%1", r"a\1"])


async def test_it_may_be_about_one_metric_or_one_rule(shop: Workshop, silences: Silences) -> None:
    rule_id = await shop.rule()
    await shop.rule(name="other")
    await shop.rule(name="humid", metric="humidity")
    await shop.write((T, 0, 71), ("humidity", 0, 71))
    await silences.create(wanted(metric="humidity"), "ops")
    await silences.create(wanted(rule=rule_id), "ops")
    alerts = [event.data["alert"] for event in shop.published if event.data["event"] == "silenced"]
    assert [(alert["metric"], alert["rule"]["name"]) for alert in alerts] == [("humidity", "humid"), (T, "hot")]
    listed = await list_alerts(shop.pool, AlertFilter(), None, 100)
    assert {item["rule"]["name"] for item in listed["items"] if item["silenced"]} == {"hot", "humid"}


async def test_alerts_that_begin_under_it_are_told_as_ever(shop: Workshop, silences: Silences) -> None:
    await shop.rule()
    await silences.create(wanted(), "ops")
    for second, value in enumerate([71, 85, 60]):
        await shop.write((T, second, value))
    assert [event for event, _ in await told(shop)] == ["firing", "escalated", "resolved"]
    await shop.write((T, 9, 71), device="b")
    assert await silenced(shop) == {"pump-1": False, "b": True}


async def test_its_end_by_time_is_told_once_for_what_still_fires(shop: Workshop, silences: Silences) -> None:
    await shop.rule()
    for device in ("a", "b"):
        await shop.write((T, 0, 71), device=device)
    await silences.create(wanted(), "ops")
    await shop.write((T, 1, 60), device="a")
    await shop.write((T, 1, 71), device="late")
    await silences.tick()
    assert await told(shop, 2) == [("silenced", "a"), ("silenced", "b"), ("resolved", "a"), ("firing", "late")]
    await expire(shop)
    assert not any((await silenced(shop)).values())
    for _ in range(3):
        await silences.tick()
    assert await told(shop, 6) == [("unsilenced", "b"), ("unsilenced", "late")]
    assert await list_silences(shop.pool, "active", None, 10) == {"items": [], "next": None}


async def test_ending_it_is_told_at_once_unless_another_covers(shop: Workshop, silences: Silences) -> None:
    await shop.rule()
    for device in ("a", "b"):
        await shop.write((T, 0, 71), device=device)
    first = await silences.create(wanted(), "ops")
    second = await silences.create(wanted(device="a"), "ops")
    await silences.end(first["id"])
    assert await told(shop, 5) == [("unsilenced", "b")]
    await silences.end(first["id"])
    await silences.tick()
    assert len(await told(shop)) == 6
    await silences.end(second["id"])
    assert await told(shop, 6) == [("unsilenced", "a")]
    with pytest.raises(NotFound):
        await silences.end(99)


@pytest.mark.parametrize("together", ["by time", "by hand"])
async def test_two_that_end_together_tell_once(shop: Workshop, silences: Silences, together: str) -> None:
    await shop.rule()
    await shop.write((T, 0, 71))
    ids = [(await silences.create(wanted(), "ops"))["id"] for _ in range(2)]
    if together == "by time":
        await expire(shop)
        await asyncio.gather(silences.tick(), silences.tick())
    else:
        await asyncio.gather(*map(silences.end, ids))
        await silences.tick()
    assert [event for event, _ in await told(shop, 3)] == ["unsilenced"]


async def test_many_are_told_page_by_page_and_a_crash_loses_no_page(
    shop: Workshop, silences: Silences, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    monkeypatch.setattr(module, "MAX_PAGES", 2)
    await shop.rule()
    for number in range(9):
        await shop.write((T, 0, 71), device=f"p{number}")
    made = await silences.create(wanted(), "ops")
    assert len(await told(shop, 9)) == 2  # and here the process ends
    later = Silences(shop.pool, shop.published.extend)
    await later.tick()
    assert len(await told(shop, 9)) == 6
    await later.tick()
    await later.tick()
    assert await told(shop, 9) == [("silenced", f"p{number}") for number in range(9)]
    await later.end(made["id"])
    for _ in range(4):
        await later.tick()
    assert await told(shop, 18) == [("unsilenced", f"p{number}") for number in range(9)]


async def test_one_that_ends_before_its_beginning_was_told_ends_for_all(
    shop: Workshop, silences: Silences, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    await shop.rule()
    for number in range(5):
        await shop.write((T, 0, 71), device=f"p{number}")
    await silences.create(wanted(), "ops")
    await expire(shop)
    await silences.tick()
    events = [event for event, _ in await told(shop, 5)]
    assert events == ["silenced"] * 2 + ["unsilenced"] * 5


async def test_what_resolves_at_the_same_moment_is_not_told_of(shop: Workshop, silences: Silences) -> None:
    await shop.rule()
    await shop.write((T, 0, 71))
    async with shop.pool.acquire() as other, other.transaction():
        await other.execute("UPDATE alerts SET state = 'resolved'")
        making = asyncio.create_task(silences.create(wanted(), "ops"))
        await until_locked(shop.pool)
        assert not making.done()
    await making
    assert await told(shop) == [("firing", "pump-1")]


@pytest.mark.parametrize("delay", [timedelta(seconds=-1), MAX_DURATION + timedelta(minutes=1)])
async def test_an_end_out_of_range_is_refused(shop: Workshop, silences: Silences, delay: timedelta) -> None:
    with pytest.raises(Invalid) as caught:
        await silences.create(wanted(until=after(delay)), "ops")
    assert caught.value.faults[0].loc == ("body", "until")
    assert await list_silences(shop.pool, None, None, 10) == {"items": [], "next": None}


async def test_an_unknown_rule_and_one_too_many_are_refused(
    shop: Workshop, silences: Silences, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Invalid):
        await silences.create(wanted(rule=7), "ops")
    monkeypatch.setattr(module, "MAX_IN_FORCE", 1)
    await silences.create(wanted(), "ops")
    with pytest.raises(TooManySilences):
        await silences.create(wanted(), "ops")


@pytest.mark.parametrize(
    "wrong",
    [
        {"until": "2030-01-01T00:00:00"},
        {"until": "2030-01-01"},
        {"until": "1900000000"},
        {"until": 1_900_000_000},
        {"until": 1_900_000_000_000.0},
        {"until": True},
        {"until": None},
        {"until": "9999-12-31T23:59:59-23:59"},
        {"device": ""},
        {"device": " *"},
        {"metric": "a\0"},
        {"rule": "1"},
        {"rule": True},
        {"rule": 0},
        {"rule": 2**31},
        {"comment": "x" * 1_001},
        {"comment": "\ud800"},
        {"comment": None},
        {"more": 1},
    ],
)
def test_a_body_is_read_strictly(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        wanted(**wrong)


def test_an_end_is_text_with_an_offset_or_milliseconds() -> None:
    moment = datetime(2030, 1, 1, 12, 30, 0, 123_000, UTC)
    for until in ("2030-01-01T12:30:00.123Z", "2030-01-01T14:30:00.123+02:00", 1_893_501_000_123):
        assert SilenceRequest.model_validate({"until": until}).until == moment


async def test_one_that_ended_a_month_ago_is_deleted(shop: Workshop, silences: Silences) -> None:
    for _ in range(3):
        await silences.create(wanted(), "test")
    await shop.pool.execute(
        "UPDATE silences SET ended_at = now() - interval '1 day' * (ARRAY[29, 31])[id] WHERE id < 3"
    )
    await silences.tick()
    assert [found["id"] for found in await shop.pool.fetch("SELECT id FROM silences ORDER BY id")] == [1, 3]
