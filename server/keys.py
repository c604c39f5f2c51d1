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
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import structlog

from schemas import audit
from schemas.audit import SLUICE, Act, Actor, Outcome
from schemas.errors import Unauthorized
from schemas.keys import Key, KeyRequest, NewKey, Principal, Scope
from schemas.times import to_micros
from server.database import AWAY
from server.recall import MAX_ASKING, REFRESH_EVERY_S, Recall

log = structlog.get_logger(__name__)

ACQUIRE_S = 1.5
WRITE_EVERY_S = 10.0
MAX_KEY_CHARS = 128
_ID_CHARS = string.ascii_lowercase + string.digits
_ID = re.compile("[a-z0-9]+")  # also keeps from PostgreSQL what it would not take as text
_COLUMNS = (
    "id, name, scopes, device_glob, quota_requests_per_s, quota_readings_per_s, "
    "created_at, last_used_at, expires_at, revoked_at"
)
_FIND = (
    "SELECT id, name, scopes, device_glob, quota_requests_per_s, quota_readings_per_s, secret_sha256, expires_at "
    "FROM keys WHERE id = ANY($1::text[]) AND revoked_at IS NULL"
)
_NO_DIGEST = bytes(32)  # of nobody's secret


@dataclass(slots=True)
class _Known:
    digest: bytes
    principal: Principal
    expires_us: int | None


class KeyRing:
    """The keys in PostgreSQL, and those recently presented, in memory."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        monotonic: Callable[[], float],
        clock_us: Callable[[], int],
        asking_pool: asyncpg.Pool | None = None,
    ) -> None:
        self._pool, self._clock_us = pool, clock_us
        self.asking_pool = asking_pool or pool
        """On which PostgreSQL is asked about credentials: best one of their own, where nobody else is waited for."""
        self.asking = asyncio.Semaphore(MAX_ASKING)
        """Held by whoever asks about a credential that nobody knows."""
        self._recall = Recall(self._find, monotonic, self.asking)
        self._used: set[str] = set()

    async def authenticate(self, key: str) -> Principal:
        """Who presents this key. Raises Unauthorized, the same for every reason; DatabaseAway where that is unknown."""
        key_id, secret = _split(key)
        return self._verify(key_id, secret, await self._recall.get(key_id))

    def recognise(self, key: str) -> Principal | None:
        """Who presents this key, if that is known without asking PostgreSQL and nothing is wrong with it."""
        try:
            key_id, secret = _split(key)
            held = self._recall.recent(key_id)
            return None if held is None else self._verify(key_id, secret, held.value)
        except Unauthorized:
            return None

    async def standing(self, key_id: str) -> tuple[Principal, int | None]:
        """Whose key this is, and when it expires (µs), for what was made from it. Raises as `authenticate` does."""
        known = await self._recall.get(key_id)
        return self._in_force(key_id, known), known.expires_us if known else None

    def _verify(self, key_id: str, secret: str, known: _Known | None) -> Principal:
        digest = hashlib.sha256(secret.encode()).digest()
        if not hmac.compare_digest(digest, known.digest if known else _NO_DIGEST):
            raise Unauthorized
        return self._in_force(key_id, known)

    def _in_force(self, key_id: str, known: _Known | None) -> Principal:
        if known is None or (known.expires_us is not None and known.expires_us <= self._clock_us()):
            raise Unauthorized
        self._used.add(key_id)
        return known.principal

    async def _find(self, key_ids: list[str]) -> dict[str, _Known]:
        async with self.asking_pool.acquire(timeout=ACQUIRE_S) as connection:
            found = await connection.fetch(_FIND, key_ids)
        return {record["id"]: _known(record) for record in found}

    async def keep_fresh(self) -> None:
        """Ask for the keys in use before they are too old: no crowd ever waits. Ends only by being cancelled."""
        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Ask once more for all keys that were used lately and not asked for just now."""
        await self._recall.refresh(list(self._used))

    async def create(self, request: KeyRequest, by: Actor = SLUICE) -> NewKey:
        """Make a key. Its secret is in the answer, and nowhere else."""
        key_id = "".join(secrets.choice(_ID_CHARS) for _ in range(12))
        secret = secrets.token_urlsafe(24)
        detail = request.model_dump(mode="json")
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection, connection.transaction():
            found = await connection.fetchrow(
                f"INSERT INTO keys (id, secret_sha256, name, scopes, device_glob, expires_at, "  # noqa: S608
                "quota_requests_per_s, quota_readings_per_s) "
                f"VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {_COLUMNS}",
                key_id,
                hashlib.sha256(secret.encode()).digest(),
                request.name,
                sorted({scope.value for scope in request.scopes}),
                request.device_glob,
                request.expires_at,
                request.quota_requests_per_s,
                request.quota_readings_per_s,
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
        self._recall.forget(key_id)
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


def _split(key: str) -> tuple[str, str]:
    """The id and the secret in a key. Raises Unauthorized for what is not of the form."""
    prefix, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix != "slk" or not _ID.fullmatch(key_id) or not secret or len(key) > MAX_KEY_CHARS or not key.isascii():
        raise Unauthorized
    return key_id, secret


def _known(found: asyncpg.Record) -> _Known:
    expires = found["expires_at"]
    principal = Principal(
        found["id"],
        found["name"],
        frozenset(map(Scope, found["scopes"])),
        found["device_glob"],
        found["quota_requests_per_s"],
        found["quota_readings_per_s"],
    )
    return _Known(found["secret_sha256"], principal, to_micros(expires) if expires else None)
