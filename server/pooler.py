"""Working by way of a pooler that lends a session of PostgreSQL for a transaction at a time (PgBouncer, Odyssey).

There is no session to rely on: what is SET is lost, or worse, met by somebody else, and what was prepared is not there.
So nothing is set and nothing prepared beyond a transaction, and nothing is sent outside of one.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

TRACKED = frozenset({"application_name", "timezone"})
"""Settings that poolers keep for each client, as the protocol's startup message has them."""


class PooledConnection(asyncpg.Connection):
    """A connection that begins each transaction with its session's settings.

    It costs a round trip more for each statement that is sent alone, and none for a transaction.
    """

    _begin = ""

    def promise(self, settings: Mapping[str, str]) -> None:
        """Have these settings, by name, in every transaction from now on."""
        for name, value in settings.items():
            if name not in TRACKED:
                # A default would come too late: the transaction has begun.
                self._begin += f"; SET LOCAL {name.removeprefix('default_')} = '{value}'"

    def get_reset_query(self) -> str:
        """Nothing was set, so there is nothing to reset; and it would be somebody else's session."""
        return ""

    @asynccontextmanager
    async def _within(self) -> AsyncIterator[None]:
        if self.is_in_transaction():
            yield
        else:
            async with self.transaction():
                yield

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """Execute. `BEGIN`, in whichever way, also sets the settings; `SET name = value; …` is promised from now on."""
        if not args and not self.is_in_transaction():
            if query.startswith("BEGIN"):
                return await super().execute(query.rstrip("; \n") + self._begin, **options)
            if query.strip().startswith("SET "):
                self._begin += "".join(f"; SET LOCAL {each.strip()[4:]}" for each in query.split(";") if each.strip())
                return "SET"
        async with self._within():
            return await super().execute(query, *args, **options)

    async def executemany(self, command: str, args: Any, **options: Any) -> None:
        """Execute for each of these arguments."""
        async with self._within():
            await super().executemany(command, args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        """Every record."""
        async with self._within():
            return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        """The first record."""
        async with self._within():
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        """A value of the first record."""
        async with self._within():
            return await super().fetchval(query, *args, **options)
