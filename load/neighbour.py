"""`python -m load.neighbour`: what a key costs others that sends ten times its quota.

Starts a server of its own with two workers and prints one JSON line a pair: a neighbour's p99 at an even load while the
greedy key is quiet, then while it storms; whatever was refused of the neighbour; what the greedy one was answered. It
hammers: whom a 429 tells to wait comes again at once.
"""

import asyncio
import json
import statistics
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any

import typer

from load.bench.case import Case
from load.bench.drive import Run
from load.bench.generator import Generators
from load.bench.plan import DEVICES, METRICS, Plan
from load.bench.runner import Ticks
from load.bench.session import Cores, Options, folder, server
from load.bench.sluice import Sluice
from load.bench.stats import spread_ms

CASE = Case(10)
TIMES = 10
LEAD_S = 1.0  # of the storm, until the quota is used up
GREEDY_CONNECTIONS, CONNECTIONS = 64, 16
WORKERS = 2
PAUSE_S = 1.5  # between two runs, for the bucket to be full again


class Neighbours:
    """A greedy key and its neighbour, each with a generator of its own."""

    def __init__(self, subject: Sluice, even: Generators, greedy: Generators, rate: float, quota: int) -> None:
        self._subject, self._even, self._greedy = subject, even, greedy
        self._rate, self._quota = rate, quota
        self._ticks = Ticks()
        self._greedy_key = ""

    async def prepare(self) -> None:
        """Make the greedy key, and all series."""
        wanted = {"name": "greedy", "scopes": ["ingest"], "quota_requests_per_s": self._quota}
        self._greedy_key = (await self._subject.post("/v1/keys", wanted))["key"]
        await self._even.render(self._plan(DEVICES), self._subject.door(CASE))
        await self._even.drive(0, DEVICES, CONNECTIONS)

    async def even(self, seconds: float) -> Run:
        """The neighbour's load, so long."""
        count = int(self._rate * seconds)
        await self._even.render(self._plan(count), self._subject.door(CASE))
        return await self._even.drive(0, count, CONNECTIONS, self._rate)

    async def storm(self, seconds: float) -> tuple[Run, Run]:
        """The same while the other key sends ten times its quota; the neighbour's, and what that one was answered."""
        many = float(TIMES * self._quota)
        plan = self._plan(int(many * (seconds + 2 * LEAD_S)))
        door = replace(self._subject.door(CASE), authorization=f"Bearer {self._greedy_key}")
        await self._greedy.render(plan, door)
        storming = asyncio.create_task(self._greedy.storm(GREEDY_CONNECTIONS, many, LEAD_S, seconds + LEAD_S, DEVICES))
        await asyncio.sleep(LEAD_S)
        even = await self.even(seconds)
        return even, await storming

    def _plan(self, count: int) -> Plan:
        draft = Plan(CASE.batch, count, 0)
        return replace(draft, base_ms=self._ticks.take(draft.ticks + len(METRICS)))


def _told(quiet: Run, storm: Run, greedy: Run) -> dict[str, Any]:
    refused = sum(count for run in (quiet, storm) for status, count in run.statuses.items() if status != 200)
    p99 = {name: round(spread_ms(run.latencies)["p99"], 2) for name, run in (("quiet", quiet), ("storm", storm))}
    return {f"{name}_p99_ms": value for name, value in p99.items()} | {
        "times": round(p99["storm"] / p99["quiet"], 2),
        "refused_of_neighbour": refused,
        "greedy": {str(status): count for status, count in sorted(greedy.statuses.items())},
        "greedy_stored_per_s": round(greedy.statuses[200] / (greedy.ended - greedy.began), 1),
    }


async def pairs(options: Options, rate: float, quota: int, seconds: float, count: int) -> list[dict[str, Any]]:
    """So many pairs of runs."""
    found = []
    with ExitStack() as stack:
        even, greedy = (stack.enter_context(Generators(1)) for _ in range(2))
        cores = Cores.choose(options, WORKERS)
        async with folder(options) as data, server(options, data, WORKERS, cores, rules=0) as subject:
            both = Neighbours(subject, even, greedy, rate, quota)
            await both.prepare()
            await both.even(seconds)  # warms up
            for _ in range(count):
                await subject.settle()
                quiet = await both.even(seconds)
                storm, answers = await both.storm(seconds)
                found.append(_told(quiet, storm, answers))
                print(json.dumps(found[-1]), flush=True)
                await asyncio.sleep(PAUSE_S)
    return found


def main(
    rate: Annotated[float, typer.Option(help="Requests of 10 readings a second, of the neighbour.")] = 200.0,
    quota: Annotated[
        int, typer.Option(min=1, help="Requests a second, of the greedy key; it sends ten times that.")
    ] = 50,
    seconds: Annotated[float, typer.Option(help="Of each run.")] = 6.0,
    count: Annotated[int, typer.Option("--pairs", min=1, help="Of runs.")] = 5,
) -> None:
    """Measure a neighbour's p99 while another key is quiet, and while it sends ten times its quota."""
    found = asyncio.run(pairs(Options(quick=True), rate, quota, seconds, count))
    medians = {
        name: statistics.median(pair[name] for pair in found) for name in ("quiet_p99_ms", "storm_p99_ms", "times")
    }
    refused = sum(pair["refused_of_neighbour"] for pair in found)
    print(json.dumps({"pairs": count} | medians | {"refused_of_neighbour": refused}))


if __name__ == "__main__":
    typer.run(main)
