"""`/ws` as a bare WebSocket sees it: commands, answers, codes, and a sequence without gap or double."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from alerts.live.limits import Limits
from tests.integration.live import Client, Node, offsets, running


@pytest_asyncio.fixture
async def node(database: str, redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    """A worker with the limits of production, or those a test asks for."""
    node = Node(database, redis_url, request.node.name, getattr(request, "param", None))
    async with running(node):
        yield node


async def test_two_lines_are_a_dashboard(node: Node) -> None:
    client = await Client.dial(node)
    commands = [{"id": 1, "connect": {"token": "reader"}}, {"id": 2, "subscribe": {"channel": "alerts"}}]
    await client.socket.send("\n".join(map(json.dumps, commands)))
    answer = (await client.next())["connect"]
    assert {name: answer[name] for name in ("version", "ping", "pong")} == {
        "version": "sluice test",
        "ping": 25,
        "pong": True,
    }
    assert answer["client"]
    assert (await client.next())["subscribe"] == {
        "recoverable": True,
        "positioned": True,
        "epoch": node.feed.epoch,
        "offset": 0,
    }
    (event,) = await node.commit("pump-1")
    assert await client.next() == {"push": {"channel": "alerts", "pub": {"offset": 1, "data": event.data}}}


async def test_a_device_channel_carries_its_device_with_the_same_offsets(node: Node) -> None:
    client = await Client.connected(node)
    await client.subscribe("alerts:pump-1")
    await node.commit("pump-2", "pump-1", "pump-2", "pump-1")
    assert await client.offsets(2) == [2, 4]
    assert await client.silent()


async def test_both_channels_carry_an_event_once_each(node: Node) -> None:
    client = await Client.connected(node)
    await client.subscribe()
    await client.subscribe("alerts:pump-1")
    await node.commit("pump-1")
    assert {(await client.next())["push"]["channel"] for _ in range(2)} == {"alerts", "alerts:pump-1"}
    assert node.manager.subscriptions == 2


async def test_unsubscribed_is_silent(node: Node) -> None:
    client = await Client.connected(node)
    await client.subscribe()
    assert (await client.ask("unsubscribe", {"channel": "alerts"}))["unsubscribe"] == {}
    await node.commit("pump-1")
    assert await client.silent()
    assert (await client.subscribe())["offset"] == 1


async def test_recover_answers_what_was_missed(node: Node) -> None:
    await node.commit("pump-1", "pump-2", "pump-1")
    client = await Client.connected(node)
    result = await client.subscribe(recover=True, epoch=node.feed.epoch, offset=1)
    assert (result["was_recovering"], result["recovered"], result["offset"]) == (True, True, 3)
    assert offsets(result["publications"]) == [2, 3]
    device = await client.subscribe("alerts:pump-1", recover=True, epoch=node.feed.epoch)
    assert (device["recovered"], device["offset"], offsets(device["publications"])) == (True, 3, [1, 3])
    await node.commit("pump-2")
    assert await client.offsets(1) == [4]


@pytest.mark.parametrize("fields", [{"offset": -1}, {"offset": 4}, {"offset": 10**25}, {"epoch": "x"}, {"epoch": ""}])
async def test_a_place_that_is_none_is_not_recovered(node: Node, fields: dict[str, Any]) -> None:
    await node.commit("pump-1", "pump-1", "pump-1")
    client = await Client.connected(node)
    result = await client.subscribe(**{"recover": True, "epoch": node.feed.epoch, "offset": 1, **fields})
    assert (result["was_recovering"], result["recovered"], result["offset"]) == (True, False, 3)
    assert "publications" not in result


async def test_a_long_absence_is_made_up_for_without_gap_or_double(node: Node) -> None:
    """Far more than fits into the answer, while new events keep coming."""
    for _ in range(10):
        await node.commit(*["pump-1", "pump-2"] * 200)
    client, device = await Client.connected(node), await Client.connected(node)
    result = await client.subscribe(recover=True, epoch=node.feed.epoch, offset=0)
    missed = await device.subscribe("alerts:pump-2", recover=True, epoch=node.feed.epoch, offset=0)
    assert len(json.dumps(result["publications"])) <= 256 * 1024
    assert result["offset"] == result["publications"][-1]["offset"] < 4_000

    async def commit() -> None:
        for _ in range(100):
            await node.commit("pump-1", "pump-2")

    writing = asyncio.create_task(commit())
    got = offsets(result["publications"])
    got += await client.offsets(4_200 - len(got))
    assert got == list(range(1, 4_201))
    got = offsets(missed["publications"])
    got += await device.offsets(2_100 - len(got))
    assert got == list(range(2, 4_201, 2))
    await writing
    assert await client.silent()
    assert await device.silent()


@pytest.mark.parametrize("node", [Limits(answer_bytes=1_000)], indirect=True)
async def test_an_answer_that_is_full_says_where_it_ends(node: Node) -> None:
    await node.commit(*["pump-1"] * 50)
    client = await Client.connected(node)
    result = await client.subscribe(recover=True, epoch=node.feed.epoch, offset=0)
    answered = offsets(result["publications"])
    assert 0 < len(answered) < 20
    assert len(json.dumps(result["publications"], separators=(",", ":"))) <= 1_000
    assert result["offset"] == answered[-1], "where an SDK goes on if the connection is lost now"
    assert answered + await client.offsets(50 - len(answered)) == list(range(1, 51))


@pytest.mark.parametrize("node", [Limits(answer_bytes=0, page_events=1)], indirect=True)
async def test_the_seam_between_the_table_and_live_holds(node: Node) -> None:
    """Subscribers that recover, one event a read, at random moments of a stream that does not stop."""
    await node.commit(*["pump-1"] * 20)

    async def subscriber(number: int) -> list[int]:
        client = await Client.connected(node)
        await asyncio.sleep(number * 0.003)
        result = await client.subscribe(recover=True, epoch=node.feed.epoch, offset=0)
        assert (result["offset"], result["recovered"]) == (0, True)
        return await client.offsets(320, 10)

    async def commit() -> None:
        for _ in range(300):
            await node.commit("pump-1")
            await asyncio.sleep(0)

    *got, _ = await asyncio.gather(*map(subscriber, range(20)), commit())
    assert all(each == list(range(1, 321)) for each in got)


async def test_channels_one_may_not_have(node: Node) -> None:
    reader, bound = await Client.connected(node), await Client.connected(node, "pumps")
    for channel in (
        "readings",
        "readings:",
        "readings:*",
        "readings: x",
        "alerts:*",
        "alerts:",
        "alerts: x",
        "alert",
        "",
        "alerts:a\0b",
        "$x",
    ):
        assert await reader.error("subscribe", {"channel": channel}) == 103
    for channel in ("alerts", "alerts:room-1", "alerts:pump-*", "readings:room-1", "readings:pump-*"):
        assert await bound.error("subscribe", {"channel": channel}) == 103
    await bound.subscribe("alerts:pump-1")
    assert await bound.error("subscribe", {"channel": "alerts:pump-1"}) == 105
    await bound.subscribe("readings:pump-1")
    assert await bound.error("subscribe", {"channel": "readings:pump-1"}) == 105
    for number in range(2, 128):
        await bound.subscribe(f"alerts:pump-{number}")
    for channel in ("alerts:pump-129", "readings:pump-129"):
        assert await bound.error("subscribe", {"channel": channel}) == 106


@pytest.mark.parametrize("token", ["", "nobody", "writer"])
async def test_a_bad_token_is_closed(node: Node, token: str) -> None:
    client = await Client.dial(node)
    await client.socket.send(json.dumps({"id": 1, "connect": {"token": token}}))
    assert await client.closed() == (3500, "invalid token")


async def test_nobody_can_tell_is_temporary(node: Node) -> None:
    client = await Client.dial(node)
    node.keys.away = True
    reply = await client.ask("connect", {"token": "reader"})
    assert (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)
    node.keys.away = False
    assert "connect" in await client.ask("connect", {"token": "reader"})
