"""Sluice behind nginx, as `server/deploy/nginx/sluice.conf` has it: nothing that devices act on is lost on the way."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from schemas.errors import TooLarge, Unavailable, Unknown
from schemas.problems import encode_problem
from tests.acceptance.nginx import BINARY, HOST, NODES, PATIENCE_S, TRIED, Nginx, Setup, free_port, nginx
from tests.conftest import Server, StartServer

pytestmark = pytest.mark.skipif(BINARY is None, reason="NGINX IS ABSENT: the file for it was NOT tried")

OWN = "127.0.0.2"
SECRET = "slk_not-for-logs_0123456789"


@pytest_asyncio.fixture(scope="module")
async def server(start_shared_server: StartServer) -> Server:
    """One worker, which says in links that it is reached by https."""
    return await start_shared_server(workers=1, log_level="info")


@pytest_asyncio.fixture(scope="module")
async def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nginx]:
    """nginx, before an instance that is not there and one that is."""
    upstreams = (f"{HOST}:{free_port()}", server.url.removeprefix("http://"))
    async with nginx(tmp_path_factory.mktemp("nginx"), upstreams) as running:
        yield running


class Client:
    """Asks nginx."""

    def __init__(self, session: aiohttp.ClientSession, proxy: Nginx, server: Server) -> None:
        self.session, self.proxy, self.server = session, proxy, server

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any, bytes]:
        """Status, headers and body of the answer; with the admin key, unless other headers are given."""
        headers = self.server.headers() | more.pop("headers", {})
        url = self.proxy.url + path
        async with self.session.request(
            method, url, ssl=self.proxy.trust, headers=headers, allow_redirects=False, **more
        ) as answer:
            return answer.status, answer.headers, await answer.read()


@pytest_asyncio.fixture
async def client(proxy: Nginx, server: Server) -> AsyncIterator[Client]:
    """A client of nginx, from an address of its own."""
    connector = aiohttp.TCPConnector(local_addr=(OWN, 0))
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        yield Client(session, proxy, server)


def batch(count: int = 1, device: str = "behind") -> dict[str, Any]:
    """Readings of now."""
    now = time.time_ns() // 1_000_000
    return {"device": device, "readings": [{"ts": now - at, "metric": "m", "value": 0.5} for at in range(count)]}


async def test_a_batch_is_stored_whatever_its_size_and_encoding(client: Client) -> None:
    for count in (1, 500):
        status, headers, body = await client.ask("POST", "/v1/readings", json=batch(count))
        assert (status, json.loads(body)["accepted"] + json.loads(body)["duplicates"]) == (200, count)
        assert "max-age" in headers["Strict-Transport-Security"]
    assert "Referrer-Policy" not in headers, "known series, but not by the express door"
    packed = gzip.compress(json.dumps(batch(5)).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    status, _, body = await client.ask("POST", "/v1/readings", data=packed, headers=headers)
    assert (status, json.loads(body)["accepted"]) == (200, 5)


async def test_refusals_come_through_as_they_are(client: Client) -> None:
    status, headers, body = await client.ask("POST", "/v1/readings", json={"device": "x", "readings": [{}]})
    assert (status, headers["Content-Type"], json.loads(body)["code"]) == (422, "application/problem+json", "invalid")
    status, headers, _ = await client.ask("POST", "/v1/readings", json=batch(), headers={"Authorization": "Bearer x"})
    assert (status, headers["Content-Type"]) == (401, "application/problem+json")


async def test_a_request_has_one_id_in_both_logs_and_in_the_answer(client: Client) -> None:
    for given, kept in (("line-3.batch_7", True), ("no id: spaces", False)):
        for path, status in (("/v1/readings", 200), ("/v1/nothing", 404)):
            found, headers, _ = await client.ask("POST", path, json=batch(), headers={"X-Request-ID": given})
            assert found == status
            assert (headers["X-Request-ID"] == given) == kept, path
            assert f'"request_id":"{headers["X-Request-ID"]}"' in await logged(client.proxy, headers["X-Request-ID"])


async def logged(proxy: Nginx, words: str) -> str:
    """What nginx wrote down, once these words are there."""
    deadline = time.monotonic() + PATIENCE_S
    while words not in (text := proxy.logs):
        assert time.monotonic() < deadline, text[-2_000:]
        await asyncio.sleep(0.02)
    return text


async def test_the_address_and_the_scheme_are_the_clients_own_and_cannot_be_made_up(client: Client) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "Forwarded": "for=203.0.113.9"}
    wanted = {"name": "behind nginx", "scopes": ["read"]}
    status, _, body = await client.ask("POST", "/v1/keys", json=wanted, headers=forged)
    assert status == 201
    [row] = await client.server.fetch("SELECT address FROM audit WHERE object = $1", json.loads(body)["id"])
    assert row["address"] == OWN
    status, headers, _ = await client.ask("POST", "/v1/session", headers=forged)
    assert status == 201
    assert "Secure" in headers["Set-Cookie"]  # the browser came by https, whatever it says


async def test_too_large_a_body_is_refused_in_our_words(client: Client) -> None:
    for chunked in (False, True):
        status, headers, body = await client.ask("POST", "/v1/readings", data=b" " * 70_000, chunked=chunked or None)
        assert (status, headers["Content-Type"]) == (413, "application/problem+json")
        assert body == encode_problem(TooLarge("body_bytes", 8 << 20))


async def test_a_websocket_goes_through_with_its_origin(client: Client) -> None:
    proxy = client.proxy
    _, headers, _ = await client.ask("POST", "/v1/session")
    cookie = headers["Set-Cookie"].partition(";")[0]
    own = {"Cookie": cookie, "Origin": proxy.url}
    async with client.session.ws_connect(f"{proxy.url}/ws", ssl=proxy.trust, headers=own) as socket:
        await socket.send_str('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"alerts"}}')
        found: list[dict[str, Any]] = []
        while len(found) < 2:
            found += [json.loads(line) for line in (await socket.receive_str(timeout=PATIENCE_S)).splitlines()]
        assert found[0]["connect"]["ping"] == 25
        assert found[1]["subscribe"]["recoverable"]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.session.ws_connect(
            f"{proxy.url}/ws", ssl=proxy.trust, headers={"Cookie": cookie, "Origin": "https://evil.example"}
        )
    assert refused.value.status == 403


async def test_an_export_is_passed_on_whole(client: Client) -> None:
    await client.ask("POST", "/v1/readings", json=batch(1_000, "long"))
    path = "/v1/readings?device=long&metric=m&from=2026-01-01T00:00:00Z"
    status, _, body = await client.ask("GET", path, headers={"Accept": "text/csv"})
    assert status == 200
    assert len(body.splitlines()) == 1_001


async def test_keys_in_urls_are_in_no_log(client: Client) -> None:
    for path in (f"/write?db=d&u=x&p={SECRET}", f"/query?q=x&p={SECRET}", f"/api/v1/{SECRET}/telemetry"):
        await client.ask("POST", path, data=b"m v=1", headers={"Authorization": ""})
    text = await logged(client.proxy, "/telemetry")
    assert "/api/v1/***/telemetry" in text
    assert SECRET not in text


async def test_without_tls_people_are_led_on_and_devices_refused(client: Client) -> None:
    url = f"http://{HOST}:{client.proxy.plain_port}"
    async with client.session.get(f"{url}/", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (308, f"https://{HOST}/")
    async with client.session.post(f"{url}/v1/readings", json=batch(), allow_redirects=False) as answer:
        assert answer.status == 403


async def dying(heard: list[bytes]) -> asyncio.Server:
    """One that hangs up on whatever it hears."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    return await asyncio.start_server(hang_up, HOST, 0)


