"""Who comes in, and by what: keys, sessions and tokens, joined for the routes and for `/ws`."""

import time
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry
from starlette.requests import HTTPConnection

from schemas.errors import TokenExpired, Unauthorized
from schemas.keys import Admission, Holder
from server.auth import COOKIE, Failures, Gate
from server.keys import KeyRing
from server.sessions import Sessions
from server.sessions_api import SessionDesk
from server.settings import Settings
from server.tokens import TokenKeys, Tokens


class Entrance:
    """Everything that lets somebody in."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        asking_pool: asyncpg.Pool,
        registry: CollectorRegistry,
        settings: Settings,
        clock_us: Callable[[], int],
    ) -> None:
        self.keys = KeyRing(pool, time.monotonic, clock_us, asking_pool)
        idle_s, most_s = settings.session_idle_s, settings.session_max_s
        self.sessions = Sessions(pool, self.keys, time.monotonic, clock_us, registry, idle_s=idle_s, most_s=most_s)
        token_keys = TokenKeys(asking_pool, time.monotonic, settings.token_keys)
        self._tokens = Tokens(token_keys, clock_us, ttl_s=settings.token_ttl_s)
        self._failures = Failures(time.monotonic, registry)
        self.gate = Gate(self.keys.authenticate, self._failures, self.sessions.recognise)
        # A proxy that ends TLS may not say so; where people reach us, then does.
        https = settings.external_url.lower().startswith("https://")
        self.desk = SessionDesk(self.keys, self.gate, self.sessions, self._tokens, https, most_s)

    async def admit(self, handshake: HTTPConnection, credential: str) -> Admission:
        """Who connects to `/ws` with a key or a token, or with nothing but the cookie of the handshake.

        Whose page that cookie came from was looked at before. Raises TokenExpired, Unauthorized, DatabaseAway; whoever
        is refused is hung up on, so failures are counted but not bounded.
        """
        try:
            return await self._admit(handshake, credential)
        except TokenExpired:
            raise
        except Unauthorized:
            self._failures.count("ws", handshake.client.host if handshake.client else "")
            raise

    async def _admit(self, handshake: HTTPConnection, credential: str) -> Admission:
        if not credential:
            session, principal = await self.sessions.recognise(handshake.cookies.get(COOKIE, ""))
            return Admission(principal, Holder(principal.key_id, session.id))
        if credential.count(".") == 2:  # a JWT; no key has a dot
            holder, ttl_s = await self._tokens.read(credential)
            return Admission(await self.sessions.standing(holder), holder, ttl_s)
        principal = await self.keys.authenticate(credential)
        return Admission(principal, Holder(principal.key_id))

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What has to run, by name."""
        return {
            "keys": self.keys.run(),
            "fresh-keys": self.keys.keep_fresh(),
            "sessions": self.sessions.run(),
            "fresh-sessions": self.sessions.keep_fresh(),
        }

    async def close(self) -> None:
        """Write down what was used."""
        await self.keys.write_used()
        await self.sessions.write_used()
