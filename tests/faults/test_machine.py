"""Whatever is sent, in whatever order, to whichever workers, whichever of them die: alerts are those of the machine.

Hypothesis draws what a few devices send (`plans`): readings that go on, come late, out of order or again, with or
without awaiting answers, over connections that any worker may get. Rules are drawn beforehand (`rules`), many for each
server, since making one known to all workers takes half a second. In a tenth of the examples a worker is killed. What
is recorded in the end must be what the pure machine makes of it (`oracle`): of all a device sent, if it awaited each
answer; else of what the database says was stored by which transaction, in the order of these.

What an example did depends on when it was run, so nothing is shrunk: a failure prints the stories of the devices
concerned. SLUICE_FAULTS_SEED repeats a run as far as chance allows.
"""

import asyncio
import json
import os
import random
import secrets
import sys
import time

import asyncpg
import hypothesis
import pytest
from hypothesis import HealthCheck, Phase

from tests.conftest import Server, StartServer
from tests.faults.bench import KILL_EVERY, Bench
from tests.faults.oracle import BOUNDS
from tests.faults.plans import DevicePlan, plans
from tests.faults.record import NOTE_COMMITS, codecs
from tests.faults.rules import make_watches
from tests.faults.sender import sending

WATCHES = 60
"""Sets of rules for one server."""
SHARE = 17
"""Examples on each of the servers: 51 in all, then 1,020."""
ROUNDS = 20
MANY = 100
"""From so many random examples on it is certain that some flap."""
PROGRESS_EVERY = 10


LONG = [pytest.mark.long, pytest.mark.timeout(3_600)]


@pytest.mark.parametrize(
    ("workers", "examples"),
    [
        *((workers, SHARE) for workers in (2, 3, 4)),
        *(pytest.param(workers, SHARE * ROUNDS, marks=LONG) for workers in (2, 3, 4)),
    ],
)
async def test_alerts_are_those_of_the_machine(start_server: StartServer, workers: int, examples: int) -> None:
    seed = int(os.environ.get("SLUICE_FAULTS_SEED", secrets.randbits(32)))
    sys.stdout.write(f"SLUICE_FAULTS_SEED={seed}\n")
    seed += workers
    server = await start_server(workers=workers, flap_high=BOUNDS.high, flap_low=BOUNDS.low)
    chance = random.Random(seed)
    async with (
        asyncpg.create_pool(server.database_url, min_size=1, max_size=2, init=codecs) as pool,
        sending(server, chance) as senders,
    ):
        await pool.execute(NOTE_COMMITS)
        bench = Bench(server, senders, pool, await make_watches(server, WATCHES, chance), chance)
        began = time.monotonic()
        await asyncio.to_thread(try_examples, bench, examples, seed, asyncio.get_running_loop())
        await bench.compare_all()
        report(server, bench, time.monotonic() - began)
        assert bench.examples == examples
        assert bench.transitions > examples
        assert bench.flaps > examples // 10 or examples < MANY
        assert bench.kills >= examples // KILL_EVERY


def try_examples(bench: Bench, count: int, seed: int, loop: asyncio.AbstractEventLoop) -> None:
    """Have Hypothesis draw examples in this thread, and the loop of the server try them."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(drawn=plans)
    def holds(drawn: list[DevicePlan]) -> None:
        asyncio.run_coroutine_threadsafe(bench.example(drawn), loop).result()
        if bench.examples % PROGRESS_EVERY == 0:
            sys.stdout.write(f"{bench.examples} of {count} examples, {bench.transitions} transitions\n")

    holds()


def report(server: Server, bench: Bench, took_s: float) -> None:
    """Print what was tried."""
    devices = len(bench.stories)
    figures = {
        "workers": len(server.supervisor.pids),
        "examples": bench.examples,
        "kills": bench.kills,
        "devices": devices,
        "awaiting": sum(story.plan.awaits for story in bench.stories),
        "requests": bench.attempts,
        "not_200": bench.broken,
        "transitions": bench.transitions,
        "flaps": bench.flaps,
        "seconds": round(took_s, 1),
    }
    sys.stdout.write(json.dumps({"machine": figures}) + "\n")
