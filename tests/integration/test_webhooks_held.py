"""Webhooks of what is silenced or flaps: held, superseded, and told in the end."""

import pytest

from alerts.webhooks.webhooks import Patience
from tests.integration.receiver import Receiver
from tests.integration.sending import Senders, silence, states, turn, unsilence, until_rest, write
from tests.integration.writing import Workshop


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
    await shop.pool.execute("UPDATE alert_states SET flapping = true, last_ts = now()")
    await until_rest(shop, webhooks)
    assert receiver.events == []
    await shop.pool.execute("UPDATE alert_states SET flapping = false")
    await until_rest(shop, webhooks)
    assert receiver.events == [1]


async def test_what_flaps_and_falls_silent_is_told_after_an_hour(
    shop: Workshop, receiver: Receiver, sender: Senders
) -> None:
    await shop.rule(webhooks=[receiver.url()])
    webhooks = sender()
    await write(shop, 71, 85)
    flapping = "UPDATE alert_states SET flapping = true, last_ts = now() - $1::text::interval"
    await shop.pool.execute(flapping, "55 minutes")
    await until_rest(shop, webhooks)
    assert receiver.events == []
    await shop.pool.execute(flapping, "61 minutes")
    await until_rest(shop, webhooks)
    assert receiver.told == ["pump-1 firing critical"], "the last state, and that once"
    assert await shop.pool.fetchval("SELECT flapping FROM alert_states"), "only readings move it"
    await write(shop, 74, at=2)
    await shop.pool.execute(flapping, "0 minutes")
    await until_rest(shop, webhooks)
    assert len(receiver.told) == 1, "it flaps still, and is judged again"
