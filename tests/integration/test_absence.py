"""Absence: silence by arrival, told once, ended by the next live batch; never by an outage, a restart or backfill."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from alerts.absence import AT_ONCE, DEAF_S, REGISTRY_LAG_S, Absence
from ingest.registry import Registry
from tests.integration.writing import NOW, SECOND, Workshop, workshop

AFTER_S = 60
LIMIT_S = AFTER_S + REGISTRY_LAG_S


class Watch:
    """An absence evaluator with a clock of the test's, and the registry that hears devices."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.now_s = 0.0
        self.registry = Registry(shop.pool)
        self.absence = Absence(shop.pool, lambda: NOW + round(self.now_s * SECOND), shop.published.extend)

    async def hear(self, *devices: str, live: bool = True) -> None:
        """Batches of devices arrive now."""
        for device in devices:
            self.registry.heard(device, NOW + round(self.now_s * SECOND), live=live)
        await self.registry.write()

    async def pass_to(self, until_s: float) -> None:
        """Judge every three seconds, as the elected worker does more often."""
        while self.now_s < until_s:
            self.now_s = min(until_s, self.now_s + 3)
            await self.absence.judge()


@pytest.fixture
async def watch(database: str) -> AsyncIterator[Watch]:
    """At second 0 two devices were just heard."""
    async with workshop(database) as shop:
        await shop.batch(("temperature", 0, 1.0), ("running", 0, 1.0), device="pump-1")
        await shop.batch(("temperature", 0, 1.0), device="pump-2")
        await shop.pool.execute("UPDATE devices SET first_seen = to_timestamp($1)", NOW / SECOND)
        watch = Watch(shop)
        await watch.hear("pump-1", "pump-2")
        await watch.absence.judge()
        yield watch


async def absent(shop: Workshop, **changes: Any) -> int:
    """A rule about silence."""
    condition = {"type": "absent", "after_s": AFTER_S, "severity": "critical"} | changes
    return await shop.rule(name="silent", metric="*", device="pump-*", condition=condition)


async def test_silence_is_told_once_and_ends_with_the_next_live_batch(watch: Watch) -> None:
    shop = watch.shop
    await absent(shop)
    await watch.pass_to(40)
    await watch.hear("pump-2")
    await watch.pass_to(LIMIT_S)
    assert await shop.told() == [], "not yet: arrivals are written down with a delay"
    await watch.pass_to(90)
    assert await shop.told() == ["firing critical"]
    (alert,) = await shop.pool.fetch("SELECT device, value, threshold, fired_at - started_at AS silence FROM alerts")
    assert (alert["device"], alert["threshold"]) == ("pump-1", AFTER_S)
    assert LIMIT_S < alert["value"] == alert["silence"].total_seconds() <= LIMIT_S + 5
    await watch.hear("pump-1", "pump-2", live=False)
    await watch.pass_to(95)
    assert await shop.told() == ["firing critical"], "backfill does not revive"
    await watch.hear("pump-1", "pump-2")
    await watch.pass_to(100)
    assert await shop.told() == ["firing critical", "resolved critical"]
    assert [event.offset for event in shop.published] == [1, 2]
    await watch.pass_to(100 + LIMIT_S + 5)
    assert (await shop.told())[2:] == ["firing critical"] * 2


async def test_an_outage_and_a_restart_are_nobodys_silence(watch: Watch) -> None:
    await absent(watch.shop)
    await watch.pass_to(30)
    watch.now_s += 10 * AFTER_S  # nobody judged, so nobody listened
    await watch.absence.judge()
    back = watch.now_s
    await watch.pass_to(back + LIMIT_S)
    assert await watch.shop.told() == [], "a flood after a restart"
    await watch.pass_to(back + LIMIT_S + 5)
    assert await watch.shop.told() == ["firing critical"] * 2, "never seen again is noticed"


async def test_a_new_evaluator_goes_on_where_the_last_one_was(watch: Watch) -> None:
    await absent(watch.shop)
    await watch.pass_to(LIMIT_S - 2)
    successor = Watch(watch.shop)
    successor.now_s = watch.now_s + DEAF_S - 1
    await successor.absence.judge()
    assert await watch.shop.told() == ["firing critical"] * 2


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("alert", ["firing warning", "firing critical"]),
        ("keep", ["firing warning", "firing critical"]),
        ("resolve", ["firing warning", "resolved warning", "firing critical"]),
    ],
)
async def test_the_policy_for_other_alerts(watch: Watch, policy: str, told: list[str]) -> None:
    shop = watch.shop
    await shop.rule(device="pump-1")
    await shop.write(("temperature", 1, 75), device="pump-1")
    await absent(shop, policy=policy)
    await watch.hear("pump-2")
    await watch.pass_to(50)
    await watch.hear("pump-2")
    await watch.pass_to(LIMIT_S + 5)
    assert await shop.told() == told
    await shop.write(("temperature", 100, 76), device="pump-1")
    fires_again = ["firing warning"] if policy == "resolve" else []
    assert await shop.told() == told + fires_again, "a silent device's alert begins anew only where it was resolved"


