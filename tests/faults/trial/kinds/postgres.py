"""F1 to F5, F17, F22: PostgreSQL stops, freezes, loses a backend or an answer, refuses."""

import asyncio
import contextlib
import time

import aiohttp
import asyncpg

from tests.faults.trial.trial import Kind, Stage
from tests.proxy import COMMIT

FIRST_S = 1.0
"""From PostgreSQL accepting again to the first 200."""
GRACE_S = 0.5
"""Beyond the deadline, for an answer to be on its way."""


async def stopped(stage: Stage) -> None:
    """F1: killed as by a power cut, or asked to stop; 503 soon, alive, not ready; back at once."""
    cluster = stage.cluster
    if stage.chance.random() < 0.5:
        at = stage.note("PostgreSQL is killed with all its processes")
        cluster.postgres.kill()
    else:
        at = stage.note("PostgreSQL is stopped, fast")
        await cluster.postgres.stop()
    away_s = stage.chance.uniform(5, 15) if stage.long else 2.0
    await asyncio.sleep(1.0)
    await health_says(stage, ready=False)
    await asyncio.sleep(away_s - 1.0)
    slow = [
        attempt.answered - attempt.sent
        for request, attempt in stage.account.attempts()
        if request.kind == "pulse" and attempt.status == 503 and attempt.sent > at
    ]
    stage.promise(bool(slow), "nobody was answered 503 while PostgreSQL was away")
    stage.measured("slowest 503", max(slow, default=0.0), 1.0)
    await start_again(stage)


async def start_again(stage: Stage) -> None:
    """Start PostgreSQL; measure from when it accepts."""
    await stage.cluster.postgres.start()
    back = stage.note("PostgreSQL accepts again")
    await stage.first_success(back, "first 200", FIRST_S)


async def health_says(stage: Stage, *, ready: bool) -> None:
    """Ask whether it is alive, and ready."""
    async with aiohttp.ClientSession() as session:
        for path, status in (("/healthz", 200), ("/readyz", 200 if ready else 503)):
            async with session.get(stage.cluster.url + path) as response:
                text = f"{path} answered {response.status}: {(await response.text())[:200]}"
                stage.promise(response.status == status, text)
                stage.note(text)


async def frozen(stage: Stage) -> None:
    """F2: connections stay open, nothing comes; every request is answered by its deadline."""
    cluster = stage.cluster
    seconds = 30.0 if stage.long else cluster.deadline_s + 1.0
    at = stage.note(f"PostgreSQL freezes for {seconds:.0f} s")
    cluster.postgres.freeze()
    await asyncio.sleep(seconds)
    cluster.postgres.thaw()
    back = stage.note("PostgreSQL runs on")
    await stage.first_success(back, "first 200", FIRST_S)
    stage.measured("slowest answer", stage.account.slowest(at), cluster.deadline_s + GRACE_S)


async def backend_killed(stage: Stage) -> None:
    """F3: backends are terminated in the middle of what they do, and connections cut after any number of bytes."""
    for number in range(12 if stage.long else 6):
        if number % 2:
            limit = stage.chance.randint(1, 20_000)
            stage.note(f"the connections to PostgreSQL are cut {limit} bytes on")
            stage.cluster.to_postgres.cut_after(limit)
        else:
            killed = await stage.cluster.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'sluice' AND state <> 'idle'"
            )
            stage.note(f"{len(killed)} backends are terminated")
        await asyncio.sleep(stage.chance.uniform(0.05, 0.3))
    healed = stage.note("backends live")
    stage.cluster.to_postgres.cut_after(None)
    await stage.first_success(healed, "first 200", FIRST_S)


async def answer_lost(stage: Stage) -> None:
    """F4: COMMIT arrives, its answer does not: the connection breaks, or nothing comes any more."""
    proxy = stage.cluster.to_postgres
    for number in range(6 if stage.long else 3):
        at = time.monotonic()
        proxy.swallow_the_answer_to(COMMIT, reset=number % 3 != 1)
        stage.note("the answer to the next COMMIT is lost" + (", and the connection" if number % 3 != 1 else ""))
        async with asyncio.timeout(10):
            while not proxy.triggered():
                await asyncio.sleep(0.01)
        deadline = time.monotonic() + stage.cluster.deadline_s + 2
        while not any(a.status == 504 for _, a in stage.account.attempts() if a.answered > at):
            if time.monotonic() > deadline:
                stage.promise(False, "the answer to a COMMIT was lost, and nobody was answered 504")
                break
            await asyncio.sleep(0.02)
    again = [
        request
        for request in stage.account.requests
        if request.acknowledged and any(a.status == 504 for a in request.attempts)
    ]
    await stage.traffic.flows(1)
    stage.note(f"{len(again)} batches were stored by an attempt that was answered 504, and sent again")


async def used_up(stage: Stage) -> None:
    """F5: others hold all connections of PostgreSQL."""
    cluster, held = stage.cluster, list[asyncpg.Connection]()
    try:
        stage.note("all connections are taken, as soon as one is free")
        until = time.monotonic() + (6.0 if stage.long else 1.5)
        while time.monotonic() < until:
            cluster.to_postgres.reset()
            with contextlib.suppress(asyncpg.TooManyConnectionsError, OSError):
                for _ in range(60):
                    held.append(await asyncpg.connect(cluster.postgres.url))
            await asyncio.sleep(0.1)
        told = [a.status for _, a in stage.account.attempts() if a.status == 503]
        stage.promise(bool(told), "nobody was answered 503 while all connections were taken")
    finally:
        for connection in held:
            connection.terminate()
    healed = stage.note(f"{len(held)} connections are given back")
    await stage.first_success(healed, "first 200", FIRST_S + 1.0)


KINDS = (
    Kind("F1", "PostgreSQL stopped", stopped, frozenset({503, 504})),
    Kind("F2", "PostgreSQL frozen", frozen, frozenset({503, 504})),
    Kind("F3", "backends killed in mid-COPY", backend_killed, frozenset({503, 504})),
    Kind("F4", "the answer to COMMIT lost", answer_lost, frozenset({503, 504})),
    Kind("F5", "connections used up", used_up, frozenset({503, 504})),
)
