"""Keys in PostgreSQL: made, kept as a digest only, revoked on every worker, believed for a while without it."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import asyncpg
import pytest

from schemas.errors import DatabaseAway, Unauthorized
from schemas.keys import KeyRequest, Scope
from server.keys import KeyRing
from server.recall import AWAY_S, CACHED_S
from tests.conftest import Server

REVOKED_S = 10.0  # the contract's: a revoked key works no longer than that on any worker


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on this test's database."""
    async with asyncpg.create_pool(database, min_size=0, timeout=2) as pool:
        yield pool


async def statuses(server: Server, key: str, count: int = 16) -> set[int]:
    """What each of many fresh connections is told, so that every worker is among those asked."""

    async def ask() -> int:
        url = f"{server.url}/v1/devices"
        async with aiohttp.ClientSession() as session, session.get(url, headers=server.headers(key)) as response:
            return response.status

    return set(await asyncio.gather(*(ask() for _ in range(count))))


async def test_a_revoked_key_stops_on_every_worker(shared_server: Server) -> None:
    key = await shared_server.key("read")
    assert await statuses(shared_server, key) == {200}
    began = time.monotonic()
    assert (await shared_server.call("DELETE", f"/v1/keys/{key.split('_')[1]}"))[0] == 204
    while 200 in await statuses(shared_server, key):
        assert time.monotonic() - began < REVOKED_S
        await asyncio.sleep(0.1)
    assert await statuses(shared_server, key) <= {401, 429}  # so many wrong keys at once are a flood


async def test_the_list_of_keys_has_no_secret(shared_server: Server) -> None:
    key = await shared_server.key("ingest", device_glob="pump-*")
    _, key_id, secret = key.split("_", 2)
    _, answer = await shared_server.call("GET", "/v1/keys")
    (listed,) = [item for item in answer["items"] if item["id"] == key_id]
    assert (listed["scopes"], listed["device_glob"], listed["revoked_at"]) == (["ingest"], "pump-*", None)
    assert secret not in json.dumps(answer)
    (row,) = await shared_server.fetch("SELECT k::text AS text, secret_sha256 FROM keys k WHERE id = $1", key_id)
    assert secret not in row["text"]
    assert row["secret_sha256"] == hashlib.sha256(secret.encode()).digest()
    assert len(secret) * 6 >= 128, "bits of base64"


async def test_quotas_of_a_key_are_shown_and_checked(shared_server: Server) -> None:
    quotas = {"quota_requests_per_s": 5, "quota_readings_per_s": None}
    wanted = {"name": "gateway", "scopes": ["ingest"]}
    status, made = await shared_server.call("POST", "/v1/keys", wanted | quotas)
    assert (status, made | quotas) == (201, made)
    _, answer = await shared_server.call("GET", "/v1/keys")
    (listed,) = [item for item in answer["items"] if item["id"] == made["id"]]
    assert listed | quotas == listed
    for wrong in (0, -1, 1.5, "5", True, 10**10):
        assert (await shared_server.call("POST", "/v1/keys", wanted | {"quota_readings_per_s": wrong}))[0] == 422, wrong


async def test_two_keys_overlap_and_one_may_go(shared_server: Server) -> None:
    old, new = await shared_server.key("read"), await shared_server.key("read")
    assert old != new
    assert (await shared_server.call("DELETE", f"/v1/keys/{old.split('_')[1]}"))[0] == 204
    assert await statuses(shared_server, new, 4) == {200}
    assert (await shared_server.call("DELETE", "/v1/keys/unknown"))[0] == 404


async def test_a_wrong_secret_of_a_known_key(pool: asyncpg.Pool) -> None:
    ring = KeyRing(pool, Clock(), lambda: 0)
    made = await ring.create(KeyRequest(name="one", scopes=[Scope.READ]))
    assert (await ring.authenticate(made.key)).key_id == made.id
    for wrong in (made.key[:-1], made.key + "x", made.key[:-1] + ("A" if made.key[-1] != "A" else "B")):
        with pytest.raises(Unauthorized):
            await ring.authenticate(wrong)
    assert ring.recognise(made.key) is not None
    assert ring.recognise(made.key + "x") is None


async def test_a_key_expires_also_while_it_is_believed(pool: asyncpg.Pool) -> None:
    now = [1_000_000_000 * 1_000_000]
    ring = KeyRing(pool, Clock(), lambda: now[0])
    at = datetime.fromtimestamp(1_000_000_010, UTC)
    made = await ring.create(KeyRequest(name="one", scopes=[Scope.READ], expires_at=at))
    await ring.authenticate(made.key)
    now[0] += 10_000_000 - 1
    await ring.authenticate(made.key)
    now[0] += 1
    with pytest.raises(Unauthorized):
        await ring.authenticate(made.key)
    assert ring.recognise(made.key) is None


async def test_while_the_database_is_away_a_known_key_is_believed_and_an_unknown_one_is_no_401(
    pool: asyncpg.Pool,
) -> None:
    clock = Clock()
    ring = KeyRing(pool, clock, lambda: 0)
    made = await ring.create(KeyRequest(name="one", scopes=[Scope.READ]))
    stranger = await ring.create(KeyRequest(name="two", scopes=[Scope.READ]))
    await ring.authenticate(made.key)
    pool.terminate()
    clock.now += CACHED_S + 1
    assert (await ring.authenticate(made.key)).key_id == made.id
    with pytest.raises(DatabaseAway):
        await ring.authenticate(stranger.key)
    clock.now += AWAY_S
    with pytest.raises(DatabaseAway):
        await ring.authenticate(made.key)


async def test_when_a_key_was_used_is_written_down(pool: asyncpg.Pool) -> None:
    ring = KeyRing(pool, Clock(), lambda: 0)
    made = await ring.create(KeyRequest(name="one", scopes=[Scope.READ]))
    await ring.authenticate(made.key)
    assert (await ring.all())[0].last_used_at is None
    await ring.write_used()
    used = (await ring.all())[0].last_used_at
    assert used is not None
    assert datetime.now(UTC) - used < timedelta(minutes=1)


async def test_a_flood_of_unknown_keys_leaves_connections_to_others(pool: asyncpg.Pool) -> None:
    ring = KeyRing(pool, Clock(), lambda: 0)
    most = 0

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, pool.get_size() - pool.get_idle_size())
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    unknown = [ring.authenticate(f"slk_unknown{number}_{'A' * 32}") for number in range(300)]
    answers = await asyncio.gather(*unknown, return_exceptions=True)
    looking.cancel()
    assert {type(answer) for answer in answers} == {Unauthorized}
    assert 0 < most <= pool.get_max_size() // 2
