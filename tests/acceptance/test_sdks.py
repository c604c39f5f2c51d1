"""The unmodified Centrifugo clients, from PyPI and from npm: connect, subscribe, lose the connection, recover."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import centrifuge
import pytest
import pytest_asyncio

from alerts.live import protocol
from tests.acceptance.conftest import JS
from tests.integration.live import Node, running

VENDORED = Path(__file__).parents[2] / "server" / "dashboard" / "vendor" / "centrifuge"


@pytest_asyncio.fixture
async def nodes(database: str, redis_url: str) -> AsyncIterator[tuple[Node, Node]]:
    """Two workers; the subscriber is connected to the first."""
    one, two = Node(database, redis_url, database), Node(database, redis_url, database)
    async with running(one, two):
        await one.until("bus.healthy")
        yield one, two


class Heard:
    """What a client heard, in order; `until` waits for something of it."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []
        self._more = asyncio.Condition()

    async def add(self, what: str, **details: Any) -> None:
        """Note that something happened."""
        async with self._more:
            self.all.append({"what": what, **details})
            self._more.notify_all()

    def of(self, what: str) -> list[dict[str, Any]]:
        """All that happened of this kind."""
        return [each for each in self.all if each["what"] == what]

    async def until(self, what: str, count: int) -> list[dict[str, Any]]:
        """Wait until this has happened so many times."""
        try:
            async with asyncio.timeout(30), self._more:
                await self._more.wait_for(lambda: len(self.of(what)) >= count)
        except TimeoutError:
            pytest.fail(f"{what} happened {len(self.of(what))} times of {count}: {self.all[-10:]}")
        return self.of(what)


async def acceptance(nodes: tuple[Node, Node], heard: Heard) -> None:
    """What every SDK must get: each event once, in order, the connection being lost in the middle."""
    one, two = nodes
    (subscribed,) = await heard.until("subscribed", 1)
    assert (subscribed["recoverable"], subscribed["positioned"]) == (True, True)
    await two.commit("pump-1", "pump-2")  # another worker than the subscriber's
    await one.commit("pump-1")
    first = (await heard.until("publication", 3))[0]
    assert first["data"]["alert"]["value"] == 81.5

    for connection in list(one.manager.connections):
        connection.close(protocol.SHUTDOWN)
    for _ in range(20):
        await two.commit("pump-1")
    again = (await heard.until("subscribed", 2))[1]
    assert (again["wasRecovering"], again["recovered"]) == (True, True)
    await one.commit("pump-1")
    publications = await heard.until("publication", 24)
    assert [each["offset"] for each in publications] == list(range(1, 25))

    one.keys.principals.clear()
    for connection in list(one.manager.connections):
        connection.close(protocol.SHUTDOWN)
    (end,) = await heard.until("disconnected", 1)
    assert (end["code"], end["reason"]) == (3500, "invalid token")


@asynccontextmanager
async def python(url: str, **options: Any) -> AsyncIterator[Heard]:
    """The client from PyPI, subscribed to `alerts`."""
    heard = Heard()

    class ClientEvents(centrifuge.ClientEventHandler):  # type: ignore[misc]
        async def on_connected(self, ctx: centrifuge.ConnectedContext) -> None:
            await heard.add("connected", client=ctx.client)

        async def on_disconnected(self, ctx: centrifuge.DisconnectedContext) -> None:
            await heard.add("disconnected", code=ctx.code, reason=ctx.reason)

    class Events(centrifuge.SubscriptionEventHandler):  # type: ignore[misc]
        async def on_subscribed(self, ctx: centrifuge.SubscribedContext) -> None:
            await heard.add(
                "subscribed",
                recoverable=ctx.recoverable,
                positioned=ctx.positioned,
                wasRecovering=ctx.was_recovering,
                recovered=ctx.recovered,
            )

        async def on_publication(self, ctx: centrifuge.PublicationContext) -> None:
            await heard.add("publication", offset=ctx.pub.offset, data=ctx.pub.data)

    client = centrifuge.Client(url, ClientEvents(), min_reconnect_delay=0.05, proxy=None, **options)
    await client.new_subscription("alerts", Events()).subscribe()
    await client.connect()
    try:
        yield heard
    finally:
        await client.disconnect()


async def test_python(nodes: tuple[Node, Node]) -> None:
    async with python(nodes[0].url, token="reader") as heard:
        await acceptance(nodes, heard)


async def test_javascript(nodes: tuple[Node, Node], node_folder: Path) -> None:
    async with javascript(node_folder, nodes[0].url, "reader", "alerts") as heard:
        await acceptance(nodes, heard)


@asynccontextmanager
async def javascript(node_folder: Path, *arguments: str) -> AsyncIterator[Heard]:
    """The npm client; see subscriber.js for its arguments."""
    heard = Heard()
    process = await asyncio.create_subprocess_exec(
        *("node", "subscriber.js", *arguments),
        cwd=node_folder,
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    listening = asyncio.create_task(_listen(process.stdout, heard.add))
    try:
        yield heard
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 30)
        await listening


async def _listen(lines: asyncio.StreamReader, add: Callable[..., Awaitable[None]]) -> None:
    async for line in lines:
        message = json.loads(line)
        await add(message.pop("what"), **message)


def test_the_lock_file_names_no_host() -> None:
    assert "://" not in (JS / "package-lock.json").read_text()


def test_the_page_carries_the_client_that_is_tried_here(node_folder: Path) -> None:
    package = node_folder / "node_modules" / "centrifuge"
    for name, source in (("centrifuge.js", "dist/centrifuge.js"), ("LICENSE", "LICENSE")):
        assert (VENDORED / name).read_bytes() == (package / source).read_bytes()
    version = json.loads((package / "package.json").read_text())["version"]
    assert f"# centrifuge {version}\n" in (VENDORED / "README.md").read_text()
