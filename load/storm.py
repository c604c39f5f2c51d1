"""`python -m load.storm`: ten thousand series break within a second: what the write path loses by it, and for how long.

Starts a server of its own in a temporary folder and prints one JSON object. Each round sends the same ordinary traffic
three times, as fast as it is answered: alone (`calm`), beside the requests of a storm whose values cross nothing
(`quiet`), and beside the storm. What alerts cost is the difference between the last two.
"""

import asyncio
import re
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import typer

from load.audience import raise_file_limit, say
from load.bench.case import Case
from load.bench.drive import Drive, Run
from load.bench.generator import Generators
from load.bench.meter import Reading
from load.bench.plan import DEVICES, Plan
from load.bench.runner import Ticks
from load.bench.session import Cores, Options, folder
from load.bench.sluice import Sluice, rule, started
from load.bench.stats import spread_ms
from load.bench.subject import on_cores
from load.ear import Ear, listening
from load.outbreak import EACH, LIMIT, PREFIX, Outbreak

CASE = Case(100)
WITHIN_S = 1.0  # the storm's requests are spread over so long
CALM_S = 1.0  # the ordinary traffic is as much as takes so long when nothing else happens
CONNECTIONS = 32
REST_S = 1.0
_BUCKET = re.compile(r'^sluice_group_rows_bucket\{.*le="([^"]+)".*\} (\S+)$', re.MULTILINE)


@dataclass(slots=True)
class Trial:
    """What happened while the ordinary traffic was sent once."""

    traffic: Run
    cpu: Reading
    statuses: Counter[int]
    groups: Counter[str]
    """Groups by the bound of rows that they did not exceed, cumulative as Prometheus has them."""
    told_s: float = 0.0
    """From the storm's first request to its last publication."""

    @property
    def readings_per_s(self) -> float:
        """Of the ordinary traffic."""
        return self.traffic.statuses[200] * CASE.batch / (self.traffic.ended - self.traffic.began)


@dataclass(slots=True)
class Weather:
    """Makes trials on one server."""

    subject: Sluice
    generators: Generators
    ear: Ear
    requests: int = 0
    """Of the ordinary traffic."""
    ticks: Ticks = field(default_factory=Ticks)

    async def warm_up(self) -> None:
        """Make the ordinary series known, and find out how much traffic takes `CALM_S`."""
        self.requests = 4_000
        for _ in range(3):
            trial = await self.trial([], 0)
            self.requests = round(trial.readings_per_s / CASE.batch * CALM_S)

    async def trial(self, storm: list[bytes], events: int) -> Trial:
        """Send the ordinary traffic, and beside it this; wait until so many events were heard."""
        draft = Plan(CASE.batch, self.requests, 0, DEVICES)
        plan = replace(draft, base_ms=self.ticks.take(draft.ticks))
        door = self.subject.door(CASE)
        await self.generators.render(plan, door)
        address = (door.host, door.port)
        drive = Drive(address, storm, CONNECTIONS, len(storm) / WITHIN_S) if storm else None
        heard, before, groups = len(self.ear.at), self.subject.meter.read(), await self._groups()
        traffic, other = await asyncio.gather(
            self.generators.drive(0, plan.count, CONNECTIONS), asyncio.to_thread(drive.run if drive else _nothing)
        )
        await self.ear.has(heard + events)
        cpu = self.subject.meter.read().since(before)
        groups = Counter({bound: count - groups[bound] for bound, count in (await self._groups()).items()})
        told_s = self.ear.at[-1] - other.began if events else 0.0
        return Trial(traffic, cpu, traffic.statuses + other.statuses, groups, told_s)

    async def _groups(self) -> Counter[str]:
        headers = {"Authorization": f"Bearer {self.subject.admin_key}"}
        async with self.subject.http.get(f"{self.subject.url}/metrics", headers=headers) as response:
            found: Counter[str] = Counter()
            for bound, count in _BUCKET.findall(await response.text()):
                found[bound] += int(float(count))
            return found


