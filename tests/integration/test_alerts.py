"""Alerts on a real database: what each condition and each duration makes of a series' readings."""

from tests.integration.writing import PLAIN, T, Workshop, rule_request, workshop


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
