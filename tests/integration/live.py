"""A worker's live side as the tests use it: bus, feed, connection manager and `/ws` in a real uvicorn of their own."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from alerts.live.bus import Bus
from alerts.live.connections import ConnectionManager
from alerts.live.feed import Feed, FeedTimes
from alerts.live.limits import Limits
from alerts.live.readings import Readings
from alerts.live.wire import Wire
from alerts.live.ws import make_endpoint
from schemas.errors import DatabaseAway, TokenExpired, Unauthorized
from schemas.events import Event
from schemas.keys import Admission, Holder, Principal, Scope
from server.redis_places import RedisPlaces
from server.redis_url import RedisUrl

PATIENCE_S = 30.0
"""For what must come: a busy machine is slow, and who waits for a condition waits no longer than that takes."""

INSERT = """
WITH n AS (UPDATE alert_offset SET last_offset = last_offset + cardinality($1::text[])
           RETURNING last_offset - cardinality($1::text[]) AS base)
INSERT INTO alert_events ("offset", device, alert_id, data)
SELECT n.base + each.place, each.device, 1, $2::jsonb
FROM n, unnest($1::text[]) WITH ORDINALITY AS each (device, place)
RETURNING "offset", device
"""


class Keys:
    """The keys of a test; a revoked one is refused like one that never was."""

    def __init__(self) -> None:
        self.principals = {
            "reader": Principal("1", "reader", frozenset({Scope.READ})),
            "pumps": Principal("2", "pumps", frozenset({Scope.READ}), "pump-*"),
            "writer": Principal("3", "writer", frozenset({Scope.INGEST})),
            "admin": Principal("4", "admin", frozenset({Scope.ADMIN})),
        }
        self.away = False

    async def admit(self, _handshake: HTTPConnection, token: str) -> Admission:
        """As the server does: raise Unauthorized, or Unavailable where nobody can tell. A token may be `name@seconds`:
        one that expires at that time of the loop's clock."""
        name, _, expires = token.partition("@")
        ttl_s = float(expires) - asyncio.get_running_loop().time() if expires else None
        if ttl_s is not None and ttl_s <= 0:
            raise TokenExpired
        return Admission(await self.standing(Holder(name)), Holder(name), ttl_s)

    async def standing(self, holder: Holder) -> Principal:
        """Whether it still is a key."""
        if self.away:
            raise DatabaseAway
        if holder.key_id not in self.principals:
            raise Unauthorized
        return self.principals[holder.key_id]


class QuietServer(uvicorn.Server):
    """Several servers in one process cannot all have its signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the test runner."""
        yield


