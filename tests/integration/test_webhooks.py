"""Webhooks from a real database to a real receiver: at least once, in order, one at a time, until delivered or dead."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from alerts.routes.listing import list_deliveries, retry_delivery
from alerts.webhooks import deliveries, webhooks
from alerts.webhooks.courier import MAX_ANSWER_BYTES, Courier, CourierSettings
from alerts.webhooks.notification import NEVER
from alerts.webhooks.webhooks import Patience, WebhookMetrics, Webhooks
from schemas.errors import DeliveryNotDead, NotFound
from tests.integration.receiver import KEY, Receiver, receiving
from tests.integration.writing import Workshop, workshop

T = "temperature"
DEADLINE_S = 0.5
QUICK = Patience(first_s=0.01, longest_s=0.05)


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own."""
    async with workshop(database) as shop:
        yield shop


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Somebody who listens."""
    async with receiving() as receiver:
        yield receiver


class Senders:
    """Makes senders on one database, and stops them."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.made: list[Webhooks] = []

    def __call__(self, key: str | None = KEY, *, patience: Patience = QUICK, **settings: Any) -> Webhooks:
        self.registry = CollectorRegistry()
        courier = Courier(CourierSettings(deadline_s=DEADLINE_S, **settings))
        self.made.append(Webhooks(self.pool, courier, WebhookMetrics(self.registry), key, patience=patience))
        return self.made[-1]


@pytest.fixture
async def sender(shop: Workshop) -> AsyncIterator[Senders]:
    """Where senders come from."""
    senders = Senders(shop.pool)
    yield senders
    for each in senders.made:
        await each.close()


async def turn(webhooks: Webhooks, times: int = 1) -> None:
    """So many ticks, each to its end."""
    for _ in range(times):
        await webhooks.tick()
        await webhooks.settled()
        await asyncio.sleep(0.02)


async def until_rest(shop: Workshop, webhooks: Webhooks) -> None:
    """Tick until nothing waits that is not held."""
    for _ in range(100):
        await turn(webhooks)
        if not await shop.pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE state = 'waiting' AND NOT held"):
            return
    raise AssertionError(await states(shop))


async def states(shop: Workshop) -> list[tuple[int, str, bool]]:
    """Offset, state, and whether it is held, of every delivery."""
    found = await shop.pool.fetch('SELECT "offset", state, held FROM webhook_deliveries ORDER BY "offset", url')
    return [tuple(record) for record in found]


async def write(shop: Workshop, *values: float, device: str = "pump-1", at: float = 0) -> None:
    """Values a second apart, each in a batch of its own."""
    for place, value in enumerate(values):
        await shop.write((T, at + place, value), device=device)


async def silence(shop: Workshop, device: str = "*") -> None:
    """Silence a device's alerts for an hour."""
    await shop.pool.execute(
        "INSERT INTO silences (device, until, created_by) VALUES ($1, now() + interval '1 hour', 'test')", device
    )


async def unsilence(shop: Workshop) -> None:
    """End all silences."""
    await shop.pool.execute("UPDATE silences SET ended_at = now()")


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
    await until_rest(shop, sender())
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


async def test_order_and_one_in_flight_for_each_target(shop: Workshop, receiver: Receiver, sender: Senders) -> None:
    await shop.rule(webhooks=[receiver.url("/a"), receiver.url("/b")])
    for number in range(6):
        await write(shop, 71, device=f"p{number}")

    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.03)
        return web.Response()

    receiver.answers = [slow] * 12
    first, second = sender(), sender()
    for _ in range(3):
        await asyncio.gather(first.tick(), second.tick())
    await asyncio.gather(first.settled(), second.settled())
    await until_rest(shop, first)
    for path in ("/a", "/b"):
        assert [e for e, p in zip(receiver.events, receiver.paths, strict=True) if p == path] == [1, 2, 3, 4, 5, 6]
    assert receiver.most_in_flight == 1
    assert receiver.most_at_all == 2  # side by side