def _nothing() -> Run:
    return Run(time.perf_counter())


async def measure(weather: Weather, series: int, rounds: int) -> dict[str, Any]:
    """The figures of one run."""
    subject = weather.subject
    await subject.post("/v1/rules", rule("storm", "*", LIMIT) | {"device": f"{PREFIX}*"})
    await weather.warm_up()
    trials: dict[str, list[Trial]] = {"calm": [], "quiet": [], "storm": []}
    for number in range(rounds):  # each round is other series: what comes and goes is flapping
        outbreak = Outbreak(str(number), series // EACH, subject.door(CASE))
        await asyncio.to_thread(Drive((outbreak.door.host, outbreak.door.port), outbreak.requests(1), CONNECTIONS).run)
        await asyncio.sleep(REST_S)
        trials["calm"].append(await weather.trial([], 0))
        trials["quiet"].append(await weather.trial(outbreak.requests(2), 0))
        trials["storm"].append(await weather.trial(outbreak.requests(LIMIT + 1), outbreak.series))
    statuses = sum((trial.statuses for found in trials.values() for trial in found), Counter[int]())
    return {"series": series // EACH * EACH, "rounds": rounds, "statuses": dict(statuses)} | figures(trials)


def figures(trials: dict[str, list[Trial]]) -> dict[str, Any]:
    """Medians; what is compared is compared within a round."""
    calm, quiet, storm = trials["calm"], trials["quiet"], trials["storm"]
    return {
        "readings_per_s": {name: round(_median([t.readings_per_s for t in found])) for name, found in trials.items()},
        "of_calm": round(_median([s.readings_per_s / c.readings_per_s for s, c in zip(storm, calm, strict=True)]), 2),
        "of_quiet": round(_median([s.readings_per_s / q.readings_per_s for s, q in zip(storm, quiet, strict=True)]), 2),
        "p99_ms": {name: _p99(found) for name, found in trials.items()},
        "told_s": round(_median([trial.told_s for trial in storm]), 2),
        "worst_told_s": round(max(trial.told_s for trial in storm), 2),
        "cpu_s": {name: _cpu(found) for name, found in trials.items()},
        "group_rows_at_most": {name: _largest(found) for name, found in trials.items()},
    }


def _largest(trials: list[Trial]) -> str:
    """The smallest bound that no group exceeded."""
    groups = sum((trial.groups for trial in trials), Counter[str]())
    return min((bound for bound, count in groups.items() if count == groups["+Inf"]), key=float)


def _p99(trials: list[Trial]) -> float:
    return round(_median([spread_ms(trial.traffic.latencies)["p99"] for trial in trials]), 1)


def _cpu(trials: list[Trial]) -> dict[str, float]:
    return {part: round(_median([trial.cpu.parts[part] for trial in trials]), 2) for part in trials[0].cpu.parts}


def _median(values: list[float]) -> float:
    return statistics.median(values)


def main(
    series: Annotated[int, typer.Option(help="How many break within a second.")] = 10_000,
    rounds: Annotated[int, typer.Option(help="Storms; the figures are medians.")] = 5,
    workers: Annotated[int, typer.Option(help="Of the server; one is held to one core, with PostgreSQL.")] = 1,
) -> None:
    """Measure a storm of alerts beside ordinary traffic; print it as JSON."""
    raise_file_limit()

    async def run() -> dict[str, Any]:
        options = Options()
        cores = Cores.choose(options, workers)
        async with folder(options) as path, started(path, workers, cores.server, {}, rules=0) as subject:
            key = (await subject.post("/v1/keys", {"name": "storm", "scopes": ["read"]}))["key"]
            with on_cores(cores.generator), Generators(1) as generators:
                async with listening(subject.url, key) as ear:
                    told = await measure(Weather(subject, generators, ear), series, rounds)
            return {"workers": workers, "cores": str(cores)} | told

    say(asyncio.run(run()))


if __name__ == "__main__":
    typer.run(main)
