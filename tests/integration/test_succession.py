"""Rules that are changed and deleted while they fire for many series; and that there are not too many of them."""

import asyncio
from collections import Counter

import pytest

from alerts import succession
from alerts.catchup import CatchUp
from alerts.rulebook import RuleBook
from schemas.alert_errors import TooManyRules
from schemas.names import matches
from tests.integration.writing import NOW, PLAIN, Workshop, rule_request


async def test_rules_are_bounded_in_number(shop: Workshop) -> None:
    book = RuleBook(shop.pool, lambda: NOW, shop.published.extend, lambda: None, max_rules=3)

    async def create() -> int:
        try:
            return (await book.create(rule_request())).id
        except TooManyRules:
            return 0

    made = await asyncio.gather(*(create() for _ in range(8)))
    assert sum(map(bool, made)) == 3
    assert await book.delete(sorted(made)[-2])
    assert await create() > max(made), "where one was deleted there is room, whatever its id was"
    assert await create() == 0


async def firing(shop: Workshop, count: int) -> int:
    """A rule that fires for so many series."""
    rule_id = await shop.rule(**PLAIN, metric="m*", webhooks=["https://example.org/hook"])
    await shop.write(*[(f"m{number}", 0, 71) for number in range(count)])
    return rule_id


@pytest.mark.parametrize("becomes", ["another", "nothing"])
async def test_a_rule_that_fires_for_very_many_ends_in_pieces(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    monkeypatch.setattr(succession, "AT_ONCE", 10)
    rule_id = await firing(shop, 35)
    sizes = Counter[str]()
    if becomes == "nothing":
        assert await shop.rulebook.delete(rule_id)
        assert await shop.rulebook.get(rule_id) is None
    else:
        changed = await shop.rulebook.replace(rule_id, rule_request(**PLAIN, metric="m*", name="other"))
        assert changed is not None
        assert (changed.name, changed.revision) == ("other", 3)
    assert await shop.told() == ["firing warning"] * 35 + ["resolved warning"] * 35
    assert await shop.pool.fetchval("SELECT count(*) FROM alert_states") == 0
    assert await shop.pool.fetchval("SELECT count(*) FROM webhook_deliveries") == 70
    for found in await shop.pool.fetch('SELECT xmin::text AS written FROM alert_events WHERE "offset" > 35'):
        sizes[found["written"]] += 1
    assert sorted(sizes.values()) == [5, 10, 10, 10]
    await shop.loader.refresh()
    await shop.write(("m0", 1, 71))
    assert (await shop.told())[70:] == (["firing warning"] if becomes == "another" else [])


@pytest.mark.parametrize("becomes", ["another", "nothing"])
async def test_a_change_whose_worker_died_is_finished_by_the_elected_one(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    monkeypatch.setattr(succession, "AT_ONCE", 10)
    rule_id = await firing(shop, 35)
    request = rule_request(**PLAIN, metric="m*", name="other")

    async def die(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(succession.Succession, "_finish", die)
        with pytest.raises(ConnectionResetError):
            await (shop.rulebook.delete(rule_id) if becomes == "nothing" else shop.rulebook.replace(rule_id, request))
    assert await shop.pool.fetchval("SELECT count(*) FROM alert_states") == 25
    shown = [rule.name for rule in await shop.rulebook.all()]
    assert shown == (["other"] if becomes == "another" else []), "as it shall be"
    if becomes == "nothing":
        assert not await shop.rulebook.delete(rule_id)
        assert await shop.rulebook.replace(rule_id, request) is None
    # Meanwhile it watches nothing, by whoever knew it and by whoever loads rules now.
    await shop.write(("m34", 1, 85))
    await shop.loader.refresh()
    await shop.write(("m34", 2, 85), ("m35", 2, 85))
    await CatchUp(shop.pool, shop.published.extend).step()
    assert len(await shop.told()) == 45
    await shop.rulebook.tick()
    assert await shop.told() == ["firing warning"] * 35 + ["resolved warning"] * 35
    assert [event.offset for event in shop.published] == list(range(1, 71))
    await shop.loader.refresh()
    await shop.write(("m34", 3, 85))
    assert (await shop.told())[70:] == (["firing warning"] if becomes == "another" else [])
    assert await shop.pool.fetchval("SELECT count(*) FROM rules WHERE ending") == 0


@pytest.mark.parametrize("becomes", ["another", "nothing"])
async def test_what_flaps_while_its_rule_ends_is_told_as_it_ended(shop: Workshop, becomes: str) -> None:
    rule_id = await shop.rule(**PLAIN, metric="m*", webhooks=["https://example.org/hook"])
    for second in range(13):
        high, low = (71, 10) if second % 2 == 0 else (10, 71)
        await shop.write(("m-fires", second, high), ("m-rests", second, low))
    before = len(await shop.events())
    assert await shop.pool.fetchval("SELECT count(*) FROM alert_states WHERE flapping") == 2
    if becomes == "nothing":
        assert await shop.rulebook.delete(rule_id)
    else:
        assert await shop.rulebook.replace(rule_id, rule_request(**PLAIN, metric="m*", name="other"))
    found = await shop.pool.fetch(
        """SELECT data->'alert'->>'metric' AS metric, data->>'event' AS event, data->'alert'->>'state' AS state,
                  data->'alert'->>'resolved_at' IS NOT NULL AS over
           FROM alert_events WHERE "offset" > $1 ORDER BY "offset" """,
        before,
    )
    assert sorted(map(tuple, found)) == [
        ("m-fires", "flapping_stopped", "resolved", True),
        ("m-fires", "resolved", "resolved", True),
        ("m-rests", "flapping_stopped", "resolved", True),
    ]
    assert found[0]["event"] == "resolved", "an alert ends before its mark does"
    assert await shop.pool.fetchval("SELECT count(*) FROM alerts WHERE state = 'firing'") == 0


async def test_rules_of_a_device_are_those_whose_glob_covers_it(shop: Workshop) -> None:
    """By the same rule as the engine's, although it is PostgreSQL that looks."""
    globs = [
        r"pump-7",
        r"pump-*",
        r"*",
        r"pump-?",
        r"PUMP-7",
        r"pump_7",
        r"pump%",
        r"pump\*",
        r"a\b*",
        r"a_b?",
        r"a%b*",
        r"?",
        r"a.b*",
    ]
    for glob in globs:
        await shop.rulebook.create(rule_request(device=glob))
    for device in [
        r"pump-7",
        r"pump-77",
        r"pumpX7",
        r"pump_7",
        r"pump%",
        r"pump\x",
        r"a\bc",
        r"a_bc",
        r"axbc",
        r"a%b",
        r"a.b",
        r"é",
    ]:
        found = [rule.device for rule in await shop.rulebook.all(device)]
        assert found == [glob for glob in globs if matches(glob, device)], device