async def test_a_target_that_hangs_keeps_no_other_waiting(shop: Workshop, receiver: Receiver, sender: Senders) -> None:
    await shop.rule(webhooks=[receiver.url("/hangs")])
    await shop.rule(webhooks=[receiver.url("/b")], name="other")
    await write(shop, 71)
    webhooks = sender()
    began = time.monotonic()
    await webhooks.tick()
    assert time.monotonic() - began < DEADLINE_S
    await asyncio.sleep(DEADLINE_S / 2)
    assert (2, "delivered", False) in await states(shop)
    await webhooks.settled()


async def test_a_failure_keeps_those_behind_it_in_order(shop: Workshop, receiver: Receiver, sender: Senders) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71, 85)
    receiver.answers = [500]
    await turn(sender(patience=Patience(first_s=60)), 3)
    assert receiver.events == [1]


async def test_targets_served_at_one_time_are_bounded(
    shop: Workshop, receiver: Receiver, sender: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_TARGETS", 3)
    for number in range(8):
        await shop.rule(webhooks=[receiver.url(f"/{number}")], name=f"rule {number}")
    await write(shop, 71)

    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return web.Response()

    receiver.answers = [slow] * 8
    await until_rest(shop, sender())
    assert receiver.most_at_all == 3
    assert sorted(receiver.paths) == [f"/{number}" for number in range(8)]


async def test_a_sender_that_ends_before_it_marked_is_followed_by_one_that_sends_again(
    shop: Workshop, receiver: Receiver, sender: Senders
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71, 60)
    receiver.answers = ["hang"]
    first = sender()
    await first.tick()
    await receiver.came.wait()
    await first.close()
    assert (await states(shop))[0] == (1, "waiting", False)
    await until_rest(shop, sender())
    assert receiver.events == [1, 1, 2]


async def test_a_killed_senders_target_waits_for_its_lease(
    shop: Workshop, receiver: Receiver, sender: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71)
    await shop.pool.execute(
        "INSERT INTO webhook_leases VALUES ($1, 'killed', now() + interval '0.4 second')", receiver.url()
    )
    webhooks = sender()
    await turn(webhooks, 3)
    assert receiver.events == []
    await asyncio.sleep(0.4)
    await turn(webhooks)
    assert receiver.events == [1]
    assert await shop.pool.fetchval("SELECT count(*) FROM webhook_leases") == 0
    assert CourierSettings().deadline_s + 3 < deliveries.LEASE_S  # and a statement before, and one after


async def test_what_is_silenced_is_held_and_holds_nobody_up(
    shop: Workshop, receiver: Receiver, sender: Senders
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await silence(shop, "quiet")
    await write(shop, 71, device="quiet")
    await write(shop, 71, 85, device="loud")
    webhooks = sender()
    await until_rest(shop, webhooks)
    assert receiver.told == ["loud firing warning", "loud firing critical"]
    assert (await states(shop))[0] == (1, "waiting", True)
    await unsilence(shop)
    await until_rest(shop, webhooks)
    assert receiver.told[2:] == ["quiet firing warning"]
    assert receiver.events == [2, 3, 1]


async def test_of_what_was_held_only_the_last_state_is_told(
    shop: Workshop, receiver: Receiver, sender: Senders
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    webhooks = sender()
    await write(shop, 71, device="told")
    await until_rest(shop, webhooks)
    await silence(shop)
    await write(shop, 85, 74, 85, device="told", at=1)
    await write(shop, 71, 85, device="new")
    await write(shop, 71, 60, device="brief")
    await write(shop, 71, device="over")
    await until_rest(shop, webhooks)
    await write(shop, 60, device="over", at=1)
    assert receiver.told == ["told firing warning"]
    await unsilence(shop)
    await until_rest(shop, webhooks)
    assert sorted(receiver.told[1:]) == ["new firing critical", "told firing critical"]
    # What the receiver has heard of, it hears the end of.
    await write(shop, 60, device="told", at=9)
    await write(shop, 60, device="new", at=9)
    await until_rest(shop, webhooks)
    assert receiver.told[3:] == ["told resolved critical", "new resolved critical"]


@pytest.mark.parametrize("tick_between", [True, False])
async def test_an_end_under_a_silence_is_told_after_it(
    shop: Workshop, receiver: Receiver, sender: Senders, tick_between: bool
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    webhooks = sender()
    await write(shop, 71)
    await until_rest(shop, webhooks)
    await silence(shop)
    await write(shop, 85, at=1)
    if tick_between:
        await until_rest(shop, webhooks)
    await write(shop, 60, at=2)
    await until_rest(shop, webhooks)
    await unsilence(shop)
    await until_rest(shop, webhooks)
    assert receiver.told == ["pump-1 firing warning", "pump-1 resolved critical"]


async def test_a_life_under_a_silence_is_not_told_at_all(shop: Workshop, receiver: Receiver, sender: Senders) -> None:
    await shop.rule(webhooks=[receiver.url()])
    webhooks = sender()
    await silence(shop)
    for second, value in enumerate([71, 85, 60]):
        await write(shop, value, at=second)
        await until_rest(shop, webhooks)
    await unsilence(shop)
    await until_rest(shop, webhooks)
    assert receiver.told == []
    assert [state for _, state, _ in await states(shop)] == ["superseded"] * 3


async def test_the_end_of_one_alert_is_not_superseded_by_the_next_one(
    shop: Workshop, receiver: Receiver, sender: Senders
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    webhooks = sender()
    await write(shop, 71)
    await until_rest(shop, webhooks)
    await silence(shop)
    await write(shop, 60, 85, at=1)
    await until_rest(shop, webhooks)
    await unsilence(shop)
    await until_rest(shop, webhooks)
    assert receiver.told == ["pump-1 firing warning", "pump-1 resolved warning", "pump-1 firing critical"]


async def test_what_was_tried_may_have_been_heard(shop: Workshop, receiver: Receiver, sender: Senders) -> None:
    """The answer was lost, then came a silence: the end must be told, as the beginning may have arrived."""
    await shop.rule(webhooks=[receiver.url()])
    webhooks = sender(patience=Patience(first_s=60))
    receiver.answers = ["close"]
    await write(shop, 71)
    await turn(webhooks)
    assert receiver.told == ["pump-1 firing warning"]
    await silence(shop)
    await write(shop, 60, at=1)
    await turn(webhooks, 2)
    await unsilence(shop)
    await turn(webhooks, 2)
    assert receiver.told[1:] == ["pump-1 resolved warning"]


async def test_a_silence_over_one_that_waits_lets_the_others_pass(
    shop: Workshop, receiver: Receiver, sender: Senders
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    webhooks = sender(patience=Patience(first_s=60))
    receiver.answers = [500]
    await write(shop, 71, device="first")
    await write(shop, 71, device="second")
    await turn(webhooks)
    await silence(shop, "first")
    await turn(webhooks)
    assert receiver.events == [1, 2]


async def test_what_flaps_is_held(shop: Workshop, receiver: Receiver, sender: Senders) -> None:
    await shop.rule(webhooks=[receiver.url()])
    webhooks = sender()
    await write(shop, 71)
    await shop.pool.execute("UPDATE alert_states SET flapping = true")
    await until_rest(shop, webhooks)
    assert receiver.events == []
    await shop.pool.execute("UPDATE alert_states SET flapping = false")
    await until_rest(shop, webhooks)
    assert receiver.events == [1]


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
    await turn(sender())
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


async def test_a_database_that_is_away_loses_nothing(
    shop: Workshop, receiver: Receiver, sender: Senders, database: str
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71)
    webhooks = sender()
    receiver.answers = [lambda _: _cut(shop.pool, database)]
    await turn(webhooks)  # the receiver has it; that cannot be written down
    await asyncio.gather(*_mending)
    assert (await states(shop))[0][1] == "waiting"
    await shop.pool.execute("DELETE FROM webhook_leases")  # as its time would
    await until_rest(shop, webhooks)
    assert receiver.events == [1, 1]
    assert await states(shop) == [(1, "delivered", False)]


async def _cut(pool: asyncpg.Pool, database: str) -> web.StreamResponse:
    """Answer, when every connection of the sender is gone and cannot come back for a moment."""
    server, _, name = database.rpartition("/")
    other = await asyncpg.connect(f"{server}/postgres")
    await other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    mending = asyncio.create_task(_mend(other, name))
    _mending.add(mending)
    mending.add_done_callback(_mending.discard)
    return web.Response()


_mending: set[asyncio.Task[None]] = set()


async def _mend(connection: asyncpg.Connection, name: str) -> None:
    await asyncio.sleep(0.3)
    await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    await connection.close()