class Node:
    """One worker. `commit` is its write path: straight SQL, then what the writer does right after COMMIT."""

    def __init__(
        self,
        database_url: str,
        redis_url: str,
        name: str,
        limits: Limits | None = None,
        times: FeedTimes | None = None,
    ) -> None:
        self.keys = Keys()
        redis = RedisPlaces(RedisUrl.parse(redis_url))
        self.bus = Bus(redis.look, name, sharded=redis.sharded)
        self.pool = asyncpg.create_pool(database_url, min_size=0, max_size=10, command_timeout=5)
        self.readings = Readings(self.bus, self.pool)
        self.manager = ConnectionManager(self.readings, limits or Limits())
        self.feed = Feed(self.pool, self.bus, self.manager.broadcast, self.manager.reset, times=times)
        self.url = ""
        self._tasks: list[asyncio.Task[Any]] = []
        self._server: uvicorn.Server | None = None

    @property
    def sockets(self) -> int:
        """How many the server still holds, whoever manages them."""
        return 0 if self._server is None else len(self._server.server_state.connections)

    async def start(self) -> None:
        """Serve `/ws` on a free port, and run what the server supervises."""
        await self.pool
        endpoint = make_endpoint(self.manager, self.feed, self.keys.admit, version="sluice test")
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
        self._server = QuietServer(
            uvicorn.Config(
                Starlette(routes=[WebSocketRoute("/ws", endpoint)]),
                ws=Wire,
                ws_per_message_deflate=False,
                ws_max_size=65_536,
                ws_ping_interval=None,
                lifespan="off",
                log_config=None,
            )
        )
        forever = (
            self.bus.run(),
            self.feed.run(),
            self.manager.run(self.keys.standing),
            self.readings.run(),
            self._server.serve([listener]),
        )
        self._tasks = [asyncio.create_task(each) for each in forever]

    async def stop(self) -> None:
        """Advise the clients, then stop; a task that had died by itself makes the test fail."""
        self.manager.close_all()
        await asyncio.wait_for(self.manager.drained(), PATIENCE_S)
        if self._server is not None:
            self._server.should_exit = True
            await asyncio.wait_for(self._tasks[-1], PATIENCE_S)
        while pending := [task for task in self._tasks[:-1] if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=2)  # sooner would interrupt their cleaning up
        ends = await asyncio.gather(*self._tasks[:-1], return_exceptions=True)
        self.pool.terminate()
        defects = [end for end in ends if not isinstance(end, asyncio.CancelledError)]
        assert not defects, defects

    async def until(self, condition: str) -> None:
        """Wait until `feed.ready` or `bus.healthy` (or not, with a leading `not `)."""
        what = {"feed.ready": lambda: self.feed.ready, "bus.healthy": lambda: self.bus.healthy}
        negated, name = condition.startswith("not "), condition.removeprefix("not ")
        async with asyncio.timeout(PATIENCE_S):
            while what[name]() is negated:  # noqa: ASYNC110 - what is watched sets no event, and needs none
                await asyncio.sleep(0.01)

    async def insert(self, *devices: str) -> list[Event]:
        """COMMIT one event for each device, and tell nobody."""
        data = {"event": "firing", "alert": {"id": 1, "value": 81.5, "labels": {}}}
        rows = await self.pool.fetch(INSERT, devices, json.dumps(data))
        return [Event(row["offset"], row["device"], data) for row in sorted(rows, key=lambda row: row["offset"])]

    async def commit(self, *devices: str) -> list[Event]:
        """COMMIT one event for each device, and tell the feed."""
        events = await self.insert(*devices)
        self.feed.committed(events)
        return events


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    """Start nodes, wait until they are of use, stop them in the end."""
    try:
        for node in nodes:
            await node.start()
        for node in nodes:
            await node.until("feed.ready")
        yield
    finally:
        for node in nodes:
            await node.stop()


class Client:
    """A bare WebSocket that speaks the protocol as the README shows it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.pongs = True
        self._replies: list[dict[str, Any]] = []
        self._id = 0

    @classmethod
    async def dial(cls, node: Node) -> Self:
        """Open a socket, and send nothing."""
        return cls(await connect(node.url, compression=None, max_size=None, ping_interval=None, proxy=None))

    @classmethod
    async def connected(cls, node: Node, token: str = "reader") -> Self:  # noqa: S107
        """Open a socket and connect."""
        client = await cls.dial(node)
        assert "connect" in await client.ask("connect", {"token": token})
        return client

    async def next(self, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next reply or push; pings are answered on the way."""
        async with asyncio.timeout(timeout_s):
            while True:
                while not self._replies:
                    self._replies = [json.loads(line) for line in str(await self.socket.recv()).split("\n")]
                reply = self._replies.pop(0)
                if reply:
                    return reply
                if self.pongs:
                    await self.socket.send("{}")

    async def ask(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a command and return its reply; no pushes may come between."""
        self._id += 1
        await self.socket.send(json.dumps({"id": self._id, name: body}))
        reply = await self.next()
        assert reply["id"] == self._id
        return reply

    async def subscribe(self, channel: str = "alerts", **fields: Any) -> dict[str, Any]:
        """Subscribe; return the result."""
        return (await self.ask("subscribe", {"channel": channel, **fields}))["subscribe"]  # type: ignore[no-any-return]

    async def error(self, name: str, body: dict[str, Any]) -> int:
        """Send a command that must fail; return the code of its error."""
        return (await self.ask(name, body))["error"]["code"]  # type: ignore[no-any-return]

    async def offsets(self, count: int, timeout_s: float = PATIENCE_S) -> list[int]:
        """The offsets of the next pushes."""
        return [(await self.next(timeout_s))["push"]["pub"]["offset"] for _ in range(count)]

    async def silent(self, for_s: float = 0.3) -> bool:
        """Whether nothing comes."""
        try:
            await self.next(for_s)
        except TimeoutError:
            return True
        return False

    async def closed(self, timeout_s: float = PATIENCE_S) -> tuple[int | None, str | None]:
        """Read until the server closes; return its code and reason."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(timeout_s):
                while True:
                    await self.socket.recv()
        return self.socket.close_code, self.socket.close_reason


def offsets(publications: Sequence[dict[str, Any]]) -> list[int]:
    """The offsets of publications."""
    return [publication["offset"] for publication in publications]
