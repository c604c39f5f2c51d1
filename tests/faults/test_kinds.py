"""Every kind of fault of guarantees.md once, short, on one cluster at work; then the checker asks the database."""

import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from alerts.matching import WatchingRule
from tests.conftest import artifacts
from tests.faults.trial.catalogue import KINDS
from tests.faults.trial.checker import shortened
from tests.faults.trial.chronicle import write
from tests.faults.trial.cluster import Cluster, cluster
from tests.faults.trial.trial import SHORT, Kind, make_rule, run_trial

SEED = os.environ.get("SLUICE_FAULTS_SEED", str(secrets.randbits(32)))
PATIENCE = 3.0
"""How many times longer than promised a recovery may take here: the machine does other things beside. The long run,
`dev.py faults`, holds the medians of many trials against the promise itself."""


@dataclass
class Arena:
    """The cluster of all trials."""

    cluster: Cluster
    rule: WatchingRule
    trials: int = 0


@pytest_asyncio.fixture(scope="module")
async def arena(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    """One for all kinds."""
    async with cluster(tmp_path_factory.mktemp("arena"), disks=True, settings=SHORT) as running:
        yield Arena(running, await make_rule(running))


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
async def test_kind(arena: Arena, kind: Kind) -> None:
    if obstacle := kind.obstacle(arena.cluster):
        pytest.skip(f"{kind.name} WAS NOT TRIED: {obstacle}")
    arena.trials += 1
    outcome = await run_trial(arena.cluster, arena.rule, kind, SEED, arena.trials)
    figures = {figure.name: figure.value for figure in outcome.figures}
    summary = {"seed": SEED, "seconds": outcome.seconds, "batches": outcome.batches, "readings": outcome.readings}
    sys.stdout.write(json.dumps({kind.name: summary | {"statuses": outcome.statuses, "figures": figures}}) + "\n")
    if outcome.findings:
        path = write(artifacts() / "faults", f"{kind.name}-{SEED}", outcome.timeline)
        pytest.fail("\n".join([f"seed {SEED}, timeline in {path.name}:", *shortened(outcome.findings)]))
    late = [each for each in outcome.figures if each.limit is not None and each.value > each.limit * PATIENCE]
    assert not late, late
    assert outcome.batches > 0
    assert outcome.events > 0
