"""Finds the server that has a key: the one there is, its slot's owner in a cluster, the master that Sentinel names.

What is found is a plain client of one server each, for as long as it answers: whoever uses it notices that it does not,
and looks again. redis-py's own client of a cluster is another thing: it follows a slot by itself, for seconds, and if
one server is dead it keeps back the answers of all the others.
"""

import contextlib
import random
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError

from server.redis_url import Address, Kind, RedisUrl

DEADLINE_S = 0.5
"""For a connection, and for an answer."""
MAX_MEMBERS = 1_000
"""Of a cluster that are remembered, to be asked when those of the URL are gone; it is said to grow no larger."""

ServerOf = Callable[[str], Redis]
"""The client of the server that has a key, the same for all keys of that server. Raises RedisError if none has it."""


class RedisPlaces:
    """Looks where keys are. Which channels have a place, as keys have, is said by `sharded`: in a cluster."""

    def __init__(self, url: RedisUrl, deadline_s: float = DEADLINE_S) -> None:
        self.url = url
        self.sharded = url.kind is Kind.CLUSTER
        self._deadline_s = deadline_s
        self._members = url.members

    @asynccontextmanager
    async def look(self) -> AsyncIterator[ServerOf]:
        """What is where, until this is left and its clients are closed. Raises RedisError or OSError."""
        clients: dict[Address | None, Redis] = {}

        def client(address: Address | None) -> Redis:
            if address not in clients:
                clients[address] = self.client(address)
            return clients[address]

        try:
            match self.url.kind:
                case Kind.SERVER:
                    yield lambda _: client(None)
                case Kind.SENTINEL:
                    master = client(await self.master())
                    await _must_be_master(master)
                    yield lambda _: master
                case Kind.CLUSTER:
                    owners = Owners(await self.slots())
                    yield lambda key: client(owners.of(key))
        finally:
            for each in clients.values():
                with contextlib.suppress(RedisError, OSError):
                    await each.aclose()

    async def master(self) -> Address:
        """The master's address, by the first sentinel that knows one. Raises RedisError or OSError where none does."""
        # In any order: one that is cut off from the others goes on naming the old one, and is not asked first for ever.
        asked = random.sample(self.url.members, len(self.url.members))
        async with Sentinel([]) as sentinel:  # type: ignore[no-untyped-call]
            # Given here, as it would make clients that know nothing of TLS.
            sentinel.sentinels = [self.sentinel(address) for address in asked]
            host, port = await sentinel.discover_master(self.url.service)
        return str(host), int(port)

    async def slots(self) -> "list[Range]":
        """Who has which slots, ascending, as one member of the cluster sees it. Raises RedisAway where none tells."""
        trouble = []
        for member in random.sample(self._members, len(self._members)):
            try:
                async with self.client(member) as client:
                    answer = await client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
            except (RedisError, OSError) as error:
                trouble.append(f"{error}")
                continue
            ranges = sorted((first, last, [_address(one, member) for one in all_]) for first, last, *all_ in answer)
            seen = (server for _, _, servers in ranges for server in servers)
            self._members = tuple(dict.fromkeys((*self.url.members, *seen)))[:MAX_MEMBERS]
            return ranges
        raise RedisAway(f"no member of the cluster answers: {'; '.join(trouble[:3])}")

    def client(self, address: Address | None = None) -> Redis:
        """A client of one server, None of the only one, that does nothing twice and waits for nothing long."""
        where = {} if address is None else {"host": address[0], "port": address[1]}
        return Redis.from_pool(ConnectionPool(**self._settings(self.url.options) | where))

    def sentinel(self, address: Address) -> Redis:
        """The same of a sentinel."""
        options = self._settings(self.url.sentinel_options)
        return Redis.from_pool(ConnectionPool(**options | {"host": address[0], "port": address[1]}))

    def _settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Of a connection; what the URL says goes before."""
        return {
            "socket_timeout": self._deadline_s,
            "socket_connect_timeout": self._deadline_s,
            "retry": Retry(NoBackoff(), 0),
            # CLIENT SETINFO came with Redis 7.2 (driver_info), maintenance notifications with others (protocol).
            "protocol": 2,
            "driver_info": None,
            **options,
        }


Range = tuple[int, int, list[Address]]
"""The first and the last slot, and its servers, the owner first."""


class Owners:
    """Who has a key, by ranges of slots in ascending order."""

    def __init__(self, ranges: list[Range]) -> None:
        self._ranges = ranges
        self._firsts = [first for first, _, _ in ranges]

    def of(self, key: str) -> Address:
        """The owner's address. Raises RedisAway where a slot is nobody's."""
        slot = key_slot(key.encode())
        place = bisect_right(self._firsts, slot) - 1
        if place < 0 or slot > self._ranges[place][1]:
            raise RedisAway(f"no server of the cluster has slot {slot}")
        return self._ranges[place][2][0]


def _address(server: list[Any], member: Address) -> Address:
    """Of a server as `CLUSTER SLOTS` names it; one that knows no name of its own has that by which it was asked."""
    host, port = server[0], server[1]
    return (host.decode() if isinstance(host, bytes) else host) or member[0], int(port)


async def _must_be_master(client: Redis) -> None:
    """A master that was demoted takes messages like any other, and its followers alone hear them."""
    role = (await client.execute_command("ROLE"))[0]  # type: ignore[no-untyped-call]
    if role != b"master":
        raise RedisAway(f"whom the sentinels name the master says it is a {role.decode()}")
