"""Webhooks from a real database to a real receiver: what is told, and what becomes of each answer."""

import asyncio

import pytest
from aiohttp import web

from alerts.routes.listing import list_deliveries
from alerts.webhooks.courier import MAX_ANSWER_BYTES
from alerts.webhooks.notification import NEVER
from alerts.webhooks.webhooks import Patience
from schemas.errors import NotFound
from tests.integration.receiver import Receiver
from tests.integration.sending import HASTY_S, Senders, states, turn, until_rest, write
from tests.integration.writing import T, Workshop


async def test_a_life_is_told_in_alertmanagers_words(shop: Workshop, receiver: Receiver, sender: Senders) -> None:
    rule_id = await shop.rule(webhooks=[receiver.url()], annotations={"runbook": "https://wiki/hot"})
    await write(shop, 71, 85, 74, 60)
    await until_rest(shop, sender(external_url="https://sluice.example"))
    assert receiver.events == [1, 2, 3, 4]
    assert receiver.told == [
        "pump-1 firing warning", "pump-1 firing critical", "pump-1 firing warning", "pump-1 resolved warning",
    ]  # fmt: skip
    first, last = receiver.documents[0], receiver.documents[-1]
    identity = {"alertname": "hot", "device": "pump-1", "metric": T}
    labels = identity | {"severity": "warning"}
    shown = {"value": "71", "threshold": "70", "runbook": "https://wiki/hot"}
    (alert,) = first.pop("alerts")
    assert first == {
        "version": "4",
        "groupKey": f'{{rule="{rule_id}"}}:{{alertname="hot", device="pump-1", metric="temperature"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "sluice",
        "groupLabels": identity,
        "commonLabels": labels,
        "commonAnnotations": shown,
        "externalURL": "https://sluice.example",
    }
    event = shop.published[0].data["alert"]
    assert {name: alert[name] for name in alert if name != "fingerprint"} == {
        "status": "firing",
        "labels": labels,
        "annotations": shown,
        "startsAt": event["fired_at"],
        "endsAt": NEVER,
        "generatorURL": f"https://sluice.example/v1/rules/{rule_id}",
    }
    assert last["alerts"][0]["endsAt"] == shop.published[3].data["alert"]["resolved_at"]
    assert len({each["alerts"][0]["fingerprint"] for each in receiver.documents[1:]} | {alert["fingerprint"]}) == 1


async def test_what_is_told_to_nobody(shop: Workshop, receiver: Receiver, sender: Senders) -> None:
    await shop.rule()
    await write(shop, 71, 60)
    await until_rest(shop, sender())
    assert receiver.events == []
    assert await states(shop) == []


@pytest.mark.parametrize("answer", [500, 503, 408, 425, 429, "close", "hang"])
async def test_what_may_pass_is_tried_again(
    shop: Workshop, receiver: Receiver, sender: Senders, answer: int | str
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71, 60)
    receiver.answers = [answer, answer]
    await until_rest(shop, sender(deadline_s=HASTY_S) if answer == "hang" else sender())
    assert receiver.events == [1, 1, 1, 2]
    assert await states(shop) == [(1, "delivered", False), (2, "delivered", False)]
    assert await shop.pool.fetchval('SELECT attempts FROM webhook_deliveries WHERE "offset" = 1') == 3


@pytest.mark.parametrize("answer", [301, 302, 307, 400, 401, 404, 410, 422])
async def test_what_will_not_pass_is_given_up_and_holds_nothing_up(
    shop: Workshop, receiver: Receiver, sender: Senders, answer: int
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71, 60)
    receiver.answers = [web.Response(status=answer, headers={"Location": receiver.url("/elsewhere")})]
    await until_rest(shop, sender())
    assert receiver.events == [1, 2]
    assert receiver.paths == ["/hook", "/hook"]
    assert await states(shop) == [(1, "dead", False), (2, "delivered", False)]


async def test_a_target_that_nobody_listens_at_is_tried_again(shop: Workshop, sender: Senders) -> None:
    await shop.rule(webhooks=["http://127.0.0.1:9/hook"])
    await write(shop, 71)
    webhooks = sender()
    await turn(webhooks, 3)
    (item,) = (await list_deliveries(shop.pool, "waiting", None, 10))["items"]
    assert item["attempts"] >= 2
    assert "127.0.0.1" in item["last_error"]


