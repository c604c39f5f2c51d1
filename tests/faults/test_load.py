"""Load tests judge rightly: a good server passes, and servers that break a promise under load make them exit non-zero.

What a run measures is not judged here, for this machine is busy with other tests: bounds on time are set so wide that
only what was lost, missed or doubled decides.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.faults.trial.cluster import Cluster, cluster

WIDE = ("--p99-ms", "90000", "--alert-p99-ms", "90000", "--error-share", "1", "--achieved-share", "0.01")
BEGIN_S, END_S = 90, 180
ATTEMPTS = 3  # of which one has to find the defect: where it shows is a matter of milliseconds

Strike = Callable[[Cluster], Awaitable[None]]


class Judged(NamedTuple):
    """How a run ended."""

    code: int
    document: dict[str, Any]
    page: str
    said: str

    def found(self, name: str) -> float:
        """What a check found."""
        return next(float(check["found"]) for check in self.document["checks"] if check["name"] == name)


@pytest_asyncio.fixture(scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """PostgreSQL, Valkey and two workers without a defect."""
    async with cluster(tmp_path_factory.mktemp("ground")) as running:
        yield running


async def judged(near: Cluster, folder: Path, strike: Strike, *words: str) -> Judged:
    """Run a load test against the workers; once it has begun, something is broken."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE_", "LOCUST_"))}
    command = ["-m", "load.scenarios", *words, "--url", near.url, "--report", str(folder), *WIDE]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        env=environment | {"SLUICE_KEY": near.server.admin_key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said = ""
    try:
        async with asyncio.timeout(BEGIN_S):
            while process.stderr and "under load begin" not in said and (line := await process.stderr.readline()):
                said += line.decode()
        await strike(near)
        async with asyncio.timeout(END_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said += err.decode() + out.decode()
    path = folder / f"{words[0]}.json"
    assert path.exists(), said
    return Judged(process.returncode or 0, json.loads(path.read_text()), path.with_suffix(".html").read_text(), said)


async def connections_break(near: Cluster) -> None:
    """Transactions are rolled back in the middle of it, again and again."""
    for _ in range(12):
        await asyncio.sleep(0.4)
        near.to_postgres.reset()


async def postgres_dies(near: Cluster) -> None:
    """And is away for a moment, twice."""
    for _ in range(2):
        await asyncio.sleep(1.5)
        near.postgres.kill()
        await asyncio.sleep(0.5)
        await near.postgres.start()


async def redis_dies(near: Cluster) -> None:
    """Workers hear of each other's events only from PostgreSQL."""
    await asyncio.sleep(1.5)
    near.valkey.kill()
    await asyncio.sleep(2.5)
    await near.valkey.start()


@pytest.mark.long
async def test_a_good_server_passes_whatever_breaks_around_it(ground: Cluster, tmp_path: Path) -> None:
    """With users in two processes besides the one that judges."""
    run = await judged(
        ground, tmp_path, connections_break, "mixed", "--minutes", "0.12", "--scale", "0.3", "--processes", "2"
    )
    assert run.code == 0, run.said
    assert run.document["passed"] is True
    assert run.document["processes"] == 2
    assert run.document["readings"]["acknowledged"] == run.document["readings"]["stored"] > 500
    assert run.document["alerts"]["expected"] > 5
    assert run.page.count("<svg") >= 4
    assert not re.findall(r"<script|<link|src=|@import|url\(", run.page), "the page is all there is"


@pytest.mark.parametrize(
    ("defect", "workers", "strike", "finding"),
    [
        ("acknowledge-early", 1, postgres_dies, "readings lost"),
        pytest.param("ignore-gaps", 2, redis_dies, "publications missed", marks=pytest.mark.long),
        pytest.param("publish-early", 1, connections_break, "publications missed", marks=pytest.mark.long),
    ],
)
async def test_a_defect_makes_it_fail(
    ground: Cluster, defect: str, workers: int, strike: Strike, finding: str, tmp_path: Path
) -> None:
    async with ground.other_workers(workers, defect) as broken:
        for _ in range(ATTEMPTS):
            run = await judged(broken, tmp_path, strike, "steady", "--minutes", "0.12", "--scale", "0.4")
            sys.stdout.write(run.said)
            if run.found(finding):
                break
        else:
            pytest.fail(f"{ATTEMPTS} runs did not find that {finding}")
    assert run.code == 1
    assert run.document["passed"] is False
    assert "FAILED" in run.said


@pytest.mark.long
async def test_an_outage_of_a_server_of_its_own_loses_nothing(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "load.scenarios", "outage", "--minutes", "0.3", "--report", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 2 * END_S)
    assert process.returncode == 0, out.decode()
    document = json.loads((tmp_path / "outage.json").read_text())
    assert document["totals"]["errors"] > 0, "nobody noticed the outage"
