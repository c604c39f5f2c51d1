"""Sessions in PostgreSQL: how long they last, how many there are, and what is known of them while it is away."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import jwt
import pytest
from prometheus_client import CollectorRegistry

from schemas.audit import SLUICE
from schemas.errors import DatabaseAway, TooManySessions, Unauthorized
from schemas.keys import Holder, KeyRequest, NewKey, Principal, Scope
from server import sessions as module
from server.entrance import Entrance
from server.keys import KeyRing
from server.recall import AWAY_S, CACHED_S
from server.sessions import BEGIN_EVERY_S, BEGINS, Sessions
from server.settings import Settings
from server.tokens import RELOAD_AGAIN_S, RELOAD_S, TokenKeys, Tokens

HOUR_S = 3_600


class Clock:
    """Seconds, and microseconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return self.now

    def us(self) -> int:
        return time.time_ns() // 1_000 + round(self.ahead_s * 1e6)


class Worker:
    """One worker's part in sessions."""

    def __init__(self, pool: asyncpg.Pool, *, idle_s: int = HOUR_S, most_s: int = 10 * HOUR_S) -> None:
        self.clock = Clock()
        self.ring = KeyRing(pool, self.clock, self.clock.us)
        registry = CollectorRegistry()
        self.sessions = Sessions(
            pool, self.ring, self.clock, self.clock.us, registry, idle_s=idle_s, most_s=most_s
        )  # fmt: skip

    async def key(self, expires_at: datetime | None = None) -> NewKey:
        """A key that reads."""
        return await self.ring.create(KeyRequest(name="one", scopes=[Scope.READ], expires_at=expires_at))

    async def cookie(self, key: NewKey) -> str:
        """The cookie of a session begun just now."""
        return (await self.sessions.begin(Principal(key.id, key.name, frozenset()), SLUICE))[0]

    async def holds(self, cookie: str) -> bool:
        """Whether this worker lets the cookie in, having asked PostgreSQL."""
        self.clock.now += CACHED_S + 1
        try:
            await self.sessions.recognise(cookie)
        except Unauthorized:
            return False
        return True


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on this test's database."""
    async with asyncpg.create_pool(database, min_size=0, timeout=2) as pool:
        yield pool


async def ends(pool: asyncpg.Pool) -> timedelta:
    """How long the one session has from now on."""
    expires: datetime = await pool.fetchval("SELECT expires_at FROM sessions")
    return expires - datetime.now(UTC)


async def test_a_session_lasts_on_with_use_and_not_without(pool: asyncpg.Pool) -> None:
    worker = Worker(pool)
    cookie = await worker.cookie(await worker.key())
    assert await worker.holds(cookie)
    worker.clock.ahead_s = HOUR_S - 10
    assert await worker.holds(cookie)
    worker.clock.ahead_s = HOUR_S + 1
    assert not await worker.holds(cookie)
    worker.clock.ahead_s = 0
    assert await worker.holds(cookie)
    await pool.execute("UPDATE sessions SET expires_at = now() + interval '1 minute'")
    await worker.sessions.write_used()
    assert timedelta(seconds=HOUR_S - 60) < await ends(pool) <= timedelta(seconds=HOUR_S)


async def test_a_session_never_lasts_longer_than_the_longest_nor_than_its_key(pool: asyncpg.Pool) -> None:
    worker = Worker(pool)
    at = datetime.now(UTC) + timedelta(minutes=20)
    cookie = await worker.cookie(await worker.key(expires_at=at))
    assert await pool.fetchval("SELECT expires_at FROM sessions") == at
    assert await worker.holds(cookie)
    await pool.execute("UPDATE keys SET expires_at = NULL")
    await pool.execute("UPDATE sessions SET created_at = now() - interval '9 hours 50 minutes'")
    await worker.sessions.write_used()
    assert timedelta(minutes=9) < await ends(pool) <= timedelta(minutes=10)


async def test_a_session_that_has_ended_is_not_brought_back_by_its_last_use(pool: asyncpg.Pool) -> None:
    worker = Worker(pool)
    assert await worker.holds(await worker.cookie(await worker.key()))
    await pool.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
    await worker.sessions.write_used()
    assert await ends(pool) < timedelta(0)


