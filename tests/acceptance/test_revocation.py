"""A key that was revoked, or expired, is over: on every worker, for requests and for the sockets that it opened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp

from tests.acceptance.dashboard import connection
from tests.acceptance.wire import Socket
from tests.conftest import Server

REVOKED_S = 10.0  # the contract's
BUSY_S = 10.0  # more, on a machine that does other things
INVALID_TOKEN = 3500


@asynccontextmanager
async def one_of_each_worker(server: Server) -> AsyncIterator[list[aiohttp.ClientSession]]:
    """Clients, one at each worker."""
    async with AsyncExitStack() as stack:
        found: dict[int, aiohttp.ClientSession] = {}
        while len(found) < len(server.supervisor.pids):
            async with AsyncExitStack() as attempt:
                session, worker = await attempt.enter_async_context(connection(server.url))
                if worker not in found:
                    found[worker] = session
                    stack.push_async_exit(attempt.pop_all())
        yield [*found.values()]


async def sockets(server: Server, stack: AsyncExitStack, key: str) -> list[Socket]:
    """A socket on every worker, connected with the key and subscribed."""
    opened = []
    for http in await stack.enter_async_context(one_of_each_worker(server)):
        socket = await (await Socket.open(server, key, http)).connected()
        assert await socket.subscribe("alerts") is None
        opened.append(socket)
    return opened


async def works(server: Server, http: aiohttp.ClientSession, key: str) -> bool:
    """Whether a worker lets the key in."""
    async with http.get(f"{server.url}/v1/devices", headers=server.headers(key)) as response:
        await response.read()
        assert response.status in (200, 401, 429)
        return response.status == 200


async def test_what_a_revoked_key_opened_is_closed_everywhere_within_ten_seconds(shared_server: Server) -> None:
    old, new = await shared_server.key("read"), await shared_server.key("read")
    async with AsyncExitStack() as stack:
        workers = await stack.enter_async_context(one_of_each_worker(shared_server))
        of_old, of_new = await sockets(shared_server, stack, old), await sockets(shared_server, stack, new)
        # The worst moment to revoke: every worker has just been told that the key is good.
        assert all([await works(shared_server, http, key) for http in workers for key in (old, new)])
        assert (await shared_server.call("DELETE", f"/v1/keys/{old.split('_')[1]}"))[0] == 204
        async with asyncio.timeout(REVOKED_S + BUSY_S):
            assert {await socket.closed() for socket in of_old} == {INVALID_TOKEN}
            while any([await works(shared_server, http, old) for http in workers]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        # The key that took its place in time has not noticed.
        assert all([await works(shared_server, http, new) for http in workers])
        assert [await socket.subscribe("alerts:pump-1") for socket in of_new] == [None, None]
        refused = await Socket.open(shared_server, old)
        assert await refused.closed() == INVALID_TOKEN


async def test_a_key_that_expires_in_mid_stream(shared_server: Server) -> None:
    at = datetime.now(UTC) + timedelta(seconds=2)
    key = await shared_server.key("read", expires_at=at.isoformat())
    async with AsyncExitStack() as stack:
        workers = await stack.enter_async_context(one_of_each_worker(shared_server))
        opened = await sockets(shared_server, stack, key)
        assert all([await works(shared_server, http, key) for http in workers])
        async with asyncio.timeout(2 + REVOKED_S + BUSY_S):
            assert {await socket.closed() for socket in opened} == {INVALID_TOKEN}
        assert datetime.now(UTC) >= at
        assert not any([await works(shared_server, http, key) for http in workers])
