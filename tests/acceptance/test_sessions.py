"""Sessions over HTTP and on `/ws`: begun with a key, used with a cookie, over everywhere once they are ended."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp
import pytest
import pytest_asyncio

from tests.acceptance.login import CSRF, Login
from tests.acceptance.test_revocation import INVALID_TOKEN, REVOKED_S, one_of_each_worker
from tests.acceptance.wire import Socket
from tests.conftest import Server, StartServer

RULE = {
    "name": "hot", "device": "nothing", "metric": "t",
    "condition": {"type": "threshold", "levels": [{"severity": "warning", "above": 70}]},
}  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def server(start_shared_server: StartServer) -> Server:
    """Two workers."""
    return await start_shared_server()


async def test_log_in_look_and_log_out(server: Server) -> None:
    key = await server.key("admin", "read", device_glob=None)
    browser = await Login.begin(server, key)
    assert browser.set_cookie.startswith("sluice_session=")
    morsel = browser.morsel
    assert (morsel["httponly"], morsel["samesite"].lower(), morsel["path"]) == (True, "strict", "/")
    assert (morsel["secure"], morsel["domain"]) == ("", "")
    key_id = key.split("_")[1]
    expected = {"id": key_id, "name": "test", "scopes": ["admin", "read"], "device_glob": None}
    assert browser.view["key"] == expected
    status, again = await browser.ask("GET", "/v1/session")
    assert (status, again) == (200, browser.view)
    assert (await browser.ask("POST", "/v1/rules", browser.csrf, RULE))[0] == 201
    assert await browser.ask("DELETE", "/v1/session", browser.csrf) == (204, "")
    stranger = await server.call("GET", "/v1/session", key="slk_no_key")
    async with asyncio.timeout(REVOKED_S), one_of_each_worker(server) as workers:
        for each in workers:
            while (answer := await browser.ask("GET", "/v1/session", by=each))[0] == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            assert answer == stranger
    acts = await server.fetch("SELECT act, object FROM audit WHERE key_id = $1 ORDER BY id", key_id)
    assert [tuple(each) for each in acts][::2] == [("session.begin", key_id), ("session.end", key_id)]
    stored = await server.fetch("SELECT s::text FROM sessions s UNION ALL SELECT a::text FROM audit a")
    assert not [row for row in stored if browser.morsel.value in row[0] or browser.view["csrf"] in row[0]]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_a_change_needs_what_only_our_page_knows(server: Server, method: str) -> None:
    browser, other = await Login.begin(server), await Login.begin(server)
    cookie = browser.morsel.value
    for wrong in ({}, {CSRF: ""}, {CSRF: "nonsense"}, {CSRF: cookie}, {CSRF: "é"}, other.csrf):
        status, problem = await browser.ask(method, "/v1/rules/999999", wrong, RULE)
        assert (status, problem["code"]) == (403, "csrf"), wrong
    assert (await browser.ask(method, "/v1/rules/999999", browser.csrf, RULE))[0] in (404, 405)
    assert (await browser.ask(method, "/v1/rules/999999", server.headers(), RULE))[0] in (404, 405), "a key needs none"


async def test_a_cookie_stands_for_its_key_and_for_no_more(server: Server) -> None:
    bound = await Login.begin(server, await server.key("read", device_glob="pump-*"))
    assert (await bound.ask("GET", "/v1/devices/fan-1"))[0] == 403
    assert (await bound.ask("GET", "/v1/devices/pump-1"))[0] == 404
    assert (await bound.ask("GET", "/v1/keys"))[0] == 403
    assert (await bound.ask("GET", "/metrics"))[0] == 200
    # A key in a header is what counts, also a wrong one.
    assert (await bound.ask("GET", "/v1/keys", server.headers()))[0] == 200
    assert (await bound.ask("GET", "/v1/devices", server.headers("slk_no_key")))[0] == 401
    assert (await bound.ask("GET", "/v1/session", server.headers()))[0] == 404
    writer = await Login.begin(server, await server.key("ingest"))
    assert (await writer.ask("POST", "/v1/readings", writer.csrf, []))[0] == 401, "devices send keys"
    assert (await writer.ask("POST", "/v1/tokens", writer.csrf))[0] == 403
    assert (await bound.ask("POST", "/v1/session", bound.csrf))[0] == 403, "a session begins no session"


async def test_the_cookie_is_for_https_alone_where_a_proxy_says_that_people_come_so(server: Server) -> None:
    assert (await Login.begin(server, **{"X-Forwarded-Proto": "https"})).morsel["secure"] is True


async def open_by(server: Server, browser: Login, origin: str | None, http: aiohttp.ClientSession) -> Socket:
    """A socket opened by a page of this origin; a browser sends the cookie along in any case."""
    headers = browser.cookie | ({"Origin": origin} if origin else {})
    return await Socket.open(server, "", http, headers)


async def test_a_page_of_ours_needs_nothing_but_the_cookie_and_no_other_page_can_use_it(server: Server) -> None:
    browser = await Login.begin(server, await server.key("read"))
    socket = await (await open_by(server, browser, server.url, server.http)).connected()
    assert await socket.subscribe("alerts") is None
    await socket.close()
    for origin in ("https://evil.example", "null", None):
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await open_by(server, browser, origin, server.http)
        assert raised.value.status == 403, origin
    assert await (await Socket.open(server, "")).closed() == INVALID_TOKEN
    writer = await Login.begin(server, await server.key("ingest"))
    assert await (await open_by(server, writer, server.url, server.http)).closed() == INVALID_TOKEN


async def test_what_a_session_opened_is_over_with_it_everywhere(server: Server) -> None:
    """Logged out, and the key revoked: sockets by cookie and by token, tokens, requests; nobody else's."""
    key, revoked = await server.key("read"), await server.key("read")
    left, stays, ended = [await Login.begin(server, each) for each in (key, key, revoked)]
    _, token_of_key = await server.call("POST", "/v1/tokens", key=revoked)
    async with AsyncExitStack() as stack:
        workers = await stack.enter_async_context(one_of_each_worker(server))
        opened: dict[Login, list[Socket]] = {}
        tokens: dict[Login, str] = {}
        for browser in (left, stays, ended):
            status, token = await browser.ask("POST", "/v1/tokens", browser.csrf)
            assert (status, token["ttl_s"]) == (201, 600)
            tokens[browser] = token["token"]
            lines = await stack.enter_async_context(one_of_each_worker(server))
            opened[browser] = [await (await open_by(server, browser, server.url, each)).connected() for each in lines]
            lines = await stack.enter_async_context(one_of_each_worker(server))
            opened[browser] += [await (await Socket.open(server, token["token"], each)).connected() for each in lines]
        opened[ended].append(await (await Socket.open(server, token_of_key["token"])).connected())
        # The worst moment: every worker has just been told that all is well.
        for browser in (left, stays, ended):
            assert [(await browser.ask("GET", "/v1/devices", by=each))[0] for each in workers] == [200, 200]
        assert (await left.ask("DELETE", "/v1/session", left.csrf))[0] == 204
        assert (await server.call("DELETE", f"/v1/keys/{revoked.split('_')[1]}"))[0] == 204
        async with asyncio.timeout(REVOKED_S):
            for browser in (left, ended):
                assert {await socket.closed() for socket in opened[browser]} == {INVALID_TOKEN}
                for each in workers:
                    while (await browser.ask("GET", "/v1/devices", by=each))[0] != 401:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
        for token in (tokens[left], tokens[ended], token_of_key["token"]):
            lines = await stack.enter_async_context(one_of_each_worker(server))
            assert [await (await Socket.open(server, token, each)).closed() for each in lines] == [INVALID_TOKEN] * 2
        assert [(await stays.ask("GET", "/v1/devices", by=each))[0] for each in workers] == [200, 200]
        assert [await socket.subscribe("alerts") for socket in opened[stays]] == [None] * 4
