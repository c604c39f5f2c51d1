"""The unmodified Centrifugo clients with tokens that live for two seconds: refreshed in mid-stream, without a gap."""

import asyncio
import time
from pathlib import Path

import asyncpg
import centrifuge
import pytest_asyncio

from schemas.keys import Holder
from server.tokens import TokenKeys, Tokens
from tests.acceptance.login import Login
from tests.acceptance.test_sdks import Heard, javascript, python
from tests.conftest import Server, StartServer

RULE = {
    "name": "hot", "device": "pump-*", "metric": "t",
    "condition": {"type": "threshold", "levels": [{"severity": "warning", "above": 70}]},
}  # fmt: skip
TOKENS = 4
OVER = {1, 3500}  # the client was told 401 when it asked for another token, or the server closed it: both are for good


@pytest_asyncio.fixture(scope="module")
async def server(start_shared_server: StartServer) -> Server:
    """One worker, that gives out tokens of two seconds."""
    server = await start_shared_server(workers=1, token_ttl_s=2)
    assert (await server.call("POST", "/v1/rules", RULE))[0] == 201
    return server


def address(server: Server) -> str:
    """Of `/ws`."""
    return server.url.replace("http", "ws") + "/ws"


async def expired(server: Server, key_id: str) -> str:
    """A token of this server's whose time was over an hour ago: what a laptop holds that was asleep."""
    async with asyncpg.create_pool(server.database_url, min_size=0) as pool:
        secrets = TokenKeys(pool, time.monotonic)
        return (await Tokens(secrets, lambda: (time.time_ns() - 3_600 * 10**9) // 1_000, ttl_s=60).sign(
            Holder(key_id), None
        )).text  # fmt: skip


async def refreshed(server: Server, heard: Heard) -> None:
    """Raise and resolve an alert over and over until so many tokens were used up; each event has to arrive once."""
    await heard.until("subscribed", 1)
    before = len((await server.call("GET", "/v1/alerts/events?limit=1000"))[1]["items"])
    ts, values = time.time_ns() // 1_000_000 - 30_000, (99, 1)
    async with asyncio.timeout(60):
        while len(heard.of("token")) < TOKENS:
            reading = {"ts": (ts := ts + 1), "metric": "t", "value": values[ts % 2]}
            assert (await server.write({"device": "pump-1", "readings": [reading]}))[0] == 200
            await asyncio.sleep(0.05)
    committed = (await server.call("GET", "/v1/alerts/events?limit=1000"))[1]["items"][before:]
    publications = await heard.until("publication", len(committed))
    assert [each["offset"] for each in publications] == [each["offset"] for each in committed]
    assert len(committed) > TOKENS
    assert len(heard.of("connected")) == len(heard.of("subscribed")) == 1, "one connection all the time"
    assert not heard.of("disconnected")


async def test_python_by_a_session(server: Server) -> None:
    key = await server.key("read")
    login = await Login.begin(server, key)
    tokens = Heard()

    async def get_token() -> str:
        status, answer = await login.ask("POST", "/v1/tokens", login.csrf)
        if status == 401:
            raise centrifuge.UnauthorizedError
        await tokens.add("token")
        return str(answer["token"])

    old = await expired(server, key.split("_")[1])
    async with python(address(server), token=old, get_token=get_token) as heard:
        tokens.all = heard.all
        await refreshed(server, heard)
        assert (await login.ask("DELETE", "/v1/session", login.csrf))[0] == 204
        assert (await heard.until("disconnected", 1))[0]["code"] in OVER


async def test_javascript_by_a_key(server: Server, node_folder: Path) -> None:
    key = await server.key("read")
    old = await expired(server, key.split("_")[1])
    async with javascript(node_folder, address(server), old, "alerts", f"{server.url}/v1/tokens", key) as heard:
        await refreshed(server, heard)
        assert (await server.call("DELETE", f"/v1/keys/{key.split('_')[1]}"))[0] == 204
        assert (await heard.until("disconnected", 1))[0]["code"] in OVER
