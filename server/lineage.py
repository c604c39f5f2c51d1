"""Which PostgreSQL this process works with: a cluster, and the timeline that it has come to.

A standby that is promoted and a restore to a moment begin a new timeline. What a worker remembers of the database (ids
of series above all) is of one timeline; and an old primary that comes back after its standby was promoted has an older
one, by which it is known.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg
import structlog

log = structlog.get_logger(__name__)

# In recovery there is no position to ask for. Both read-only settings of ours (`ASKING`, `READING`) show here, too.
ASK = """
SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only,
       c.system_identifier::text AS cluster,
       CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline
FROM pg_control_system() c
"""

# Where functions of that may not be called, or do not exist, as with some services: a change is then not seen by it.
_ASK_LESS = """
SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only,
       '' AS cluster, '' AS timeline
"""
_UNTOLD = (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFunctionError, asyncpg.FeatureNotSupportedError)


class WrongServerError(ConnectionError):
    """A PostgreSQL that answers, but is not the one to work with; the message says why."""


@dataclass
class Lineage:
    """The newest timeline that this process has seen."""

    concerned: list[Callable[[], None]] = field(default_factory=list)
    """Called when the database has come to another timeline, before a connection to it is used."""
    pools: list[asyncpg.Pool] = field(default_factory=list)
    """Those whose connections may lead to the old one."""
    cluster: str = ""
    """PostgreSQL's system identifier; empty before anything was seen."""
    timeline: str = ""
    """Eight hexadecimal digits."""
    _told: bool = False
    """The log knows that this is not to be known."""

    async def admit(self, connection: asyncpg.Connection, *, writes: bool) -> None:
        """Look at the server behind a new connection. Raises WrongServerError where it is not the one to work with."""
        found = await self._ask(connection)
        if found["standby"]:
            raise WrongServerError("PostgreSQL is a read-only standby")
        if writes and found["read_only"]:
            raise WrongServerError("PostgreSQL is read-only (default_transaction_read_only)")
        # What is remembered goes before anybody gets the connection, so that nothing can be written by it.
        if self.follow(found["cluster"], found["timeline"]):
            for pool in self.pools:
                await pool.expire_connections()

    async def _ask(self, connection: asyncpg.Connection) -> asyncpg.Record:
        try:
            found = await connection.fetchrow(ASK)
        except _UNTOLD as error:
            if not self._told:
                log.warning("PostgreSQL does not say its timeline; after a failover restart Sluice", error=repr(error))
                self._told = True
            found = await connection.fetchrow(_ASK_LESS)
        assert found is not None  # noqa: S101 - for mypy
        return found

    def follow(self, cluster: str, timeline: str) -> bool:
        """Go on to this timeline, if known; whether that is a change. Raises WrongServerError where it is older."""
        if not cluster or (cluster, timeline) == (self.cluster, self.timeline):
            return False
        if cluster == self.cluster and timeline < self.timeline:
            raise WrongServerError(
                f"PostgreSQL is at timeline {timeline}, but was at {self.timeline}: an old primary has come back; "
                "stop it (after a restore of a cold copy restart Sluice instead)"
            )
        first, self.cluster, self.timeline = not self.cluster, cluster, timeline
        if not first:
            log.warning("PostgreSQL has another timeline: what was remembered is forgotten", timeline=timeline)
            self.renew()
        return not first

    def renew(self) -> None:
        """What was remembered means nothing any more."""
        for forget in self.concerned:
            forget()

    def renewing(self, also: Callable[[], None]) -> Callable[[], None]:
        """`renew` and this, for somebody else who notices: by way of a pooler no new connection tells."""

        def both() -> None:
            also()
            self.renew()

        return both
