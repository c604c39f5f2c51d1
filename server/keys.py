"""API keys: made, listed, revoked, and recognised.

A key reads ``slk_<id>_<secret>``. Its secret has 192 random bits, so one SHA-256 is enough to store: there is nothing
to guess that a slow hash would have to protect.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import string
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import structlog

from schemas import audit
from schemas.audit import SLUICE, Act, Actor, Outcome
from schemas.errors import DatabaseAway, Unauthorized
from schemas.keys import Key, KeyRequest, NewKey, Principal, Scope
from schemas.times import to_micros
from server.database import AWAY

log = structlog.get_logger(__name__)

ACQUIRE_S = 1.5
SILENCE_S = 0.5  # after which what was known lately of a key goes on counting, while PostgreSQL is asked
ASKING_S = 0.5  # for one of these; with the two that follow, still within the five seconds a request may take
CACHED_S = 5.0  # a key is believed for so long: revoking one works within that on every worker (contract: 10 s)
AWAY_S = 300.0  # and for so long while PostgreSQL is away, so that senders get the 503 they can act on, not a 401
REFRESH_S = 1.5  # after which a key in use is asked for again, all of them together, before anybody has to wait for it
REFRESH_EVERY_S = 0.5
REFRESH_WITHIN_S = 1.0  # with giving the connection back, still before `CACHED_S` is over
WRITE_EVERY_S = 10.0
ASK_AGAIN_S = 1.0  # between two questions about a key while PostgreSQL is away
MAX_CACHED = 100_000
MAX_ASKING = 3  # questions about keys at one time: a flood of unknown ones leaves the pool's other connections alone
MAX_KEY_CHARS = 128
_ID_CHARS = string.ascii_lowercase + string.digits
_ID = re.compile("[a-z0-9]+")  # also keeps from PostgreSQL what it would not take as text
_COLUMNS = "id, name, scopes, device_glob, created_at, last_used_at, expires_at, revoked_at"
_FIND = (
    "SELECT id, name, scopes, device_glob, secret_sha256, expires_at, revoked_at FROM keys WHERE id = ANY($1::text[])"
)


@dataclass(slots=True)
class _Cached:
    digest: bytes
    principal: Principal | None  # None: unknown or revoked
    expires_us: int | None
    since: float  # seconds of the monotonic clock at which PostgreSQL said so
    checked: float  # the same, or when it was asked last and did not answer


class KeyRing:
    """The keys in PostgreSQL, and those recently presented, in memory."""

    def __init__(self, pool: asyncpg.Pool, monotonic: Callable[[], float], clock_us: Callable[[], int]) -> None:
        self._pool, self._monotonic, self._clock_us = pool, monotonic, clock_us
        self._cache: dict[str, _Cached] = {}
        self._used: set[str] = set()
        self._looking: dict[str, asyncio.Task[_Cached]] = {}
        self._asking = asyncio.Semaphore(MAX_ASKING)

    async def authenticate(self, key: str) -> Principal:
        """Who presents this key. Raises Unauthorized, the same for every reason; DatabaseAway where that is unknown."""
        key_id, secret = _split(key)
        cached = self._cache.get(key_id)
        if cached is None or self._monotonic() - cached.checked > CACHED_S:
            cached = await self._look_up(key_id, cached)
        return self._verify(key_id, secret, cached)

    def recognise(self, key: str) -> Principal | None:
        """Who presents this key, if that is known without asking PostgreSQL and nothing is wrong with it."""
        try:
            key_id, secret = _split(key)
            cached = self._cache.get(key_id)
            if cached is None or self._monotonic() - cached.checked > CACHED_S:
                return None
            return self._verify(key_id, secret, cached)
        except Unauthorized:
            return None

    def _verify(self, key_id: str, secret: str, cached: _Cached) -> Principal:
        digest = hashlib.sha256(secret.encode()).digest()
        if not hmac.compare_digest(digest, cached.digest) or cached.principal is None:
            raise Unauthorized
        if cached.expires_us is not None and cached.expires_us <= self._clock_us():
            raise Unauthorized
        self._used.add(key_id)
        return cached.principal

    async def _look_up(self, key_id: str, stale: _Cached | None) -> _Cached:
        """Ask PostgreSQL, once for all who want the same key."""
        task = self._looking.get(key_id)
        if task is None:
            task = self._looking[key_id] = asyncio.create_task(self._ask(key_id, stale), name="key")
            task.add_done_callback(lambda done: self._looked(key_id, done))
        if stale is not None and self._monotonic() - stale.since < AWAY_S:
            done, _ = await asyncio.wait({task}, timeout=SILENCE_S)
            if not done:
                return stale  # a silent PostgreSQL must not take the time in which a batch is answered
        return await asyncio.shield(task)

    def _looked(self, key_id: str, task: "asyncio.Task[_Cached]") -> None:
        del self._looking[key_id]
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody may be left who does

    async def _ask(self, key_id: str, stale: _Cached | None) -> _Cached:
        now = self._monotonic()
        try:
            async with _within(self._asking, ASKING_S), self._pool.acquire(timeout=ACQUIRE_S) as connection:
                found = await connection.fetchrow(_FIND, [key_id])
        except AWAY as error:
            now = self._monotonic()
            if stale is not None and now - stale.since < AWAY_S:
                stale.checked = now - CACHED_S + ASK_AGAIN_S  # others need not wait for the same silence
                return stale
            raise DatabaseAway from error
        cached = _cached(found, now)
        if len(self._cache) >= MAX_CACHED:
            # Ids that nobody has go first: made up, they must not take the place of keys.
            strange = (known for known, held in self._cache.items() if held.principal is None)
            del self._cache[next(strange, None) or next(iter(self._cache))]
        self._cache[key_id] = cached
        return cached

    async def keep_fresh(self) -> None:
        """Ask for the keys in use before they are too old: no crowd ever waits. Ends only by being cancelled."""
        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Ask once more for all keys that were used lately and not asked for just now."""
        now = self._monotonic()
        known = {key_id: self._cache[key_id] for key_id in self._used if key_id in self._cache}
        old = {key_id: cached for key_id, cached in known.items() if now - cached.checked > REFRESH_S}
        if not old:
            return
        try:
            async with asyncio.timeout(REFRESH_WITHIN_S), self._pool.acquire(timeout=ACQUIRE_S) as connection:
                found = {record["id"]: record for record in await connection.fetch(_FIND, list(old))}
        except AWAY:
            now = self._monotonic()
            for cached in old.values():
                if now - cached.since < AWAY_S:
                    cached.checked = now - REFRESH_S  # asked again at the next turn
            return
        for key_id in old.keys() & self._cache.keys():  # but those revoked here meanwhile
            self._cache[key_id] = _cached(found.get(key_id), now)

    async def create(self, request: KeyRequest, by: Actor = SLUICE) -> NewKey:
        """Make a key. Its secret is in the answer, and nowhere else."""
        key_id = "".join(secrets.choice(_ID_CHARS) for _ in range(12))
        secret = secrets.token_urlsafe(24)
        detail = request.model_dump(mode="json")
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection, connection.transaction():
            found = await connection.fetchrow(
                f"INSERT INTO keys (id, secret_sha256, name, scopes, device_glob, expires_at) "  # noqa: S608
                f"VALUES ($1, $2, $3, $4, $5, $6) RETURNING {_COLUMNS}",
                key_id,
                hashlib.sha256(secret.encode()).digest(),
                request.name,
                sorted({scope.value for scope in request.scopes}),
                request.device_glob,
                request.expires_at,
            )
            await connection.execute(audit.INSERT, *audit.row(by, Act.KEY_CREATE, key_id, detail))
        assert found is not None  # noqa: S101 - an INSERT that did not raise returns its row
        log.info("key created", key_id=key_id, name=request.name, scopes=list(found["scopes"]))
        return NewKey(**dict(found), key=f"slk_{key_id}_{secret}")

    async def all(self) -> list[Key]:
        """Every key, oldest first, without its secret."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            found = await connection.fetch(f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, id")  # noqa: S608
        return [Key(**dict(record)) for record in found]

    async def revoke(self, key_id: str, by: Actor = SLUICE) -> bool:
        """Revoke a key, on every worker within `CACHED_S`. False if it is unknown."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection, connection.transaction():
            found = await connection.fetchrow("SELECT name, revoked_at FROM keys WHERE id = $1 FOR UPDATE", key_id)
            if found is None:
                return False
            await connection.execute("UPDATE keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL", key_id)
            outcome = Outcome.UNCHANGED if found["revoked_at"] else Outcome.DONE
            written = audit.row(by, Act.KEY_REVOKE, key_id, {"name": found["name"]}, outcome=outcome)
            await connection.execute(audit.INSERT, *written)
        self._cache.pop(key_id, None)
        log.info("key revoked", key_id=key_id)
        return True

    async def run(self) -> None:
        """Write down now and then which keys were used. Ends only by being cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self.write_used()

    async def write_used(self) -> None:
        """Write down which keys were used since the last time."""
        used, self._used = self._used, set()
        if used:
            try:
                async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                    await connection.execute(
                        "UPDATE keys SET last_used_at = now() WHERE id IN "
                        "(SELECT id FROM keys WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE)",
                        sorted(used),
                    )
            except AWAY:
                self._used |= used


@asynccontextmanager
async def _within(semaphore: asyncio.Semaphore, patience_s: float) -> AsyncIterator[None]:
    """Hold a semaphore. Raises TimeoutError where it is not to be had in time."""
    async with asyncio.timeout(patience_s):
        await semaphore.acquire()
    try:
        yield
    finally:
        semaphore.release()


def _split(key: str) -> tuple[str, str]:
    """The id and the secret in a key. Raises Unauthorized for what is not of the form."""
    prefix, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix != "slk" or not _ID.fullmatch(key_id) or not secret or len(key) > MAX_KEY_CHARS or not key.isascii():
        raise Unauthorized
    return key_id, secret


def _cached(found: asyncpg.Record | None, now: float) -> _Cached:
    if found is None or found["revoked_at"] is not None:
        return _Cached(bytes(32), None, None, now, now)
    glob = found["device_glob"]
    principal = Principal(found["id"], found["name"], frozenset(map(Scope, found["scopes"])), glob)
    expires = found["expires_at"]
    return _Cached(found["secret_sha256"], principal, to_micros(expires) if expires else None, now, now)
