"""F13 to F15, F23: a worker is killed, freezes, blocks, is asked to end, starts while PostgreSQL is away."""

import asyncio
import contextlib
import os
import signal
import time

import aiohttp

from tests.faults.defects.stall import BLOCKER
from tests.faults.defects.witness import testimony
from tests.faults.trial.cluster import Cluster
from tests.faults.trial.kinds.postgres import start_again
from tests.faults.trial.scripts import single
from tests.faults.trial.trial import Kind, Stage

STARTED_S = 2.0
FROZEN_S = 6.0
BLOCKED_S = 10.0
EXIT_S = 10.0
SERVES_S = 40.0
"""Loading a worker's modules is seconds of pure computing on a machine that is busy."""


async def killed(stage: Stage) -> None:
    """F13: kill -9, under load."""
    for _ in range(4 if stage.long else 1):
        pids = stage.cluster.supervisor.pids
        victim = stage.chance.choice(pids)
        at = stage.note(f"worker {victim} of {pids} is killed")
        os.kill(victim, signal.SIGKILL)
        await replaced(stage, stage.cluster, pids, victim, at, STARTED_S)
        await stage.traffic.flows(2)


async def stuck(stage: Stage) -> None:
    """F14: a worker is stopped in the middle of it; the event loop of another blocks."""
    pids = stage.cluster.supervisor.pids
    victim = stage.chance.choice(pids)
    at = stage.note(f"worker {victim} of {pids} freezes")
    os.kill(victim, signal.SIGSTOP)
    await asyncio.gather(replaced(stage, stage.cluster, pids, victim, at, FROZEN_S), blocked(stage))


async def blocked(stage: Stage) -> None:
    """Block the loop of a worker that can be blocked, beside the others."""
    other = await stage.cluster.spare()
    async with aiohttp.ClientSession() as session:
        pids = other.supervisor.pids
        at = stage.note(f"the loop of worker {pids[0]} blocks")
        document = single(BLOCKER, 1, time.time_ns() // 1_000, 1.0).document
        headers = other.server.headers()
        blocking = asyncio.create_task(_post(session, f"{other.url}/v1/readings", document, headers))
        await replaced(stage, other, pids, pids[0], at, BLOCKED_S, "blocked one replaced")
        await blocking


async def _post(session: aiohttp.ClientSession, url: str, document: object, headers: dict[str, str]) -> None:
    with contextlib.suppress(aiohttp.ClientError, OSError):
        async with session.post(url, json=document, headers=headers):
            pass


async def asked_to_end(stage: Stage) -> None:
    """F15: each worker in turn gets SIGTERM; dashboards are advised, what is in flight is answered."""
    before = sum(len(each.closes) for each in stage.traffic.dashboards)
    pids = stage.cluster.supervisor.pids
    for victim in pids:
        at = stage.note(f"worker {victim} is asked to end")
        os.kill(victim, signal.SIGTERM)
        await ended(stage, victim, at)
        await until_serving(stage, stage.cluster, set(stage.cluster.supervisor.pids) - {victim})
    closes = [close for each in stage.traffic.dashboards for close in each.closes][before:]
    told = sum(code == 3001 for code, _ in closes)
    stage.promise(told > 0, f"no dashboard was closed with advice: {closes}")
    stage.note(f"dashboards were closed with {closes}")


async def ended(stage: Stage, pid: int, since: float) -> None:
    """Wait for the end of a worker; measure it."""
    while pid in stage.cluster.supervisor.pids:
        if time.monotonic() - since > 2 * EXIT_S:
            os.kill(pid, signal.SIGUSR1)
            await asyncio.sleep(1.0)
            stage.promise(False, f"worker {pid} has not ended: {testimony(stage.cluster.folder, pid)}")
            os.kill(pid, signal.SIGKILL)  # so that the trial can go on
            return
        await asyncio.sleep(0.01)
    stage.measured("exit", time.monotonic() - since, EXIT_S)


async def replaced(
    stage: Stage, cluster: Cluster, before: list[int], victim: int, at: float, limit: float, name: str = "replaced"
) -> None:
    """Wait until another worker was started in the victim's place; measure that, and when it serves."""
    while victim in (pids := cluster.supervisor.pids) or len(pids) < len(before):
        if time.monotonic() - at > 3 * limit + 5:
            stage.promise(False, f"worker {victim} was not replaced: {pids}")
            return
        await asyncio.sleep(0.01)
    stage.measured(name, time.monotonic() - at, limit)
    stage.promise(set(before) - {victim} <= set(pids), f"of {before} only {victim} was broken, now there are {pids}")
    await until_serving(stage, cluster, set(pids) - set(before))
    stage.measured(f"{name}, and serves", time.monotonic() - at)


async def until_serving(stage: Stage, cluster: Cluster, wanted: set[int]) -> None:
    """Wait until each of these workers has answered that it is ready."""
    deadline, missing = time.monotonic() + SERVES_S, set(wanted)
    while missing:
        if time.monotonic() > deadline:
            async with cluster.server.http.get(f"{cluster.url}/readyz") as response:
                stage.promise(False, f"workers {missing} do not serve; one says {await response.text()}")
            return
        missing.discard(await who_answers(cluster, 200))
        await asyncio.sleep(0.01)


async def who_answers(cluster: Cluster, status: int) -> int:
    """Ask `/readyz` on a connection of its own; the worker that answered with this status, 0 for none."""
    timeout = aiohttp.ClientTimeout(total=3)
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{cluster.url}/readyz") as response:
            return int(response.headers["X-Worker"]) if response.status == status else 0
    return 0


async def postgres_away_at_start(stage: Stage) -> None:
    """F23: a worker starts while PostgreSQL is away; it says so, and works when it is back."""
    cluster = stage.cluster
    stage.note("PostgreSQL is killed")
    cluster.postgres.kill()
    pids = cluster.supervisor.pids
    victim = stage.chance.choice(pids)
    stage.note(f"worker {victim} is killed")
    os.kill(victim, signal.SIGKILL)
    deadline, newcomer = time.monotonic() + SERVES_S, 0
    while newcomer in {0, *pids}:
        if time.monotonic() > deadline:
            stage.promise(False, "the new worker does not answer while PostgreSQL is away")
            break
        newcomer = await who_answers(cluster, 503)
    stage.note(f"worker {newcomer} answers that it is not ready")
    await start_again(stage)
    await until_serving(stage, cluster, set(cluster.supervisor.pids))
    stage.promise(set(cluster.supervisor.pids) == set(pids) - {victim} | {newcomer}, "a worker ended meanwhile")


BROKEN = frozenset({0, 503, 504})
KINDS = (
    Kind("F13", "a worker killed under load", killed, BROKEN),
    Kind("F14", "a worker frozen, or its event loop blocked", stuck, BROKEN),
    Kind("F15", "SIGTERM to one worker after the other", asked_to_end, BROKEN),
    Kind("F23", "PostgreSQL away when a worker starts", postgres_away_at_start, BROKEN),
)
