"""Several nodes behind nginx, over one PostgreSQL and one Redis: another shape of a trial's cluster.

Each node is a `sluice serve`, a process group of its own, that reaches PostgreSQL, Redis, and is reached by nginx, by
way of proxies of its own: so one alone can be killed, or cut off from any of them.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import aiohttp

from server.supervisor import Supervisor
from tests.acceptance.nginx import NODES, Setup, nginx
from tests.conftest import HOST, Server
from tests.faults.trial.cluster import Cluster, admin_key, services
from tests.faults.trial.crossing import Crossing, Ways
from tests.faults.trial.kinds.workers import who_answers
from tests.faults.trial.served import Served
from tests.proxy import free_port

SILENCE_S = 6
"""After which nginx gives a silent node up; ten in the shipped file, and in both longer than a batch's deadline."""


@dataclass
class _Workers:
    """What is asked of a supervisor here, of workers that are another process' children."""

    pids: Sequence[int]


@dataclass
class Node:
    """One of them."""

    cluster: Cluster
    """As this node sees it: its own ways, and its own address."""
    served: Served
    door: Crossing
    """Between nginx and it."""
    pid: int = 0
    """Of its worker, when it was started first."""

    @property
    def server(self) -> Server:
        """This node alone."""
        return replace(self.cluster.server, supervisor=cast(Supervisor, _Workers([self.pid])))

    async def serves(self) -> bool:
        """Whether it says that it is ready."""
        return await who_answers(self.cluster, 200) != 0


@asynccontextmanager
async def nodes(
    folder: Path, count: int = 3, *, settings: Mapping[str, Any] | None = None, two_hosts: bool = False
) -> AsyncIterator[Cluster]:
    """Start them, each with one worker, and nginx; everything that is asked of the cluster goes to nginx."""
    async with AsyncExitStack() as stack:
        postgres, valkey, ways, rooms = await services(stack, folder, two_hosts=two_hosts, connections=40 * count)
        key = await admin_key(postgres.url)
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
        server = Server("", postgres.url, valkey.url, key, cast(Supervisor, _Workers(())), http)
        whole = Cluster(folder, postgres, valkey, ways, server, settings or {}, *rooms, stack)
        found = [_node(stack, whole) for _ in range(count)]
        for each in found:
            stack.push_async_callback(each.served.stop)
        await asyncio.gather(*(each.served.start() for each in found))
        for each in found:
            each.pid = await who_answers(each.cluster, 200)
        (folder / "nginx").mkdir()
        setup = Setup(NODES, tls=False, silence_s=SILENCE_S)
        doors = [f"{HOST}:{each.door.port}" for each in found]
        proxy = await stack.enter_async_context(nginx(folder / "nginx", doors, setup))
        server.url = proxy.url
        whole.nodes = found
        yield whole


def _node(stack: AsyncExitStack, whole: Cluster) -> Node:
    port = free_port()
    own = Ways(
        stack.enter_context(Crossing(HOST, whole.to_postgres.port)),
        stack.enter_context(Crossing(HOST, whole.to_redis.port)),
        whole.ways.standby,
    )
    alone = replace(whole, ways=own, server=replace(whole.server, url=f"http://{HOST}:{port}"))
    return Node(alone, Served(alone, port, workers=1), stack.enter_context(Crossing(HOST, port)))
