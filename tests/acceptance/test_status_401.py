"""Contract §3, 401 and 403: one answer for every wrong key, one for every key that may not."""

import json

import aiohttp

from tests.acceptance.posting import Headers, assert_life_goes_on, batch, post, stored
from tests.conftest import Server


async def test_401_is_one_and_the_same_for_every_reason(server: Server) -> None:
    good = await server.key("ingest")
    key_id = good.split("_")[1]
    revoked = await server.key("ingest")
    assert (await post(server, batch(), key=revoked))[0] == 200
    assert (await server.call("DELETE", f"/v1/keys/{revoked.split('_')[1]}"))[0] == 204
    expired = await server.key("ingest", expires_at="2020-01-01T00:00:00Z")
    before = await stored(server)
    presented: list[Headers] = [
        {"Authorization": f"Bearer {key}"}
        for key in ("nonsense", "slk__", "slk_unknownid_secret", f"slk_{key_id}_wrong", revoked, expired, "x" * 8_192)
    ]
    presented += [{"Authorization": "Bearer "}, {"Authorization": "Basic bm9ib2R5OgBfAA=="}, {"X-API-Key": "slk_a_b"}]
    answers = set()
    url = f"{server.url}/v1/readings"
    for headers in [{}, *presented, *presented]:
        async with server.http.post(url, json=batch(), headers=headers) as response:
            assert response.status == 401
            assert response.content_type == "application/problem+json"
            answers.add((await response.read(), response.headers["WWW-Authenticate"]))
    assert len(answers) == 1
    assert await stored(server) == before
    await assert_life_goes_on(server, good)


async def test_401_comes_before_the_body_is_looked_at(server: Server) -> None:
    for body in (b"not json", b"", b'{"value":"x"}'):
        async with server.http.post(f"{server.url}/v1/readings", data=body) as response:
            assert response.status == 401


async def test_a_key_is_taken_in_every_form(server: Server) -> None:
    for headers in (
        {"Authorization": f"Token {server.admin_key}"},
        {"Authorization": aiohttp.encode_basic_auth("anybody", server.admin_key)},
        {"X-API-Key": server.admin_key},
    ):
        async with server.http.post(f"{server.url}/v1/readings", json=batch(), headers=headers) as response:
            assert response.status == 200


async def test_403_of_a_scope_and_of_devices(server: Server) -> None:
    reader = await server.key("read")
    pumps = await server.key("ingest", device_glob="pump-*")
    assert (await post(server, batch(), key=pumps))[0] == 200
    before = await stored(server)
    for _ in range(2):
        assert (await post(server, batch(), key=reader))[0] == 403
        assert (await post(server, batch(device="room-1"), key=pumps))[0] == 403
        both = json.dumps([batch(), batch(device="room-1")]).encode()
        assert (await post(server, both, key=pumps))[0] == 403
    assert await stored(server) == before
    assert not await server.fetch("SELECT FROM devices WHERE name = 'room-1'")
    await assert_life_goes_on(server, pumps)
