"""A key is revoked while every connection for writing is taken: not to get one is no sign that PostgreSQL is away."""

import asyncio
import time

import asyncpg

from tests.conftest import Server, StartServer

REVOKED_S = 10.0  # the contract's
CONNECTIONS = 4


async def take_all(server: Server) -> None:
    """Have the worker wait, on each of its connections and for ever more, for a lock that it does not get."""
    while True:
        await server.call("POST", "/v1/keys", {"name": "never made", "scopes": ["read"]})


async def status(server: Server, key: str) -> int:
    """What the key is told."""
    async with server.http.get(f"{server.url}/metrics", headers=server.headers(key)) as response:
        return response.status


async def test_a_revoked_key_stops_though_no_connection_is_free(start_server: StartServer) -> None:
    server = await start_server(workers=1, pool_size=CONNECTIONS)
    key, other = await server.key("read"), await server.key("read")
    locking = await asyncpg.connect(server.database_url)
    try:
        transaction = locking.transaction()
        await transaction.start()
        await locking.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
        assert await status(server, key) == 200
        takers = [asyncio.create_task(take_all(server)) for _ in range(4 * CONNECTIONS)]
        busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with asyncio.timeout(30):
            while (await server.fetch(busy))[0][0] < CONNECTIONS - 1:  # noqa: ASYNC110 - one is the elected worker's
                await asyncio.sleep(0.05)
        assert await status(server, key) == 200
        await server.fetch("UPDATE keys SET revoked_at = now() WHERE id = $1", key.split("_")[1])
        revoked = time.monotonic()
        while (told := await status(server, key)) != 401:
            assert time.monotonic() - revoked < REVOKED_S, told
            await asyncio.sleep(0.1)
        assert await status(server, other) == 200
        for taker in takers:
            taker.cancel()
        await asyncio.gather(*takers, return_exceptions=True)
    finally:
        await locking.close()
