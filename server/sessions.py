"""Sessions: a browser's cookie that stands for a key, and ends with it.

The cookie has 256 random bits, so one SHA-256 is enough to store, and to name the session by. Whoever holds the cookie
can derive the value that every change has to carry in a header (`csrf_of`); a page of another site, for which a browser
would send the cookie along, cannot.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Counter

from schemas import audit
from schemas.audit import Act, Actor
from schemas.errors import TooManySessions, Unauthorized
from schemas.keys import Holder, Principal
from schemas.times import to_micros
from server.bucket import Bucket
from server.database import AWAY
from server.keys import KeyRing
from server.recall import REFRESH_EVERY_S, Recall

log = structlog.get_logger(__name__)

ACQUIRE_S = 1.5
WRITE_EVERY_S = 10.0
MAX_OF_KEY = 100  # sessions of one key; beyond them the one that was unused longest ends
BEGINS, BEGIN_EVERY_S = 20, 10.0  # of one key and worker, at once and then steadily: each is a row of the audit log
KEEP_HOUSE_S = 10.0  # between two looks at what has ended, while there is nothing
CHUNK = 1_000  # rows deleted in one transaction
_COOKIE = re.compile("[A-Za-z0-9_-]{43}")
_EXPIRES = (
    "least(now() + make_interval(secs => {idle}), {created} + make_interval(secs => {most}), "
    "(SELECT coalesce(k.expires_at, 'infinity') FROM keys k WHERE k.id = {key}))"
)
_BEGIN = (
    "INSERT INTO sessions (id, key_id, expires_at) "  # noqa: S608
    f"VALUES ($1, $2, {_EXPIRES.format(idle='$3', created='now()', most='$4', key='$2')}) "
    "RETURNING id, key_id, expires_at"
)
_DISPLACE = """
DELETE FROM sessions WHERE key_id = $1 AND id NOT IN (
    SELECT id FROM sessions WHERE key_id = $1 ORDER BY last_used_at DESC, created_at DESC LIMIT $2)
"""
_FIND = "SELECT id, key_id, expires_at FROM sessions WHERE id = ANY($1::text[])"
_USED = (
    "UPDATE sessions s SET last_used_at = now(), "  # noqa: S608
    f"expires_at = {_EXPIRES.format(idle='$2', created='s.created_at', most='$3', key='s.key_id')} "
    "WHERE id IN (SELECT id FROM sessions WHERE id = ANY($1::text[]) AND expires_at > now() ORDER BY id FOR UPDATE)"
)
_PRUNE = """
DELETE FROM sessions WHERE id IN (
    SELECT s.id FROM sessions s JOIN keys k ON k.id = s.key_id
    WHERE s.expires_at < now() OR k.revoked_at IS NOT NULL LIMIT $1 FOR UPDATE OF s SKIP LOCKED)
