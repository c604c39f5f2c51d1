"""Load tests judge rightly: a good server passes, and servers that break a promise under load make them exit non-zero.

What a run measures is not judged here, for this machine is busy with other tests: bounds on time are set so wide that
only what was lost, missed or doubled decides.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.trial.cluster import Cluster, cluster

WIDE = ("--p99-ms", "90000", "--alert-p99-ms", "90000", "--error-share", "1", "--achieved-share", "0.01")
BRIEF = ("--minutes", "0.07", "--scale", "0.5", "--calm-s", "4", "--rest-s", "3")
"""Nobody waits long for what will never come."""
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


async def nothing(near: Cluster) -> None:
    """Nothing is broken but the server."""


async def connections_break(near: Cluster) -> None:
    """Transactions are rolled back in the middle of it, again and again."""
    for _ in range(12):
        await asyncio.sleep(0.4)
        near.to_postgres.reset()


async def postgres_dies(near: Cluster) -> None:
    """And is away for a moment."""
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
async def test_a_good_server_passes_whatever_breaks_around_it(tmp_path: Path) -> None:
    """With users in two processes besides the one that judges."""
    async with cluster(tmp_path / "good") as good:
        run = await judged(
            good, tmp_path, connections_break, "mixed", "--minutes", "0.12", "--scale", "0.3", "--processes", "2"
        )
    assert run.code == 0, run.said
    assert run.document["passed"] is True
    assert run.document["processes"] == 2
    assert run.document["readings"]["acknowledged"] == run.document["readings"]["stored"] > 500
    assert run.document["alerts"]["expected"] > 5
    assert run.page.count("<svg") >= 4
    assert not re.findall(r"<script|<link|src=|@import|url\(", run.page), "the page is all there is"


class Broken(NamedTuple):
    """A server that does not keep its word, what has to happen for it to show, and what then has to be found."""

    defects: str
    workers: int
    strike: Strike
    findings: set[str]


DOUBLING = {"readings doubled", "requests let in without a right"}
SHORT = (
    Broken("acknowledge-early", 1, postgres_dies, {"readings lost"}),
    Broken("ignore-conflicts,ignore-scopes", 1, nothing, DOUBLING),
)
LONG = (
    Broken("ignore-gaps", 2, redis_dies, {"publications missed"}),
    Broken("publish-early", 1, connections_break, {"publications missed"}),
)


@pytest.mark.parametrize("all_of_them", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"])
async def test_defects_make_it_fail(all_of_them: tuple[Broken, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    """At the same time, as most of a run is waiting."""
    await asyncio.gather(*(make_it_fail(each, tmp_path_factory.mktemp("broken")) for each in all_of_them))


async def make_it_fail(broken: Broken, folder: Path) -> None:
    """Load it until what is wrong with it was found."""
    async with cluster(folder / "cluster", workers=broken.workers, defect=broken.defects) as running:
        for _ in range(ATTEMPTS):
            run = await judged(running, folder, broken.strike, "steady", *BRIEF)
            sys.stdout.write(run.said)
            if all(run.found(finding) for finding in broken.findings):
                break
        else:
            pytest.fail(f"{ATTEMPTS} runs did not find that {broken.defects}: {broken.findings}")
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
