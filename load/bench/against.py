"""Side by side: ours and another server in turns, the same readings, in one run, on the same core."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from load.bench import influx
from load.bench.case import Case
from load.bench.result import Result, align
from load.bench.session import Cores, Options, Took, folder, runner, server
from load.bench.stats import median, ratio
from load.bench.subject import Subject, SubjectError, say

RIVALS = {"influxdb": influx}


@asynccontextmanager
async def _both(options: Options, rival: str, cores: Cores) -> AsyncIterator[list[Subject]]:
    """Both servers, each on a folder of its own."""
    if rival not in RIVALS:
        raise SubjectError(f"--against knows {', '.join(RIVALS)}, not {rival}")
    RIVALS[rival].program()  # complains before anything is started
    async with (
        folder(options) as ours,
        folder(options) as theirs,
        server(options, ours, 1, cores) as sluice,
        RIVALS[rival].started(theirs, cores.server) as other,
    ):
        say(f"{other.name} {other.version} is ready")
        yield [sluice, other]


async def measure(options: Options, cases: Sequence[Case], rival: str, rounds: int, took: Took) -> None:
    """Every case `rounds` times on each, in turns, so that what changes in the machine changes for both."""
    cores = Cores.choose(options, 1)
    say(str(cores))
    async with _both(options, rival, cores) as subjects, runner(options, cores) as running:
        for subject in subjects:
            await running.seed(subject)
        for case in cases:
            for number in range(rounds):
                began, told = time.monotonic(), []
                for subject in subjects:
                    result = await running.measure(case, subject, latencies=False)
                    took(result)
                    told.append(
                        f"{subject.name} {result.total_us:.3g} µs, {result.readings_per_s:,.0f}/s {result.marks}"
                    )
                say(f"{case.name} {number + 1}/{rounds}: {'; '.join(told)} ({time.monotonic() - began:.1f} s)")
        for subject in subjects:
            await running.verify(subject)


def table(results: Sequence[Result], rival: str) -> str:
    """Medians of both, and ours divided by theirs."""
    rows = [["case", "ours µs", f"{rival} µs", "ratio", "rounds", "ours/s", f"{rival}/s", "ratio"]]
    for case in dict.fromkeys(result.case for result in results):
        costs, speeds, rounds = [], [], 0
        for ours in (True, False):
            mine = [result for result in results if result.case == case and (result.subject == "sluice") is ours]
            costs.append(median([result.total_us for result in mine]))
            speeds.append(median([result.readings_per_s for result in mine]))
            rounds = len(mine) or rounds
        rows.append(
            [
                case,
                *(f"{cost:.3g}" for cost in costs),
                f"{ratio(*costs):.2f}",
                str(rounds),
                *(f"{speed:,.0f}" for speed in speeds),
                f"{ratio(*speeds):.2f}",
            ]
        )
    return align(rows)
