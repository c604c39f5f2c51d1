"""`/ws` with tokens that expire: refreshed in time, too late, by somebody else's; and one that has expired already."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from alerts.live.limits import Limits
from tests.integration.live import Client, Node, running

HASTY = Limits(recheck_s=0.1, expired_s=0.0, close_s=2)


@pytest_asyncio.fixture
async def node(database: str, redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    """A worker that closes at the end of a token, if no more is asked for."""
    node = Node(database, redis_url, request.node.name, getattr(request, "param", HASTY))
    async with running(node):
        yield node


def token(of: str, for_s: float) -> str:
    """A token that expires so soon."""
    return f"{of}@{asyncio.get_running_loop().time() + for_s}"


async def test_a_token_says_how_long_it_lasts_and_a_key_says_nothing(node: Node) -> None:
    client = await Client.dial(node)
    answer = (await client.ask("connect", {"token": token("reader", 600.5)}))["connect"]
    assert answer["expires"] is True
    assert 590 <= answer["ttl"] <= 600
    keyed = await Client.dial(node)
    assert "expires" not in (await keyed.ask("connect", {"token": "reader"}))["connect"]


async def test_an_expired_token_is_an_error_after_which_another_may_come(node: Node) -> None:
    client = await Client.dial(node)
    assert await client.error("connect", {"token": token("reader", -1)}) == 109
    assert "connect" in await client.ask("connect", {"token": token("reader", 600)})


async def test_who_does_not_refresh_is_closed(node: Node) -> None:
    client, keyed = await Client.dial(node), await Client.connected(node)
    assert "connect" in await client.ask("connect", {"token": token("reader", 0.5)})
    assert await client.closed(10) == (3005, "connection expired")
    assert await keyed.silent()


@pytest.mark.parametrize("node", [Limits(recheck_s=0.1, close_s=2)], indirect=True)
async def test_a_refresh_may_come_a_little_late_as_that_of_the_sdks_does(node: Node) -> None:
    client = await Client.dial(node)
    assert "connect" in await client.ask("connect", {"token": token("reader", 0.2)})
    assert await client.silent(0.5)
    assert "refresh" in await client.ask("refresh", {"token": token("reader", 600)})


async def test_a_refresh_goes_on_without_a_gap(node: Node) -> None:
    client = await Client.dial(node)
    assert "connect" in await client.ask("connect", {"token": token("reader", 1)})
    await client.subscribe()
    answer = (await client.ask("refresh", {"token": token("reader", 600.5)}))["refresh"]
    assert answer["client"]
    assert answer["version"]
    assert answer["expires"] is True
    assert 590 <= answer["ttl"] <= 600
    assert await client.silent(1.3), "the first token is over"
    await node.commit("pump-1", "pump-1")
    assert await client.offsets(2) == [1, 2]


@pytest.mark.parametrize(
    ("name", "for_s", "code"), [("reader", -1, 3005), ("admin", 600, 3500), ("nobody", 600, 3500)]
)  # fmt: skip
async def test_a_refresh_that_is_none(node: Node, name: str, for_s: float, code: int) -> None:
    client = await Client.dial(node)
    assert "connect" in await client.ask("connect", {"token": token("reader", 600)})
    await client.socket.send(f'{{"id":2,"refresh":{{"token":"{token(name, for_s)}"}}}}')
    assert (await client.closed())[0] == code


async def test_a_refresh_while_nobody_can_tell_may_be_tried_again(node: Node) -> None:
    client = await Client.dial(node)
    assert await client.error("connect", {"token": token("reader", -1)}) == 109
    assert "connect" in await client.ask("connect", {"token": token("reader", 600)})
    assert await client.error("refresh", {}) == 107
    node.keys.away = True
    assert (await client.ask("refresh", {"token": token("reader", 600)}))["error"]["temporary"] is True
    node.keys.away = False
    assert "refresh" in await client.ask("refresh", {"token": token("reader", 600)})
