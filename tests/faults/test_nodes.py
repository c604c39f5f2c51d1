"""Three nodes behind nginx, PostgreSQL at one of two addresses: a node breaks, a standby is promoted; I1 to I8 hold.

In the ordinary run a node is killed, and PostgreSQL's primary; in the long one everything, node after node.
"""

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from alerts.matching import WatchingRule
from tests.acceptance.nginx import BINARY
from tests.conftest import artifacts
from tests.faults.trial.catalogue import KINDS_OF_NODES
from tests.faults.trial.checker import shortened
from tests.faults.trial.chronicle import write
from tests.faults.trial.cluster import Cluster
from tests.faults.trial.nodes import nodes
from tests.faults.trial.trial import SHORT, Kind, make_rule, run_trial

SEED = "nodes"
PATIENCE = 3.0
"""How many times longer than promised a recovery may take in the long run: the machine does other things beside."""
QUICK = {"N1", "S1"}


@dataclass
class Several:
    """The cluster of all trials."""

    cluster: Cluster
    rule: WatchingRule
    trials: int = 0


@pytest_asyncio.fixture(scope="module")
async def several(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Several]:
    """One for all kinds."""
    if BINARY is None:
        pytest.skip("NGINX IS ABSENT: several nodes were NOT tried")
    async with nodes(tmp_path_factory.mktemp("nodes"), settings=SHORT, two_hosts=True) as running:
        yield Several(running, await make_rule(running))


@pytest.mark.parametrize(
    ("kind", "long"),
    [pytest.param(kind, False, id=kind.name) for kind in KINDS_OF_NODES if kind.name in QUICK]
    + [pytest.param(kind, True, id=f"{kind.name}-long", marks=pytest.mark.long) for kind in KINDS_OF_NODES],
)
async def test_kind(several: Several, kind: Kind, long: bool) -> None:
    several.trials += 1
    outcome = await run_trial(several.cluster, several.rule, kind, SEED, several.trials, long=long)
    figures = {figure.name: figure.value for figure in outcome.figures}
    summary = {"seconds": outcome.seconds, "batches": outcome.batches, "readings": outcome.readings}
    sys.stdout.write(json.dumps({kind.name: summary | {"statuses": outcome.statuses, "figures": figures}}) + "\n")
    if outcome.findings:
        write(artifacts() / "faults", f"{kind.name}-{SEED}", outcome.timeline)
    assert not outcome.findings, "\n".join(shortened(outcome.findings))
    late = [each for each in outcome.figures if each.limit is not None and each.value > each.limit * PATIENCE]
    assert not (long and late), late
    assert outcome.events > 0
