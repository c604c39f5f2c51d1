"""SIGTERM under load: only retryable answers, every socket closed with advice and recovered, the end within 10 s.

In the ordinary run once, with 30 dashboards; in the long one ten times in a row, with 200.
"""

import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.conftest import HOST, artifacts
from tests.faults.trial.checker import shortened
from tests.faults.trial.chronicle import write
from tests.faults.trial.cluster import Cluster, cluster
from tests.faults.trial.served import Served
from tests.faults.trial.traffic import Load
from tests.faults.trial.trial import Kind, Stage, make_rule, run_trial
from tests.proxy import free_port

EXIT_S = 10.0
ADVICE = 3001
RESUMED_S = 30.0
ANSWERS = frozenset({0, 503, 504})


@pytest_asyncio.fixture(scope="module")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """PostgreSQL, Valkey, and one worker that is left in peace."""
    async with cluster(tmp_path_factory.mktemp("restart"), workers=1) as running:
        yield running


@pytest.mark.parametrize(
    ("times", "dashboards"),
    [(1, 30), pytest.param(10, 200, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
)
async def test_sigterm_under_load(services: Cluster, times: int, dashboards: int) -> None:
    rule = await make_rule(services)
    port = free_port()
    elsewhere = replace(services, server=replace(services.server, url=f"http://{HOST}:{port}"))
    async with Served(elsewhere, port) as served:

        async def restart(stage: Stage) -> None:
            for _ in range(times):
                await end_and_start(stage, served)

        load = Load(devices=8, dashboards=dashboards)
        kind = Kind("F15", "SIGTERM under load", restart, ANSWERS, load=load, patience_s=60.0)
        outcome = await run_trial(elsewhere, rule, kind, "restart", times)
    figures = [(figure.name, figure.value) for figure in outcome.figures]
    sys.stdout.write(json.dumps({"restarts": times, "statuses": outcome.statuses, "figures": figures}) + "\n")
    if outcome.findings:
        write(artifacts() / "faults", f"restart-{times}", outcome.timeline)
    assert not outcome.findings, "\n".join(shortened(outcome.findings))
    assert max(value for name, value in figures if name == "exit") <= EXIT_S


async def end_and_start(stage: Stage, served: Served) -> None:
    """Ask the server to end, look at how it took leave, start it again, and wait for everybody."""
    watching = stage.traffic.dashboards
    for each in watching:
        each.closes.clear()
    stage.note("the server is asked to end")
    code, seconds = await served.stop()
    stage.measured("exit", seconds, EXIT_S)
    stage.promise(code == 0, f"it ended with {code}")
    closes = [each.closes[0] if each.closes else None for each in watching]
    others = [close for close in closes if close is None or close[0] != ADVICE]
    stage.promise(not others, f"{len(others)} of {len(closes)} dashboards were not closed with advice: {others[:5]}")
    at = stage.note("it is started again")
    await served.start()
    stage.measured("ready", time.monotonic() - at)
    async with stage.patience(RESUMED_S, "not every dashboard is back"):
        while not all(each.resumed and each.resumed[-1] > at for each in watching):
            await stage.pause()
    await stage.traffic.flows(2)
