"""Webhooks arrive at least once, in order, one at a time for each target, whoever dies in between."""

import asyncio
import contextlib

import asyncpg
import pytest
from aiohttp import web

from alerts.live.fetch import AWAY
from alerts.webhooks import deliveries, webhooks
from alerts.webhooks.courier import CourierSettings
from alerts.webhooks.webhooks import Patience
from tests.integration.receiver import Receiver
from tests.integration.sending import Senders, states, turn, until_rest, write
from tests.integration.writing import Workshop


async def test_order_and_one_in_flight_for_each_target(shop: Workshop, receiver: Receiver, sender: Senders) -> None:
    await shop.rule(webhooks=[receiver.url("/a"), receiver.url("/b")])
    for number in range(6):
        await write(shop, 71, device=f"p{number}")

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
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
    await webhooks.tick()
    async with asyncio.timeout(CourierSettings().deadline_s / 2):  # the one that hangs is waited for longer
        while (2, "delivered", False) not in await states(shop):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    assert (1, "waiting", False) in await states(shop)


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

    async def slow(request: web.Request) -> web.StreamResponse:
        for _ in range(1_000):  # until as many are there at one time as may be, or ten seconds are over
            if receiver.most_at_all >= 3:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # for one too many
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
        "INSERT INTO webhook_leases VALUES ($1, 'killed', now() + interval '1 hour')", receiver.url()
    )
    webhooks = sender()
    await turn(webhooks, 3)
    assert receiver.events == []
    await shop.pool.execute("UPDATE webhook_leases SET until = now()")  # as time would
    await turn(webhooks)
    assert receiver.events == [1]
    assert await shop.pool.fetchval("SELECT count(*) FROM webhook_leases") == 0
    assert CourierSettings().deadline_s + 3 < deliveries.LEASE_S  # and a statement before, and one after


async def test_a_database_that_is_away_loses_nothing(
    shop: Workshop, receiver: Receiver, sender: Senders, database: str
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    await write(shop, 71)
    webhooks = sender()
    receiver.answers = [lambda _: _cut(database)]
    with contextlib.suppress(*AWAY):  # as whoever repeats the tick does
        await turn(webhooks)  # the receiver has it; that cannot be written down
    await _mend(database)
    assert (await states(shop))[0][1] == "waiting"
    await shop.pool.execute("DELETE FROM webhook_leases")  # as its time would
    await until_rest(shop, webhooks)
    assert receiver.events == [1, 1]
    assert await states(shop) == [(1, "delivered", False)]


async def _cut(database: str) -> web.StreamResponse:
    """Answer, when every connection of the sender is gone and cannot come back."""
    server, _, name = database.rpartition("/")
    other = await asyncpg.connect(f"{server}/postgres")
    await other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await other.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name)
    await other.close()
    return web.Response()


async def _mend(database: str) -> None:
    """Let connections in again."""
    server, _, name = database.rpartition("/")
    other = await asyncpg.connect(f"{server}/postgres")
    await other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    await other.close()
