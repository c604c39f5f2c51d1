"""A server whose PostgreSQL can be taken away, for tests of clients that have to survive that by their own retries.

The fixture is `fragile` (see conftest.py): `fragile.server` is an ordinary server, `fragile.take_away()` cuts every
connection to its database and refuses new ones, `fragile.give_back()` undoes that.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.conftest import Server
from tests.proxy import HOST, Proxy

PATIENCE_S = 240  # for a client's retries, which wait for whole seconds, on a machine that others use as well
NOWHERE = 9  # a port at which nobody listens


@dataclass(frozen=True, slots=True)
class Fragile:
    """One server, and what stands between it and PostgreSQL."""

    server: Server
    proxy: Proxy
    database: str
    """The URL of PostgreSQL itself, which tests may ask meanwhile."""

    def take_away(self) -> None:
        """Take PostgreSQL away."""
        self.proxy.lead_to(HOST, NOWHERE)
        self.proxy.reset()

    def give_back(self) -> None:
        """Give it back."""
        self.proxy.lead_to_url(self.database)


async def until(true: Callable[[], Awaitable[bool]], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for something that happens in other processes; `what` says what it was, should it not come."""
    deadline = time.monotonic() + patience_s
    while not await true():
        assert time.monotonic() < deadline, f"not so after {patience_s} s: {what}"
        await asyncio.sleep(0.05)
