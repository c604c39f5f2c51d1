"""Deliveries as people see them: listed, brought back, deleted when they are old, counted."""

import pytest

from alerts.routes.listing import list_deliveries, retry_delivery
from alerts.webhooks import webhooks
from schemas.alert_errors import DeliveryNotDead, DeliveryOvertaken
from schemas.errors import NotFound
from tests.integration.receiver import Receiver
from tests.integration.sending import Senders, silence, states, turn, until_rest, write
from tests.integration.writing import Workshop


async def test_a_dead_one_is_brought_back(shop: Workshop, receiver: Receiver, sender: Senders) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71)
    receiver.answers = [400]
    webhooks = sender()
    await until_rest(shop, webhooks)
    (dead,) = (await list_deliveries(shop.pool, "dead", None, 10))["items"]
    assert (dead["offset"], dead["last_error"], dead["next_at"]) == (1, "HTTP 400", None)
    back = await retry_delivery(shop.pool, dead["id"])
    assert (back["state"], back["attempts"]) == ("waiting", 0)
    with pytest.raises(DeliveryNotDead):
        await retry_delivery(shop.pool, dead["id"])
    with pytest.raises(NotFound):
        await retry_delivery(shop.pool, dead["id"] + 1)
    await until_rest(shop, webhooks)
    assert receiver.events == [1, 1]
    assert await states(shop) == [(1, "delivered", False)]


async def test_deliveries_are_listed_page_by_page(shop: Workshop) -> None:
    await shop.rule(webhooks=["http://127.0.0.1:9/"])
    for number in range(5):
        await write(shop, 71, device=f"p{number}")
    first = await list_deliveries(shop.pool, "waiting", None, 3)
    second = await list_deliveries(shop.pool, None, first["items"][-1]["id"], 3)
    assert [item["offset"] for item in first["items"] + second["items"]] == [5, 4, 3, 2, 1]
    assert first["next"]
    assert second["next"] is None
    assert (await list_deliveries(shop.pool, "dead", None, 3))["items"] == []


async def test_what_is_long_done_is_deleted(
    shop: Workshop, receiver: Receiver, sender: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "KEEP_HOUSE_S", 0)
    await shop.rule(webhooks=[receiver.url()])
    for number in range(5):
        await write(shop, 71, device=f"p{number}")
    receiver.answers = [200, 200, 200, 400, 400]
    sends = sender()
    await until_rest(shop, sends)
    await shop.pool.execute(
        """UPDATE webhook_deliveries SET done_at = now() - interval '1 day' * (ARRAY[6, 8, 8, 8, 31])["offset"]"""
    )
    await turn(sends)
    assert [offset for offset, *_ in await states(shop)] == [1, 4]


async def test_what_happens_is_counted(
    shop: Workshop, receiver: Receiver, sender: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "KEEP_HOUSE_S", 0)
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71, 85, 60)
    await silence(shop, "quiet")
    await write(shop, 71, 85, device="quiet")
    receiver.answers = [500, 200, 400]
    sends = sender()
    await until_rest(shop, sends)
    await shop.pool.execute("UPDATE webhook_deliveries SET waits_since = now() - interval '1 hour' WHERE held")
    await turn(sends)
    values = {
        "attempts_total": {"outcome": "retry"}, "waiting": {}, "held": {}, "superseded_total": {},
    }  # fmt: skip
    found = {
        name: sender.registry.get_sample_value(f"sluice_webhook_{name}", labels) for name, labels in values.items()
    }
    assert found == {"attempts_total": 1, "waiting": 1, "held": 1, "superseded_total": 1}
    for outcome, count in (("delivered", 2), ("dead", 1)):
        assert sender.registry.get_sample_value("sluice_webhook_attempts_total", {"outcome": outcome}) == count
    oldest = sender.registry.get_sample_value("sluice_webhook_oldest_seconds")
    assert oldest is not None
    assert 3_600 <= oldest < 3_700


@pytest.mark.parametrize("pruned", [False, True])
async def test_a_dead_one_that_was_overtaken_stays_dead(
    shop: Workshop, receiver: Receiver, sender: Senders, pruned: bool
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    webhooks = sender()
    receiver.answers = [400]
    await write(shop, 71, 60)  # its beginning is refused, its end is delivered
    await until_rest(shop, webhooks)
    if pruned:
        await shop.pool.execute("DELETE FROM webhook_deliveries WHERE state = 'delivered'")
    (dead,) = (await list_deliveries(shop.pool, "dead", None, 10))["items"]
    with pytest.raises(DeliveryOvertaken):
        await retry_delivery(shop.pool, dead["id"])
    receiver.answers = [400]
    await write(shop, 71, device="pump-2")
    await until_rest(shop, webhooks)
    (other, _) = (await list_deliveries(shop.pool, "dead", None, 10))["items"]
    await write(shop, 60, at=1, device="pump-2")
    assert (await retry_delivery(shop.pool, other["id"]))["state"] == "waiting", "what waits untried comes after it"


async def test_an_alert_of_another_series_overtakes_nothing(
    shop: Workshop, receiver: Receiver, sender: Senders
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    receiver.answers = [400, 200]
    webhooks = sender()
    await write(shop, 71)
    await write(shop, 71, device="pump-2", at=1)
    await until_rest(shop, webhooks)
    (dead,) = (await list_deliveries(shop.pool, "dead", None, 10))["items"]
    await retry_delivery(shop.pool, dead["id"])
    await until_rest(shop, webhooks)
    assert receiver.events == [1, 2, 1]