async def test_a_rule_that_goes_ends_its_alerts_and_one_that_is_disabled_raises_none(watch: Watch) -> None:
    rule_id = await absent(watch.shop)
    await watch.shop.rule(name="off", metric="*", enabled=False, condition={
        "type": "absent", "after_s": 1, "severity": "info"})  # fmt: skip
    await watch.pass_to(LIMIT_S + 5)
    assert await watch.shop.told() == ["firing critical"] * 2
    await watch.shop.rulebook.delete(rule_id)
    assert (await watch.shop.told())[2:] == ["resolved critical"] * 2
    await watch.pass_to(LIMIT_S + 15)
    assert len(await watch.shop.told()) == 4


async def test_a_whole_site_goes_dark_in_transactions_of_bounded_size(watch: Watch) -> None:
    count = AT_ONCE + 50
    await watch.shop.pool.execute(
        "INSERT INTO devices (name, live_at) SELECT 'pump-x' || n, to_timestamp($2) FROM generate_series(1, $1::int) n",
        count, NOW / SECOND,
    )  # fmt: skip
    make_series = "INSERT INTO series (device, metric) SELECT name, 'm' FROM devices WHERE name ^@ 'pump-x'"
    await watch.shop.pool.execute(make_series)
    await absent(watch.shop)
    await watch.pass_to(LIMIT_S + 5)
    assert await watch.shop.told() == ["firing critical"] * (count + 2)
    sizes = await watch.shop.pool.fetch("SELECT count(*) AS n FROM alert_events GROUP BY created_at")
    assert sorted(record["n"] for record in sizes) == [52, AT_ONCE]


async def test_two_rules_over_one_device_do_not_end_each_other(watch: Watch) -> None:
    await absent(watch.shop, policy="resolve")
    await absent(watch.shop, policy="resolve", severity="warning")
    await watch.hear("pump-2")
    await watch.pass_to(LIMIT_S + 30)
    assert sorted(await watch.shop.told()) == ["firing critical"] * 2 + ["firing warning"] * 2


async def test_what_only_ever_sent_backfill_was_never_live(watch: Watch) -> None:
    await absent(watch.shop)
    await watch.shop.batch(("temperature", 0, 1.0), device="pump-3")
    await watch.hear("pump-3", live=False)
    for _ in range(8):
        await watch.hear("pump-1", "pump-2")
        await watch.pass_to(watch.now_s + 15)
    assert await watch.shop.told() == []


async def test_a_clock_that_is_set_back_hides_nobody(watch: Watch) -> None:
    await absent(watch.shop)
    watch.now_s -= 3_600
    await watch.absence.judge()
    began = watch.now_s
    await watch.pass_to(began + LIMIT_S)
    assert await watch.shop.told() == []
    await watch.pass_to(began + LIMIT_S + 6)
    assert await watch.shop.told() == ["firing critical"] * 2, "heard in the future was heard when it was set back"


async def test_a_rule_of_a_newer_version_stops_nobody(watch: Watch) -> None:
    document = {"name": "new", "condition": {"type": "absent", "after_s": 5, "severity": "mauve"}}
    await watch.shop.pool.execute("INSERT INTO rules (document) VALUES ($1)", json.dumps(document))
    await absent(watch.shop)
    await watch.pass_to(LIMIT_S + 6)
    assert await watch.shop.told() == ["firing critical"] * 2
    assert len(await watch.shop.rulebook.all()) == 1


async def test_two_evaluators_at_once_resolve_an_alert_once(watch: Watch) -> None:
    await absent(watch.shop)
    await watch.pass_to(LIMIT_S + 6)
    other = Watch(watch.shop)
    other.now_s = watch.now_s
    await watch.hear("pump-1", "pump-2")
    await asyncio.gather(*(each.absence.judge() for each in (watch, other) * 3))
    assert (await watch.shop.told())[2:] == ["resolved critical"] * 2
