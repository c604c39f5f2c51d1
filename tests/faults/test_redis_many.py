"""The primary that carries the bus is killed under load, again and again: of a cluster, and behind sentinels.

Devices, dashboards that recover and the checker are those of every trial: no acknowledged reading is missing, every
transition is told once, in order. Who writes may be told 503 or 504, by a machine that is too busy; what Redis has to
do with that is for `test_redis_away.py` to measure.
"""

import json
import sys
import time
from pathlib import Path

import pytest

from tests.faults.test_kinds import SEED
from tests.faults.trial.checker import shortened
from tests.faults.trial.cluster import cluster
from tests.faults.trial.kinds.redis import LOAD, as_if_nothing_were
from tests.faults.trial.trial import Kind, Stage, Strike, make_rule, run_trial
from tests.integration.test_redis_many import Many
from tests.valkeys import PATIENCE_S, Valkeys, valkey_cluster, valkey_sentinels

CHANNEL = "sluice:bus"
ROUNDS = 3


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.parametrize("many", [valkey_cluster, valkey_sentinels])
async def test_a_primary_is_killed_under_load(tmp_path: Path, many: Many) -> None:
    async with (
        many(tmp_path / "many") as valkeys,
        cluster(tmp_path / "arena", settings={"redis_url": valkeys.url}) as arena,
    ):
        kind = Kind(
            "F9",
            f"{many.__name__}: a primary is killed",
            killed(valkeys),
            frozenset({503, 504}),
            load=LOAD,
            patience_s=60,
        )
        outcome = await run_trial(arena, await make_rule(arena), kind, SEED, 1, long=True)
    figures = [(figure.name, figure.value) for figure in outcome.figures]
    summary = {"seed": SEED, "batches": outcome.batches, "events": outcome.events, "statuses": outcome.statuses}
    sys.stdout.write(json.dumps({many.__name__: summary | {"figures": figures}}) + "\n")
    assert not outcome.findings, "\n".join([f"seed {SEED}", *shortened(outcome.findings), outcome.timeline])
    assert outcome.batches > 0
    assert outcome.events > 0


def killed(valkeys: Valkeys) -> Strike:
    """Kill it, wait until all hear themselves again by the one that was promoted, have it come back as a replica."""

    async def strike(stage: Stage) -> None:
        async with as_if_nothing_were(stage, "primaries are killed"):
            for _ in range(ROUNDS):
                victim = await valkeys.owner(CHANNEL)
                lost = await stage.cluster.metric("sluice_bus_reconnects")
                at = stage.note(f"{victim.place}, which has the bus, is killed")
                victim.kill()
                await hear_again(stage, lost)
                stage.measured("bus back", time.monotonic() - at)
                await victim.start()
                await valkeys.whole()
                stage.note(f"{victim.place} is back, as a replica")

    return strike


async def hear_again(stage: Stage, lost: float) -> None:
    """Wait until every worker lost its session, and hears itself in another."""
    workers, deadline = len(stage.cluster.supervisor.pids), time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        again = await stage.cluster.metric("sluice_bus_reconnects") - lost
        if again >= workers and await stage.cluster.metric("sluice_bus_healthy") == workers:
            return
        await stage.pause()
    stage.promise(False, f"after {PATIENCE_S} s not all workers hear themselves")
