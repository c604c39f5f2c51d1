"""`python -m load.publication`: from sending a POST to having the publication on `/ws`, at 0.6 of the knee.

Starts a server of its own in a temporary folder and prints one JSON object. Each round finds the knee anew, as the
benchmark does (`closed loop`, as fast as answers come), then sends at 0.6 of it, and meanwhile has one device after the
other cross a limit, over a connection of its own. A dashboard in another process says when it had the event.
"""

import asyncio
import json
import random
import statistics
import time
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import aiohttp
import typer

from load.audience import raise_file_limit, say
from load.bench.case import Case
from load.bench.generator import Generators
from load.bench.plan import DEVICES, Plan
from load.bench.runner import KNEE_SHARE, Ticks
from load.bench.session import Cores, Options, folder
from load.bench.sluice import Sluice, rule, started
from load.bench.stats import spread_ms
from load.bench.subject import SubjectError, on_cores
from load.ear import Ear, listening

DEVICE, METRIC, LIMIT = "probe", "temperature", 80.0
KNEE_READINGS = 200_000  # at most, and at most KNEE_REQUESTS: enough for a second and more
KNEE_REQUESTS = 15_000
FIRST_S = 0.5  # of the open loop, before the first crossing
PAUSE_S = 0.04  # between two crossings, drawn from half to one and a half of it, so that they fall in no step


@dataclass(slots=True)
class Round:
    """What one round showed; seconds."""

    rate: float
    """Requests a second of the others, at 0.6 of the knee."""
    told: list[float] = field(default_factory=list)
    """From sending a reading to hearing its event."""
    answered: list[float] = field(default_factory=list)
    """From sending it to its answer."""
    others: list[float] = field(default_factory=list)
    """From the time a request of the others was due to its answer."""


@dataclass(slots=True)
class Trial:
    """Makes rounds on one server."""

    subject: Sluice
    generators: Generators
    ear: Ear
    case: Case
    http: aiohttp.ClientSession
    probes: int = 0
    ticks: Ticks = field(default_factory=Ticks)

    async def round(self, crossings: int) -> Round:
        """Find the knee, send at 0.6 of it, cross the limit so often."""
        closed = min(KNEE_REQUESTS, KNEE_READINGS // self.case.batch * 3)
        await self._render(closed)
        run = await self.generators.drive(0, closed, self.case.connections)
        rate = KNEE_SHARE * closed / (run.ended - run.began)
        opened = round(rate * (FIRST_S + crossings * PAUSE_S * 1.5))
        await self._render(opened)
        found = Round(rate)
        other = asyncio.create_task(self.generators.drive(0, opened, self.case.connections, rate))
        await asyncio.sleep(FIRST_S)
        for _ in range(crossings):
            if other.done():
                break
            await self._cross(found)
            await asyncio.sleep(PAUSE_S * random.uniform(0.5, 1.5))
        others = await other
        if set(others.statuses) != {200}:
            raise SubjectError(f"the others were answered {dict(others.statuses)}")
        found.others = list(others.latencies)
        return found

    async def _render(self, requests: int) -> None:
        draft = Plan(self.case.batch, requests, 0, DEVICES)
        plan = replace(draft, base_ms=self.ticks.take(draft.ticks))
        await self.generators.render(plan, self.subject.door(self.case))

    async def _cross(self, found: Round) -> None:
        """One more device's first alert: one that comes and goes would be flapping."""
        self.probes += 1
        heard, sent = len(self.ear.at), time.perf_counter()
        await self.post(self.probes, LIMIT + 1)
        found.answered.append(time.perf_counter() - sent)
        await self.ear.has(heard + 1)
        found.told.append(self.ear.at[heard] - sent)

    async def post(self, device: int, value: float) -> None:
        """Send one reading of a device, and wait for the answer."""
        reading = {"ts": time.time_ns() // 1_000_000, "metric": METRIC, "value": value}
        body = json.dumps({"device": f"{DEVICE}-{device}", "readings": [reading]})
        headers = {"Authorization": f"Bearer {self.subject.key}", "Content-Type": "application/json"}
        async with self.http.post(f"{self.subject.url}/v1/readings", data=body, headers=headers) as response:
            if response.status != 200:
                raise SubjectError(await response.text())
            await response.read()


async def measure(trial: Trial, crossings: int, rounds: int) -> dict[str, Any]:
    """The figures of one run: medians of the rounds' percentiles."""
    await trial.subject.post("/v1/rules", rule("probe", METRIC, LIMIT) | {"device": f"{DEVICE}-*"})
    for device in range(crossings * rounds):  # so that none of them is new when it crosses
        await trial.post(device + 1, LIMIT - 1)
    found = [await trial.round(crossings) for _ in range(rounds)]
    return {
        "batch": trial.case.batch,
        "others_readings_per_s": round(statistics.median(each.rate for each in found) * trial.case.batch),
        "crossings": [len(each.told) for each in found],
        "told_ms": _spread([each.told for each in found]),
        "answered_ms": _spread([each.answered for each in found]),
        "others_ms": _spread([each.others for each in found]),
        "rounds_told_p99_ms": [spread_ms(sorted(each.told))["p99"] for each in found],
    }


def _spread(rounds: list[list[float]]) -> dict[str, float]:
    spreads = [spread_ms(sorted(each)) for each in rounds]
    return {name: round(statistics.median(each[name] for each in spreads), 1) for name in ("p50", "p99")}


def main(
    batch: Annotated[tuple[int, int], typer.Option(help="Readings in a request of the others; two cases.")] = (1, 100),
    crossings: Annotated[int, typer.Option(help="Alerts in each round.")] = 200,
    rounds: Annotated[int, typer.Option(help="The figures are medians of the rounds' percentiles.")] = 5,
    workers: Annotated[int, typer.Option(help="Of the server; one is held to one core, with PostgreSQL.")] = 1,
) -> None:
    """Measure how soon an alert is on `/ws` while others send; print it as JSON."""
    raise_file_limit()

    async def run(case: Case) -> dict[str, Any]:
        options = Options()
        cores = Cores.choose(options, workers)
        async with folder(options) as path, started(path, workers, cores.server, {}, rules=0) as subject:
            key = (await subject.post("/v1/keys", {"name": "publication", "scopes": ["read"]}))["key"]
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
                with on_cores(cores.generator), Generators(1) as generators:
                    async with listening(subject.url, key) as ear:
                        return await measure(Trial(subject, generators, ear, case, http), crossings, rounds)

    said = [asyncio.run(run(Case(size))) for size in batch]
    say({"workers": workers, "cores": str(Cores.choose(Options(), workers)), "publication": said})


if __name__ == "__main__":
    typer.run(main)