@pytest.mark.parametrize("patience", [Patience(first_s=0.01, attempts=3), Patience(first_s=0.01, total_s=0.0)])
async def test_patience_ends(shop: Workshop, receiver: Receiver, sender: Senders, patience: Patience) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71, 60)
    receiver.answers = [500] * (3 if patience.total_s else 1)
    await until_rest(shop, sender(patience=patience))
    assert await states(shop) == [(1, "dead", False), (2, "delivered", False)]
    assert receiver.events == ([1, 1, 1, 2] if patience.total_s else [1, 2])


def test_delays_double_up_to_five_minutes_and_do_not_fall_in_step() -> None:
    patience = Patience()
    for attempts, base_s in ((1, 1), (2, 2), (5, 16), (9, 256), (20, 300)):
        delays = [patience.delay_s(attempts, 0) for _ in range(50)]
        assert all(0.8 * base_s <= delay_s <= min(1.2 * base_s, 300) for delay_s in delays)
        assert len(set(delays)) > 1
    assert patience.delay_s(1, 60) == 60


@pytest.mark.parametrize(("asked", "least_s", "most_s"), [("30", 29, 31), ("999999", 290, 301), ("soon", 0, 2)])
async def test_retry_after_is_honoured_up_to_five_minutes(
    shop: Workshop, receiver: Receiver, sender: Senders, asked: str, least_s: float, most_s: float
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71)
    receiver.answers = [web.Response(status=503, headers={"Retry-After": asked})]
    await turn(sender(patience=Patience()))
    delay = "SELECT extract(epoch FROM next_at - now())::float8 FROM webhook_deliveries"
    assert least_s <= await shop.pool.fetchval(delay) <= most_s


async def test_events_that_say_nothing_of_the_state_are_not_sent(
    shop: Workshop, receiver: Receiver, sender: Senders
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71)
    await shop.pool.execute("""UPDATE alert_events SET data = jsonb_set(data, '{event}', '"flapping_started"')""")
    await until_rest(shop, sender())
    assert receiver.events == []


async def test_a_deleted_rule_still_says_that_its_alert_is_over(
    shop: Workshop, receiver: Receiver, sender: Senders
) -> None:
    rule_id = await shop.rule(webhooks=[receiver.url()], annotations={"runbook": "x"})
    await write(shop, 71)
    assert await shop.rulebook.delete(rule_id)
    await until_rest(shop, sender())
    assert receiver.told == ["pump-1 firing warning", "pump-1 resolved warning"]


@pytest.mark.parametrize("endless", [True, False])
async def test_an_answer_is_read_to_its_bound_and_no_further(
    shop: Workshop, receiver: Receiver, sender: Senders, endless: bool
) -> None:
    """A status is an answer, whatever becomes of the body behind it."""
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71)
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        if not endless:
            await asyncio.sleep(60)
        for _ in range(1_000):
            await response.write(b"x" * MAX_ANSWER_BYTES)
            sent += 1
        return response

    receiver.answers = [flood]
    await turn(sender() if endless else sender(deadline_s=HASTY_S))
    assert await states(shop) == [(1, "delivered", False)]
    assert sent < 200  # what fits into the sockets' buffers


async def test_without_a_setting_a_key_is_made_once_and_kept(shop: Workshop, sender: Senders) -> None:
    keys = await asyncio.gather(*(sender(None).made_key() for _ in range(5)))
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 40
    with pytest.raises(NotFound):
        await sender("set by the operator").made_key()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.1.2.3"]
)
async def test_private_targets_can_be_refused(shop: Workshop, receiver: Receiver, sender: Senders, host: str) -> None:
    await shop.rule(webhooks=[f"http://{host}:{receiver.port}/hook"])
    await write(shop, 71)
    await turn(sender(allow_private=False))
    assert receiver.events == []
    (item,) = (await list_deliveries(shop.pool, None, None, 10))["items"]
    assert "WEBHOOK_ALLOW_PRIVATE" in item["last_error"]