"""


@dataclass(frozen=True, slots=True)
class Session:
    """One session."""

    id: str
    """SHA-256 of its cookie, hexadecimal: to know it lets nobody in."""
    key_id: str
    expires_us: int
    """As of now: it moves on with use."""

    @property
    def expires_at(self) -> datetime:
        """The same, for people."""
        return datetime.fromtimestamp(self.expires_us // 1_000_000, UTC)


def csrf_of(cookie: str) -> str:
    """What `X-CSRF-Token` has to be, of whoever presents this cookie."""
    return hmac.new(cookie.encode(), b"sluice csrf", hashlib.sha256).hexdigest()


class Sessions:
    """The sessions in PostgreSQL, and those recently presented, in memory.

    `idle_s`: how long one lasts unused; `most_s`: how long in all.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        ring: KeyRing,
        monotonic: Callable[[], float],
        clock_us: Callable[[], int],
        registry: CollectorRegistry,
        *,
        idle_s: float,
        most_s: float,
    ) -> None:
        self._pool, self._ring, self._monotonic, self._clock_us = pool, ring, monotonic, clock_us
        self._idle_s, self._most_s = idle_s, most_s
        self._recall = Recall(self._find, monotonic, ring.asking)
        self._begins = Bucket(monotonic, BEGINS, BEGIN_EVERY_S)
        self._used: set[str] = set()
        self._look_at = 0.0
        self._ended = Counter(
            "sluice_sessions_ended", "Sessions of browsers, by why they ended.", ["why"], registry=registry
        )

    async def begin(self, principal: Principal, by: Actor) -> tuple[str, Session]:
        """A new session of a key, and its cookie. Raises TooManySessions, and what the driver raises."""
        if (wait_s := self._begins.take(principal.key_id)) > 0:
            raise TooManySessions(retry_after=wait_s)
        cookie = secrets.token_urlsafe(32)
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection, connection.transaction():
            await connection.execute("SELECT FROM keys WHERE id = $1 FOR UPDATE", principal.key_id)  # one at a time
            new = (_name(cookie), principal.key_id, self._idle_s, self._most_s)
            found = await connection.fetchrow(_BEGIN, *new)
            displaced = await connection.execute(_DISPLACE, principal.key_id, MAX_OF_KEY)
            await connection.execute(audit.INSERT, *audit.row(by, Act.SESSION_BEGIN, principal.key_id))
        assert found is not None  # noqa: S101 - an INSERT that did not raise returns its row
        self._ended.labels("displaced").inc(int(displaced.removeprefix("DELETE ")))
        log.info("session begun", key_id=principal.key_id)
        return cookie, _session(found)

    async def recognise(self, cookie: str) -> tuple[Session, Principal]:
        """Whose session a cookie is. Raises Unauthorized, whatever the reason; DatabaseAway if nobody can tell."""
        if not _COOKIE.fullmatch(cookie):
            raise Unauthorized
        return await self._in_force(_name(cookie))

    async def standing(self, holder: Holder) -> Principal:
        """Who holds a key, or a session of it, that is still good. Raises as `recognise` does."""
        if holder.session is None:
            return (await self._ring.standing(holder.key_id))[0]
        session, principal = await self._in_force(holder.session)
        if session.key_id != holder.key_id:
            raise Unauthorized
        return principal

    async def _in_force(self, name: str) -> tuple[Session, Principal]:
        session = await self._recall.get(name)
        if session is None or session.expires_us <= self._clock_us():
            raise Unauthorized
        principal, _ = await self._ring.standing(session.key_id)
        self._used.add(name)
        return session, principal

    async def end(self, session: Session, by: Actor) -> None:
        """End a session: log out. Over on every worker within seconds, and with it its tokens and sockets."""
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection, connection.transaction():
            if await connection.fetchval("DELETE FROM sessions WHERE id = $1 RETURNING true", session.id):
                await connection.execute(audit.INSERT, *audit.row(by, Act.SESSION_END, session.key_id))
        self._used.discard(session.id)
        self._recall.forget(session.id)
        self._ended.labels("logout").inc()
        log.info("session ended", key_id=session.key_id)

    async def _find(self, names: list[str]) -> dict[str, Session]:
        async with self._ring.asking_pool.acquire(timeout=ACQUIRE_S) as connection:
            return {record["id"]: _session(record) for record in await connection.fetch(_FIND, names)}

    async def keep_fresh(self) -> None:
        """Ask for the sessions in use before they are too old: nobody ever waits. Ends only by being cancelled."""
        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            await self._recall.refresh(list(self._used))

    async def run(self) -> None:
        """Write down now and then which sessions were used, so that they last on. Ends only by being cancelled."""
        while True:
            await asyncio.sleep(min(WRITE_EVERY_S, self._idle_s / 4))
            await self.write_used()

    async def write_used(self) -> None:
        """Write down which sessions were used since the last time."""
        used, self._used = self._used, set()
        if used:
            try:
                async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                    await connection.execute(_USED, sorted(used), self._idle_s, self._most_s)
            except AWAY:
                self._used |= used

    async def prune(self) -> None:
        """Delete some of those that have ended. For the elected worker, every second; a second one does no harm."""
        if self._monotonic() < self._look_at:
            return
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            tag = await connection.execute(_PRUNE, CHUNK)
        count = int(tag.removeprefix("DELETE "))
        if count < CHUNK:
            self._look_at = self._monotonic() + KEEP_HOUSE_S
        self._ended.labels("expired").inc(count)


def _name(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


def _session(found: asyncpg.Record) -> Session:
    return Session(found["id"], found["key_id"], to_micros(found["expires_at"]))
