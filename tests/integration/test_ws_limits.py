"""`/ws` holds its limits: who is late, silent, malformed, too loud or too slow is closed, and nobody else notices."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from alerts.live.limits import Limits
from tests.integration.live import Client, Node, offsets, running

# One patience a test: what a test is not about keeps the seconds of production, however slow the machine is.
HASTY = Limits(connect_s=0.4, close_s=2)
PINGING = Limits(ping_s=0.3, pong_s=3.0, close_s=2)
RECHECKING = Limits(recheck_s=0.2, close_s=2)


@pytest_asyncio.fixture
async def node(database: str, redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    """A worker with the limits of production, or those a test asks for."""
    node = Node(database, redis_url, request.node.name, getattr(request, "param", None))
    async with running(node):
        yield node


@pytest.mark.parametrize("node", [HASTY], indirect=True)
async def test_who_never_connects_is_closed(node: Node) -> None:
    client = await Client.dial(node)
    assert (await client.closed())[0] == 3502
    assert not node.manager.connections


@pytest.mark.parametrize("node", [PINGING], indirect=True)
async def test_pings_want_pongs(node: Node) -> None:
    client, silent = await Client.connected(node), await Client.connected(node)
    silent.pongs = False
    assert await client.silent(3)  # `next` answers each ping
    assert (await silent.closed())[0] == 3012
    assert "ping" in await client.ask("ping", {})


@pytest.mark.parametrize("node", [RECHECKING], indirect=True)
async def test_a_revoked_key_is_closed_in_mid_session(node: Node) -> None:
    client, other = await Client.connected(node), await Client.connected(node, "admin")
    node.keys.away = True
    await asyncio.sleep(0.5)  # nobody can tell: nobody is closed
    node.keys.away = False
    del node.keys.principals["reader"]
    assert (await client.closed())[0] == 3500
    assert await other.silent()


@pytest.mark.parametrize("rubbish", ["hello", "[1]", '{"id":1,"dance":{}}', '{"id":1,"subscribe":3}', b"\x01\x02", ""])
async def test_the_third_malformed_command_closes(node: Node, rubbish: str | bytes) -> None:
    client = await Client.connected(node)
    for _ in range(3):
        await client.socket.send(rubbish)
    codes = [(await client.next())["error"]["code"] for _ in range(3)]
    assert set(codes) <= {104, 107}
    assert (await client.closed())[0] == 3501


async def test_commands_sluice_has_not(node: Node) -> None:
    client = await Client.connected(node)
    for name in ("publish", "presence", "presence_stats", "history", "rpc", "sub_refresh", "send"):
        assert await client.error(name, {"channel": "alerts"}) == 108
    await client.subscribe()


@pytest.mark.parametrize("command", [{"id": 1, "subscribe": {"channel": "alerts"}}, {"id": 1, "ping": {}}])
async def test_connect_comes_first_and_once(node: Node, command: dict[str, object]) -> None:
    client, twice = await Client.dial(node), await Client.connected(node)
    await client.socket.send(json.dumps(command))
    assert (await client.closed())[0] == 3501
    await twice.socket.send(json.dumps({"id": 2, "connect": {"token": "reader"}}))
    assert (await twice.closed())[0] == 3501


async def test_floods_and_giants_are_closed(node: Node) -> None:
    flood, giant, neighbour = [await Client.connected(node) for _ in range(3)]
    with pytest.raises(ConnectionClosed):  # noqa: PT012 - whichever of them notices
        for _ in range(200):
            await flood.socket.send("\n".join(["{}"] * 1_000))
        await flood.socket.recv()
    assert flood.socket.close_code == 3501
    await giant.socket.send(" " * 65_537)
    assert (await giant.closed())[0] == 1009
    await neighbour.subscribe()


async def test_a_slow_consumer_is_closed_and_nobody_else_notices(node: Node) -> None:
    slow, neighbour = await Client.connected(node), await Client.connected(node)
    slow.socket.transport.pause_reading()
    for client in (slow, neighbour):
        await client.socket.send('{"id":9,"subscribe":{"channel":"alerts"}}')
    assert (await neighbour.next())["subscribe"]["offset"] == 0
    count = 0
    async with asyncio.timeout(60):
        while node.manager.evictions == 0 and not any(each.closing for each in node.manager.connections):
            events = await node.commit(*["pump-1"] * 500)
            assert await neighbour.offsets(500) == [event.offset for event in events]
            count += 500
    waiting = sum(connection.waiting_bytes for connection in node.manager.connections)
    assert waiting <= node.manager.limits.queue_bytes
    slow.socket.transport.resume_reading()
    assert await slow.closed() == (3008, "slow")
    assert node.manager.evictions == 1
    result = await (await Client.connected(node)).subscribe(recover=True, epoch=node.feed.epoch, offset=count - 10)
    assert offsets(result["publications"]) == list(range(count - 9, count + 1))


async def test_a_storm_makes_nobody_slow(node: Node) -> None:
    """More in one COMMIT than a queue may hold."""
    clients = [await Client.connected(node) for _ in range(5)]
    for client in clients:
        await client.subscribe()
    await node.commit(*["pump-1"] * 12_000)
    await node.commit("pump-1")
    # All at once: one who is not read meanwhile is slow.
    for got in await asyncio.gather(*(client.offsets(12_001, 60) for client in clients)):
        assert got == list(range(1, 12_002))
    assert node.manager.evictions == 0
    assert node.feed.reads < 200, "read once for all of them"
    await node.commit("pump-1")
    assert await clients[0].offsets(1) == [12_002]


@pytest.mark.parametrize("node", [Limits(recheck_s=0.2, stall_s=3, close_s=60)], indirect=True)
async def test_one_who_stops_reading_in_the_middle_of_a_storm_is_slow(node: Node) -> None:
    slow, neighbour = await Client.connected(node), await Client.connected(node)
    for client in (slow, neighbour):
        await client.subscribe()
    slow.socket.transport.pause_reading()
    for _ in range(10):
        await node.commit(*["pump-1"] * 5_000)
    assert await neighbour.offsets(50_000, 60) == list(range(1, 50_001))
    async with asyncio.timeout(30):
        while not any(each.closing for each in node.manager.connections):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    slow.socket.transport.resume_reading()
    assert (await slow.closed())[0] == 3008
    assert await neighbour.silent()


@pytest.mark.parametrize("node", [Limits(close_s=1)], indirect=True)
async def test_one_who_never_reads_is_given_up(node: Node) -> None:
    slow = await Client.connected(node)
    await slow.subscribe()
    slow.socket.transport.pause_reading()
    async with asyncio.timeout(30):
        while node.manager.connections:
            await node.commit(*["pump-1"] * 500)
            await asyncio.sleep(0.01)
    async with asyncio.timeout(30):  # and so is its socket, before the kernel would do it
        while node.sockets:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    slow.socket.transport.abort()


async def test_shutdown_advises(node: Node) -> None:
    clients = [await Client.connected(node) for _ in range(10)]
    late = await Client.dial(node)
    node.manager.close_all()
    for client in [*clients, late]:
        assert await client.closed() == (3001, "shutdown: reconnect")
    await asyncio.wait_for(node.manager.drained(), 30)
    assert (await (await Client.dial(node)).closed())[0] == 3001
