"""`python -m load.overload`: what is stored of five times the load that fits, and what memory that takes.

Starts a server of its own with one worker and prints one JSON line a case and round, then the medians. The peak is what
as many connections as suit the case get stored, each waiting for its answers. Then a crowd of connections offers five
times that: once hammering (who is refused comes again at once), once obeying Retry-After.
"""

import asyncio
import json
import statistics
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from load.audience import raise_file_limit
from load.bench import proc
from load.bench.body import Format
from load.bench.case import Case
from load.bench.drive import Run
from load.bench.plan import METRICS, Plan
from load.bench.runner import Runner
from load.bench.session import Cores, Options, folder, runner, server
from load.bench.sluice import Sluice
from load.bench.stats import spread_ms
from load.bench.subject import say

CASES = (Case(100), Case(1_000, Format.COLUMNS))
TIMES = 5
LEAD_S = 2.0  # while queues fill: a bounded queue is filled once, and is no part of what lasts
DEVICES = 5_000  # at least, and one a connection: who obeys rests most of the time
MOST = {100: 8_000, 1_000: 6_000}  # requests a second that are made ready: more than are stored, as devices take turns


async def overload(
    options: Options, crowd: int, seconds: float, rounds: int, cases: Sequence[Case]
) -> list[dict[str, Any]]:
    """Every case, `rounds` times."""
    cores = Cores.choose(options, 1)
    say(str(cores))
    results = []
    async with (
        folder(options) as data,
        server(options, data, 1, cores) as subject,
        runner(options, cores) as running,
    ):
        running.devices = max(DEVICES, crowd)
        await running.seed(subject)
        for case in cases:
            for _ in range(rounds):
                results.append(await _round(case, subject, running, crowd, seconds))
                print(json.dumps(results[-1]), flush=True)
    return results


async def _round(case: Case, subject: Sluice, running: Runner, crowd: int, seconds: float) -> dict[str, Any]:
    (worker,) = subject.workers()
    count = int(MOST[case.batch] * (LEAD_S + seconds))
    figures: dict[str, Any] = {"case": case.name, "connections": crowd, "times": TIMES}
    peak = per_cpu_s = 0.0
    for name in ("peak", "hammering", "obeying"):
        ticks = running.ticks.take(-(-count // running.devices) * case.batch // len(METRICS))
        plan = Plan(case.batch, count, ticks, running.devices)
        await running.generators.render(plan, subject.door(case))
        await subject.settle()
        proc.forget_peak(worker)
        before = proc.memory(worker)["rss"]
        many, rate = (case.connections, None) if name == "peak" else (crowd, TIMES * peak)
        obey = name == "obeying"
        storm = running.generators.storm(many, rate, LEAD_S, seconds, running.devices, obey=obey)
        run, parts = await _measured(storm, subject, seconds)
        stored = run.statuses[200] / (run.ended - run.began)
        if name == "peak":
            peak, per_cpu_s = stored, stored / sum(parts.values())
            figures |= {"peak_readings_per_s": round(peak * case.batch)}
        else:
            figures |= {
                f"{name}_goodput": round(stored / peak, 3),
                f"{name}_goodput_per_cpu": round(stored / sum(parts.values()) / per_cpu_s, 3),
            }
        figures |= {f"{name}_{key}": value for key, value in _told(run).items()}
        figures[f"{name}_cpu_s"] = {part: round(cpu_s, 2) for part, cpu_s in parts.items()} | {
            "generator": round(run.cpu_s, 2)
        }
        figures[f"{name}_mb"] = round(proc.memory(worker)["peak"] - before, 1)
    return figures


async def _measured(storm: Awaitable[Run], subject: Sluice, seconds: float) -> tuple[Run, dict[str, float]]:
    """What came back, and the CPU seconds of the server, PostgreSQL and Redis while it counted.

    On a machine that others use too, it is what a CPU second stores that can be compared.
    """
    task = asyncio.ensure_future(storm)
    await asyncio.sleep(LEAD_S)
    since = subject.meter.read()
    await asyncio.sleep(seconds)
    parts = subject.meter.read().since(since).parts
    return await task, parts


def _told(run: Run) -> dict[str, Any]:
    spread = spread_ms(run.latencies)
    return {"statuses": dict(run.statuses), "p50_ms": round(spread["p50"], 1), "p99_ms": round(spread["p99"], 1)}


def main(
    crowd: Annotated[int, typer.Option(help="Connections that offer too much.")] = 3_000,
    seconds: Annotated[float, typer.Option(help="Of each of the three parts.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="The medians count.")] = 3,
    only: Annotated[str | None, typer.Option(help="One case: 100-rows or 1000-columns.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="Of the server: queue_rows=50000.")] = None,
    pin: Annotated[bool, typer.Option(help="The server's side on one core, the generator on the other.")] = True,
    temp: Annotated[Path | None, typer.Option(exists=True, help="Where the temporary folder is made.")] = None,
) -> None:
    """Measure goodput and memory at five times the load that fits."""
    raise_file_limit()
    options = Options(quick=True, pin=pin, settings=dict(entry.split("=", 1) for entry in setting or []), temp=temp)
    cases = [case for case in CASES if only in (None, case.name)]
    results = asyncio.run(overload(options, crowd, seconds, rounds, cases))
    for case in cases:
        mine = [result for result in results if result["case"] == case.name]
        keys = [key for key, value in mine[0].items() if isinstance(value, float)]
        medians = {key: round(statistics.median(result[key] for result in mine), 3) for key in keys}
        print(json.dumps({"median of": len(mine), "case": case.name} | medians))


if __name__ == "__main__":
    typer.run(main)
