"""Who comes in, and by what: keys, sessions and tokens, joined for the routes and for `/ws`."""

import time
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from schemas.errors import Unauthorized
from schemas.keys import Principal
from server.auth import Failures, Gate
from server.keys import KeyRing
from server.sessions import Sessions
from server.sessions_api import SessionDesk
from server.settings import Settings
from server.tokens import TokenKeys, Tokens


class Entrance:
    """Everything that lets somebody in."""

    def __init__(
        self, pool: asyncpg.Pool, registry: CollectorRegistry, settings: Settings, clock_us: Callable[[], int]
    ) -> None:
        self.keys = KeyRing(pool, time.monotonic, clock_us)
        idle_s, most_s = settings.session_idle_s, settings.session_max_s
        self.sessions = Sessions(pool, self.keys, time.monotonic, clock_us, registry, idle_s=idle_s, most_s=most_s)
        token_keys = TokenKeys(pool, time.monotonic, settings.token_keys)
        self._tokens = Tokens(token_keys, clock_us, ttl_s=settings.token_ttl_s)
        self._failures = Failures(time.monotonic, registry)
        self.gate = Gate(self.keys.authenticate, self._failures, self.sessions.recognise)
        # A proxy that ends TLS may not say so; where people reach us, then does.
        https = settings.external_url.lower().startswith("https://")
        self.desk = SessionDesk(self.keys, self.gate, self.sessions, self._tokens, https, most_s)

    async def connect(self, token: str) -> Principal:
        """Who connects to `/ws` with this token. Raises what the ring raises; whoever is refused is hung up on."""
        try:
            return await self.keys.authenticate(token)
        except Unauthorized:
            self._failures.count("ws", "")
            raise

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
