"""S1, S2: PostgreSQL's URL names two hosts; the primary dies or hangs, and the synchronous standby is promoted.

F8 is the failover behind one address; these are for a cluster whose URL has two.
"""

import asyncio

import asyncpg

from tests.conftest import HOST
from tests.faults.trial.cluster import Postgres
from tests.faults.trial.crossing import Crossing
from tests.faults.trial.kinds.disks import Disks, make_standby, promote, somebody_is_told
from tests.faults.trial.trial import Kind, Stage
from tests.proxy import free_port

BACK_S = 3.0
"""For which only the old primary answers; to ask a silent one first takes 0.3 s, and more on a busy machine."""
SILENT_S = 3.0
"""To the first 200, where the old primary is silent: what was sent to it is waited for until its deadline."""
PATIENCE_S = 90.0
WROTE = "SELECT count(*) FROM telemetry WHERE starts_with(device, $1)"


async def primary_killed(stage: Stage) -> None:
    """S1: kill -9 to all its processes; its address refuses."""
    standby, disks = await _followed(stage)
    old = stage.cluster.postgres
    at = stage.note("the primary is killed")
    old.kill()
    await somebody_is_told(stage, at)
    await promote(stage, standby, disks)
    await old.stop()
    _swap(stage)


async def primary_comes_back(stage: Stage) -> None:
    """S2: it freezes, and its address is silent; after the promotion it is there again, and waits for no standby."""
    standby, disks = await _followed(stage)
    old = stage.cluster.postgres
    at = stage.note("the primary freezes")
    old.freeze()
    await somebody_is_told(stage, at)
    await promote(stage, standby, disks, SILENT_S)
    await stage.traffic.flows(1, PATIENCE_S)
    stage.note("the old primary goes on as one")
    old.thaw()
    looking = await asyncpg.connect(old.url)
    await looking.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
    await looking.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(0.5)
    before = await looking.fetchval(WROTE, stage.traffic.prefix)
    way = _way(stage)
    for _ in range(3 if stage.long else 1):
        way.stall()  # whoever connects now meets the old one
        way.reset()
        await asyncio.sleep(BACK_S)
        way.go_on()
        await stage.traffic.flows(1, PATIENCE_S)
    wrote = await looking.fetchval(WROTE, stage.traffic.prefix) - before
    stage.promise(wrote == 0, f"{wrote} readings were written to the old primary")
    looking.terminate()
    await old.stop()
    _swap(stage)


async def _followed(stage: Stage) -> tuple[Postgres, Disks]:
    """Have a standby at the second address."""
    standby, disks = await make_standby(stage)
    _way(stage).lead_to(HOST, standby.memory.port)
    await stage.traffic.flows(1, PATIENCE_S)
    return standby, disks


def _way(stage: Stage) -> Crossing:
    way = stage.cluster.ways.standby
    assert way is not None
    return way


def _swap(stage: Stage) -> None:
    """Have the first address lead to the new primary, and the second to nobody, for the next trial."""
    stage.cluster.to_postgres.lead_to(HOST, stage.cluster.postgres.memory.port)
    _way(stage).lead_to(HOST, free_port())
    _way(stage).reset()


ANSWERS = frozenset({503, 504})
KINDS = (
    Kind(
        "S1", "the primary killed, its standby promoted", primary_killed, ANSWERS, forgets=True, patience_s=PATIENCE_S
    ),
    Kind(
        "S2",
        "the primary silent, and back beside its successor",
        primary_comes_back,
        ANSWERS,
        forgets=True,
        patience_s=PATIENCE_S,
    ),
)
