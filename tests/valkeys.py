"""More than one Valkey: a cluster of six, or a master, two replicas and three sentinels; all below this process."""

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from server.local import LocalValkey
from server.local_memory import HOST, Memory, is_free

PATIENCE_S = 60.0
BUS_PORTS = range(10_000, 15_000)
"""Of the members of a cluster to each other; no embedded server takes these."""
SLOTS = 16_384
PRIMARIES = 3
SERVICE = "mymaster"
NOTICED_MS = 1_500
"""A server that is silent for so long is taken for dead. In service it is 15 s by default: a pause is no death."""

TOGETHER = """
masterauth {password}
# A replica that comes is served at once, and stands in however old what it has: nothing of it is missed.
repl-diskless-sync-delay 0
"""
CLUSTER = """
cluster-enabled yes
cluster-port {bus}
cluster-node-timeout {noticed}
cluster-replica-validity-factor 0
"""
SENTINEL = """
bind {host}
port {port}
requirepass {password}
proc-title-template "{{title}} {{listen-addr}} {mark}"
sentinel sentinel-pass {password}
sentinel monitor {service} {host} {master} 2
sentinel auth-pass {service} {password}
sentinel down-after-milliseconds {service} {noticed}
sentinel failover-timeout {service} 6000
"""


class Member(LocalValkey):
    """A Valkey that shares its password with others."""

    def __init__(self, data_dir: Path, password: str, more: str = "") -> None:
        super().__init__(data_dir)
        data_dir.mkdir(mode=0o711, parents=True)
        Memory(self.memory.path, 0, password, f"sluice-{secrets.token_hex(6)}").remember()
        self._more = more
        self.bus = 0
        """The port on which other members of a cluster reach it."""

    def command(self) -> tuple[list[str | Path], str]:
        """Also what makes it one of many."""
        argv, given = super().command()
        if not self.bus:
            self.bus = next(port for port in random.sample(BUS_PORTS, 100) if is_free(port))
        return argv, given + self._more.format(password=self.memory.password, bus=self.bus, noticed=NOTICED_MS)

    @property
    def place(self) -> str:
        """As a URL has it."""
        return f"{HOST}:{self.memory.port}"

    async def ask(self, *words: str | int) -> Any:
        """The answer to a command. Raises what redis-py raises."""
        async with Redis.from_url(self.url, socket_timeout=5, decode_responses=True) as client:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]


class SentinelMember(Member):
    """A sentinel. Its configuration is a file, as it writes in it whom it found."""

    def __init__(self, data_dir: Path, password: str, master: int) -> None:
        super().__init__(data_dir, password)
        self._master = master

    def command(self) -> tuple[list[str | Path], str]:
        """Writes the file anew: it learns from the others what has changed."""
        memory, path = self.memory, self.folder / "sentinel.conf"
        path.write_text(
            SENTINEL.format(
                host=HOST, port=memory.port, password=memory.password, mark=memory.mark, service=SERVICE,
                master=self._master, noticed=NOTICED_MS,
            )
        )  # fmt: skip
        if self.identity.owner >= 0:
            os.chown(path, self.identity.owner, self.identity.owner)
        return [self.program, path, "--sentinel"], ""


@dataclass
class Valkeys:
    """Those that hold keys, the sentinels if there are some, and the URL that leads to them."""

    members: Sequence[Member]
    sentinels: Sequence[SentinelMember]
    url: str

    async def owner(self, key: str) -> Member:
        """Who has the key, as one that runs sees it."""
        running = next(member for member in (*self.sentinels, *self.members) if member.pid is not None)
        if self.sentinels:
            _, port = await running.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        else:
            slot = await running.ask("CLUSTER", "KEYSLOT", key)
            ranges = await running.ask("CLUSTER", "SLOTS")
            port = next(owner[1] for first, last, owner, *_ in ranges if first <= slot <= last)
        return next(member for member in self.members if member.memory.port == int(port))

    async def move(self, key: str) -> None:
        """Have another primary own the key's slot, in which there is nothing, as resharding would."""
        source = await self.owner(key)
        slot = await source.ask("CLUSTER", "KEYSLOT", key)
        target = next(member for member in self.members[:PRIMARIES] if member is not source)
        one, other = await source.ask("CLUSTER", "MYID"), await target.ask("CLUSTER", "MYID")
        await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", one)
        await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", other)
        for member in (target, source):
            await member.ask("CLUSTER", "SETSLOT", slot, "NODE", other)

    async def whole(self) -> None:
        """Wait until nobody is missing, so that the next one may be lost."""
        if self.sentinels:
            await _until(_watch, self.sentinels)
            await _until(_follow, [await self.owner(""), *self.members[1:]])
        else:
            await _until(_formed, self.members)


