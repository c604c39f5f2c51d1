"""The proof that the checker works: six servers, each with a defect that breaks one promise, and each is caught.

The defects are patched in from this side (`tests/faults/defects`): the product holds no switch for them.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.faults.trial.catalogue import KINDS
from tests.faults.trial.checker import shortened
from tests.faults.trial.cluster import Cluster, cluster
from tests.faults.trial.scripts import Script
from tests.faults.trial.trial import USUAL, Kind, Stage, Strike, make_rule, run_trial

SEED = "mutations"
ALLOWED = frozenset({0, 503, 504})
ATTEMPTS = 3  # of which one has to find the defect: where it shows is a matter of milliseconds
LOAD = replace(USUAL, devices=8, dashboards=4)


@pytest_asyncio.fixture(scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """PostgreSQL, Valkey and one worker without a defect."""
    async with cluster(tmp_path_factory.mktemp("ground"), workers=1) as running:
        yield running


async def nothing(stage: Stage) -> None:
    """Nothing is broken but the server."""
    await asyncio.sleep(1.0)


async def overlaps(stage: Stage) -> None:
    """A device sends half of each batch again, with the next one."""
    script = Script(f"{stage.traffic.prefix}-d90", stage.chance, 0)
    for _ in range(25):
        (request,) = script.next("overlap")
        stage.account.open(request)
        await stage.traffic.courier.post(request)


async def postgres_dies(stage: Stage) -> None:
    """And is away for a moment."""
    stage.cluster.postgres.kill()
    await asyncio.sleep(0.5)
    await stage.cluster.postgres.start()


async def connections_break(stage: Stage) -> None:
    """Transactions are rolled back in the middle of it."""
    for _ in range(8):
        stage.cluster.to_postgres.reset()
        await asyncio.sleep(0.15)


async def redis_dies(stage: Stage) -> None:
    """Workers hear of each other's events only from PostgreSQL."""
    stage.cluster.valkey.kill()
    await asyncio.sleep(2.5)
    await stage.cluster.valkey.start()


@pytest.mark.parametrize(
    ("defect", "workers", "strike", "invariant"),
    [
        ("acknowledge-early", 1, postgres_dies, "I1"),
        ("ignore-conflicts", 1, overlaps, "I1"),
        ("ignore-gaps", 2, redis_dies, "I6"),
        ("ignore-scopes", 1, nothing, "I8"),
        ("publish-early", 1, connections_break, "I6"),
        ("show-stale", 1, overlaps, "I7"),
    ],
)
async def test_a_defect_is_caught(
    ground: Cluster, defect: str, workers: int, strike: Strike, invariant: str, request: pytest.FixtureRequest
) -> None:
    number = 10 * (1 + request.node.callspec.indices["defect"])
    kind = Kind(defect, defect, strike, ALLOWED, load=LOAD, patience_s=4.0, rest_s=1.0)
    async with ground.other_workers(workers, defect) as broken:
        rule = await make_rule(broken)
        for attempt in range(ATTEMPTS):
            outcome = await run_trial(broken, rule, kind, SEED, number + attempt)
            sys.stdout.write("\n".join([defect, *shortened(outcome.findings)]) + "\n")
            if invariant in {finding.invariant for finding in outcome.findings}:
                break
        else:
            pytest.fail(f"{ATTEMPTS} trials did not find {invariant} broken")
    assert outcome.timeline


async def test_without_a_defect_there_is_nothing_to_find(ground: Cluster) -> None:
    kind = Kind("none", "nothing", nothing, frozenset(), load=LOAD)
    outcome = await run_trial(ground, await make_rule(ground), kind, SEED, 99)
    assert not outcome.findings, shortened(outcome.findings)
    assert outcome.batches > 50
    assert outcome.shown > 50


def test_every_kind_of_guarantees_is_there() -> None:
    assert [kind.name for kind in KINDS] == [f"F{number}" for number in range(1, 24)]
