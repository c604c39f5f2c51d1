"""N1 to N5: one of several nodes is killed, cut off from PostgreSQL, from Redis, from nginx, or restarted."""

import asyncio
import time
from collections.abc import AsyncIterator

from tests.faults.trial.kinds.workers import EXIT_S, SERVES_S
from tests.faults.trial.measures import delivery_s
from tests.faults.trial.nodes import SILENCE_S, Node
from tests.faults.trial.trial import Kind, Stage

ON_S = 1.0
"""From the blow to the first 200 that somebody else gives."""
DELIVERY_S = 2.0
CUT_S = 1.5
PATIENCE_S = 90.0
"""For everybody to be served again: all of this is a dozen processes."""


async def killed(stage: Stage) -> None:
    """N1: kill -9 to all its processes; the others go on at once. Then it is started again."""
    async for node in _each(stage):
        at = stage.note("a node is killed")
        node.served.kill()
        await _others_go_on(stage, at)
        await node.served.start()
        stage.note("it is started again, and serves")


async def without_postgres(stage: Stage) -> None:
    """N2: nothing from it reaches PostgreSQL: it refuses its share, and whoever comes again meets another."""
    async for node in _each(stage):
        at = stage.note("a node is cut off from PostgreSQL")
        node.cluster.to_postgres.stall()
        await _others_go_on(stage, at)
        await asyncio.sleep(CUT_S * (4 if stage.long else 1))
        node.cluster.to_postgres.reset()
        node.cluster.to_postgres.go_on()
        healed = stage.note("it is back")
        answers = stage.account.statuses_between(at, healed)
        stage.measured("refused meanwhile, of all", (answers[503] + answers[504]) / max(1, answers.total()))
        await _serves(stage, node, healed, 5.0)


async def without_redis(stage: Stage) -> None:
    """N3: it hears and tells nothing by Redis; its dashboards are told from PostgreSQL, and who writes sees nothing."""
    async for node in _each(stage):
        at = stage.note("a node is cut off from Redis")
        node.cluster.to_redis.stall()
        await asyncio.sleep(CUT_S * 2)
        stage.measured("delivery", await delivery_s(stage, at, time.monotonic() - DELIVERY_S), DELIVERY_S)
        node.cluster.to_redis.reset()
        node.cluster.to_redis.go_on()
        stage.note("it is back")


async def without_clients(stage: Stage) -> None:
    """N4: what nginx sends to it, it never hears, or its answers are lost: nginx asks another one."""
    async for node in _each(stage):
        at = stage.note("a node is cut off from nginx")
        deaf = stage.chance.random() < 0.5
        node.door.drop(requests=deaf, answers=not deaf)
        await _others_go_on(stage, at)
        await asyncio.sleep(SILENCE_S + CUT_S)
        node.door.reset()
        node.door.go_on()
        healed = stage.note("it is back")
        stage.measured("slowest answer", stage.account.slowest(at), SILENCE_S + stage.cluster.deadline_s + 1)
        await _serves(stage, node, healed, 5.0)


async def restarted(stage: Stage) -> None:
    """N5: SIGTERM, and a new one in its place."""
    async for node in _each(stage):
        at = stage.note("a node is asked to end")
        code, seconds = await node.served.stop()
        stage.promise(code == 0, f"it ended with {code}")
        stage.measured("exit", seconds, EXIT_S)
        await _others_go_on(stage, at)
        await node.served.start()
        stage.note("another one serves in its place")


async def _each(stage: Stage) -> AsyncIterator[Node]:
    """In turn every node, or one of them where time is short; between them everybody is served."""
    nodes = list(stage.cluster.nodes)
    for node in stage.chance.sample(nodes, len(nodes) if stage.long else 1):
        yield node
        await stage.traffic.flows(1, PATIENCE_S)


async def _others_go_on(stage: Stage, since: float) -> None:
    await stage.first_success(since, "others go on", ON_S)


async def _serves(stage: Stage, node: Node, since: float, limit: float) -> None:
    async with stage.patience(SERVES_S, "a node does not serve again"):
        while not await node.serves():
            await stage.pause()
        stage.measured("serves again", time.monotonic() - since, limit)


BROKEN = frozenset({0, 503, 504})
KINDS = (
    Kind("N1", "one of several nodes killed", killed, BROKEN, patience_s=PATIENCE_S),
    Kind("N2", "one of several nodes without PostgreSQL", without_postgres, BROKEN, patience_s=PATIENCE_S),
    Kind("N3", "one of several nodes without Redis", without_redis, frozenset(), patience_s=PATIENCE_S),
    Kind("N4", "one of several nodes without clients", without_clients, BROKEN, patience_s=PATIENCE_S),
    Kind("N5", "one of several nodes restarted", restarted, BROKEN, patience_s=PATIENCE_S),
)