@asynccontextmanager
async def valkey_cluster(folder: Path) -> AsyncIterator[Valkeys]:
    """Three primaries, each with a replica."""
    password = secrets.token_urlsafe(24)
    members = [Member(folder / f"member{number}", password, TOGETHER + CLUSTER) for number in range(2 * PRIMARIES)]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(member) for member in members))
        await _form(members)
        places = ",".join(member.place for member in members)
        with _killed(members):
            yield Valkeys(members, (), f"redis+cluster://:{password}@{places}")


@asynccontextmanager
async def valkey_sentinels(folder: Path) -> AsyncIterator[Valkeys]:
    """A master, two replicas, three sentinels."""
    password = secrets.token_urlsafe(24)
    members = [Member(folder / f"member{number}", password, TOGETHER) for number in range(3)]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(member) for member in members))
        for member in members[1:]:
            await member.ask("REPLICAOF", HOST, members[0].memory.port)
        await _until(_follow, members)
        sentinels = [
            SentinelMember(folder / f"sentinel{number}", password, members[0].memory.port) for number in range(3)
        ]
        await asyncio.gather(*(stack.enter_async_context(sentinel) for sentinel in sentinels))
        await _until(_watch, sentinels)
        places = ",".join(sentinel.place for sentinel in sentinels)
        url = f"redis+sentinel://:{password}@{places}/{SERVICE}/0?sentinel_password={password}"
        with _killed([*sentinels, *members]):
            yield Valkeys(members, sentinels, url)


@contextmanager
def _killed(members: Sequence[Member]) -> Iterator[None]:
    """In the end all at once: to stop cleanly, one after the other, they would first miss each other."""
    try:
        yield
    finally:
        for member in members:
            member.kill()


async def _form(members: Sequence[Member]) -> None:
    """Make a cluster of members that know nothing of each other."""
    share = SLOTS // PRIMARIES
    for number, member in enumerate(members):
        await member.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number:
            await member.ask("CLUSTER", "MEET", HOST, members[0].memory.port, members[0].bus)
        if number < PRIMARIES:
            last = SLOTS - 1 if number == PRIMARIES - 1 else (number + 1) * share - 1
            await member.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
    await _until(_know_each_other, members)
    for primary, replica in zip(members[:PRIMARIES], members[PRIMARIES:], strict=True):
        await replica.ask("CLUSTER", "REPLICATE", await primary.ask("CLUSTER", "MYID"))
    await _until(_formed, members)


async def _until(condition: Callable[[Sequence[Member]], Awaitable[bool]], members: Sequence[Member]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition(members):  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.02)


async def _know_each_other(members: Sequence[Member]) -> bool:
    known = [len((await member.ask("CLUSTER", "NODES")).strip().splitlines()) for member in members]
    return known == [len(members)] * len(members)


async def _formed(members: Sequence[Member]) -> bool:
    for member in members:
        ranges = await member.ask("CLUSTER", "SLOTS")
        state = await member.ask("CLUSTER", "INFO")
        if [len(servers) for _, _, *servers in ranges] != [2] * PRIMARIES or "cluster_state:ok" not in state:
            return False
    primaries = [member for member in members if (await member.ask("INFO", "replication"))["role"] == "master"]
    return len(primaries) == PRIMARIES and all([await _followed(primary, 1) for primary in primaries])


async def _follow(members: Sequence[Member]) -> bool:
    return await _followed(members[0], len(members) - 1)


async def _followed(member: Member, replicas: int) -> bool:
    return bool((await member.ask("INFO", "replication"))["connected_slaves"] == replicas)


async def _watch(sentinels: Sequence[Member]) -> bool:
    """Whether each sentinel knows the others, and both replicas."""
    for sentinel in sentinels:
        (state,) = await sentinel.ask("SENTINEL", "MASTERS")
        if (state["num-other-sentinels"], state["num-slaves"]) != (str(len(sentinels) - 1), "2"):
            return False
    return True