async def test_one_key_has_so_many_sessions_and_the_one_unused_longest_goes(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OF_KEY", 3)
    worker = Worker(pool)
    key, other = await worker.key(), await worker.key()
    of_other = await worker.cookie(other)
    cookies = [await worker.cookie(key) for _ in range(3)]
    assert await worker.holds(cookies[0])
    await worker.sessions.write_used()
    cookies.append(await worker.cookie(key))
    assert [await worker.holds(each) for each in cookies] == [True, False, True, True]
    together = await asyncio.gather(*(worker.cookie(key) for _ in range(8)))
    assert [await worker.holds(each) for each in together].count(True) == 3
    assert await worker.holds(of_other)


@pytest.mark.parametrize(("url", "secure"), [("https://sluice.example.com", True), ("http://sluice", False)])
async def test_the_cookie_is_for_https_alone_where_people_are_told_to_come_so(
    pool: asyncpg.Pool, url: str, secure: bool
) -> None:
    settings = Settings(external_url=url)
    assert Entrance(pool, pool, CollectorRegistry(), settings, Clock().us).desk.secure is secure


async def test_sessions_are_begun_at_a_bounded_rate(pool: asyncpg.Pool) -> None:
    worker = Worker(pool)
    key, other = await worker.key(), await worker.key()
    for _ in range(BEGINS):
        await worker.cookie(key)
    with pytest.raises(TooManySessions) as raised:
        await worker.cookie(key)
    assert raised.value.retry_after == BEGIN_EVERY_S
    await worker.cookie(other)
    worker.clock.now += BEGIN_EVERY_S
    await worker.cookie(key)


async def test_what_has_ended_is_deleted(pool: asyncpg.Pool) -> None:
    worker = Worker(pool)
    gone, stays = await worker.key(), await worker.key()
    await worker.cookie(gone)
    expired, cookie = await worker.cookie(stays), await worker.cookie(stays)
    await worker.ring.revoke(gone.id)
    session, _ = await worker.sessions.recognise(expired)
    await pool.execute("UPDATE sessions SET expires_at = now() WHERE id = $1", session.id)
    await worker.sessions.prune()
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 1
    assert await worker.holds(cookie)


async def test_while_postgresql_is_away_a_known_session_is_believed_and_an_unknown_one_is_no_401(
    pool: asyncpg.Pool,
) -> None:
    worker = Worker(pool)
    key = await worker.key()
    known, stranger = await worker.cookie(key), await worker.cookie(key)
    session, _ = await worker.sessions.recognise(known)
    pool.terminate()
    assert await worker.holds(known)
    assert (await worker.sessions.standing(Holder(key.id, session.id))).key_id == key.id
    with pytest.raises(DatabaseAway):
        await worker.sessions.recognise(stranger)
    worker.clock.now += AWAY_S
    with pytest.raises(DatabaseAway):
        await worker.sessions.recognise(known)


async def test_what_was_made_from_a_session_ends_with_it_and_with_its_key(pool: asyncpg.Pool) -> None:
    one, two = Worker(pool), Worker(pool)
    key, other = await one.key(), await one.key()
    session, _ = await one.sessions.recognise(await one.cookie(key))
    kept, _ = await one.sessions.recognise(await one.cookie(key))
    assert (await two.sessions.standing(Holder(key.id, session.id))).key_id == key.id
    with pytest.raises(Unauthorized):
        await two.sessions.standing(Holder(other.id, session.id))
    await one.sessions.end(session, SLUICE)
    two.clock.now += CACHED_S + 1
    for worker in (one, two):
        with pytest.raises(Unauthorized):
            await worker.sessions.standing(Holder(key.id, session.id))
        assert (await worker.sessions.standing(Holder(key.id))).key_id == key.id
        assert (await worker.sessions.standing(Holder(key.id, kept.id))).key_id == key.id
    await one.ring.revoke(key.id)
    two.clock.now += CACHED_S + 1
    for worker, holder in itertools.product((one, two), (Holder(key.id), Holder(key.id, kept.id))):
        with pytest.raises(Unauthorized):
            await worker.sessions.standing(holder)


async def test_the_secret_that_signs_is_everybodys_and_can_be_rotated(pool: asyncpg.Pool) -> None:
    clock = Clock()
    one, two = (Tokens(TokenKeys(pool, clock, ()), clock.us, ttl_s=600) for _ in range(2))
    holder = Holder("abc123")
    first = (await one.sign(holder, None)).text
    assert (await two.read(first))[0] == holder
    for rotations in range(2):
        await pool.execute("SELECT rotate_token_key()")
        fresh = Tokens(TokenKeys(pool, clock, ()), clock.us, ttl_s=600)
        newest = (await fresh.sign(holder, None)).text
        clock.now += RELOAD_AGAIN_S
        assert (await two.read(newest))[0] == holder, "a worker looks for a secret it does not know"
        if rotations == 0:
            assert (await fresh.read(first))[0] == holder
    with pytest.raises(Unauthorized):
        await fresh.read(first)
    pool.terminate()
    assert (await two.read(newest))[0] == holder
    with pytest.raises(DatabaseAway):
        await Tokens(TokenKeys(pool, clock, ()), clock.us, ttl_s=600).sign(holder, None)


async def test_without_a_secret_nobody_is_told_that_his_token_is_wrong(pool: asyncpg.Pool) -> None:
    clock = Clock()
    tokens = Tokens(TokenKeys(pool, clock, ()), clock.us, ttl_s=600)
    token = (await tokens.sign(Holder("abc123"), None)).text
    await pool.execute("DELETE FROM token_keys")
    clock.now += RELOAD_S
    for asked in (tokens.sign(Holder("abc123"), None), tokens.read(token)):
        with pytest.raises(DatabaseAway, match="rotate_token_key"):
            await asked


async def test_who_brings_a_made_up_secret_keeps_nobody_waiting(pool: asyncpg.Pool) -> None:
    clock = Clock()
    tokens = Tokens(TokenKeys(pool, clock, ()), clock.us, ttl_s=600)
    token = (await tokens.sign(Holder("abc123"), None)).text
    made_up = jwt.encode({}, b"x" * 32, headers={"kid": "made up"})
    clock.now += RELOAD_AGAIN_S
    async with pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE token_keys IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(tokens.read(made_up))
        async with asyncio.timeout(30):
            while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            assert (await tokens.read(token))[0] == Holder("abc123")
        assert not asking.done()
    with pytest.raises(Unauthorized):
        await asking