async def test_readings_go_to_another_node_where_theirs_died_and_nothing_else_does(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    heard: list[bytes] = []
    listening = await dying(heard)
    upstreams = (f"{HOST}:{listening.sockets[0].getsockname()[1]}", server.url.removeprefix("http://"))
    folder = tmp_path_factory.mktemp("nginx")
    async with (
        listening,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session,
        nginx(folder, upstreams, Setup(NODES)) as proxy,
    ):
        client = Client(session, proxy, server)
        key = {"name": "once", "scopes": ["read"]}
        made = [(await client.ask("POST", "/v1/keys", json=key))[0] for _ in upstreams]  # in turn, as nodes.conf has it
        assert sorted(made) == [201, 504]
        stored = [await client.ask("POST", "/v1/readings", json=batch()) for _ in upstreams]
        assert [status for status, _, _ in stored] == [200, 200]
        assert sorted(headers[TRIED].count(",") for _, headers, _ in stored) == [0, 1]
    assert len(heard) == 2


async def test_what_may_have_the_time_of_its_arrival_is_not_sent_twice(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    heard: list[bytes] = []
    async with await dying(heard) as listening, aiohttp.ClientSession() as session:
        upstreams = (f"{HOST}:{listening.sockets[0].getsockname()[1]}", server.url.removeprefix("http://"))
        for path in ("/api/v2/write", "/write"):
            async with nginx(tmp_path_factory.mktemp("nginx"), upstreams, Setup(NODES)) as proxy:
                client = Client(session, proxy, server)
                answers = [(await client.ask("POST", path, data=b"m,device=timeless v=1"))[0] for _ in upstreams]
                assert sorted(answers) == [204, 504]
    assert len(heard) == 2


async def test_who_was_told_nothing_is_503_and_who_may_have_been_is_504(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    heard: list[bytes] = []
    listening = await dying(heard)
    port = listening.sockets[0].getsockname()[1]
    cases = ((f"{HOST}:{free_port()}", Unavailable()), (f"{HOST}:{port}", Unknown()))
    async with listening, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        for upstream, wanted in cases:
            async with nginx(tmp_path_factory.mktemp("nginx"), (upstream,)) as proxy:
                client = Client(session, proxy, server)
                status, headers, body = await client.ask("POST", "/v1/readings", json=batch())
                assert (status, body) == (wanted.status, encode_problem(wanted))
                assert headers["Content-Type"] == "application/problem+json"
                assert headers.get("Retry-After", "1") == "1"
                await client.ask("POST", f"/write?db=d&u=x&p={SECRET}", data=b"m v=1")
                await client.ask("POST", f"/api/v1/{SECRET}/telemetry", data=b"{}")
                assert SECRET not in await logged(proxy, "/telemetry")
    assert heard
