"""`python -m load.frozen`: what writing costs in latency while Redis is frozen, beside what it costs otherwise.

Starts a server of its own and prints one JSON line a pair: the same even load, first with Redis, then while it
is stopped by SIGSTOP. The promise (F9) is about the median of the pairs: p99 at most 1.2 times what it was, plus 2 ms.
"""

import asyncio
import json
import os
import signal
import statistics
from typing import Annotated, Any

import typer

from load.bench.case import Case
from load.bench.plan import METRICS, Plan
from load.bench.runner import Runner
from load.bench.session import Cores, Options, folder, runner, server
from load.bench.sluice import Sluice
from load.bench.stats import spread_ms

CASE = Case(100)
QUOTA = {"quota_readings_per_s": "100000000"}  # that nobody uses up, but of which Redis is told
BACK_S = 3.0  # for it to be back


async def pairs(options: Options, rate: float, seconds: float, count: int) -> list[dict[str, Any]]:
    """So many pairs of runs."""
    cores = Cores.choose(options, 1)
    found = []
    async with folder(options) as data, server(options, data, 1, cores) as subject, runner(options, cores) as running:
        await running.seed(subject)
        await _p99_ms(subject, running, rate, seconds)  # warms up
        redis = subject.meter.roots["redis"]
        for _ in range(count):
            before = await _p99_ms(subject, running, rate, seconds)
            os.kill(redis, signal.SIGSTOP)
            try:
                frozen = await _p99_ms(subject, running, rate, seconds)
            finally:
                os.kill(redis, signal.SIGCONT)
            await asyncio.sleep(BACK_S)
            found.append({"there_p99_ms": before, "frozen_p99_ms": frozen, "bound_ms": round(1.2 * before + 2, 2)})
            print(json.dumps(found[-1]), flush=True)
    return found


async def _p99_ms(subject: Sluice, running: Runner, rate: float, seconds: float) -> float:
    count = int(rate * seconds)
    ticks = running.ticks.take(-(-count // running.devices) * CASE.batch // len(METRICS))
    await running.generators.render(Plan(CASE.batch, count, ticks, running.devices), subject.door(CASE))
    await subject.settle()
    run = await running.generators.drive(0, count, CASE.connections, rate)
    if set(run.statuses) != {200}:
        raise SystemExit(f"not everything was stored: {dict(run.statuses)}")
    return round(spread_ms(run.latencies)["p99"], 2)


def main(
    rate: Annotated[float, typer.Option(help="Requests of 100 readings a second.")] = 500.0,
    seconds: Annotated[float, typer.Option(help="Of each run.")] = 6.0,
    count: Annotated[int, typer.Option("--pairs", min=1, help="Of runs.")] = 5,
    pin: Annotated[bool, typer.Option(help="The server's side on one core, the generator on the other.")] = True,
) -> None:
    """Measure p99 of writing with Redis and while it is frozen."""
    found = asyncio.run(pairs(Options(quick=True, pin=pin, settings=QUOTA), rate, seconds, count))
    there, frozen = (statistics.median(pair[f"{name}_p99_ms"] for pair in found) for name in ("there", "frozen"))
    over = statistics.median(pair["frozen_p99_ms"] - pair["bound_ms"] for pair in found)
    print(json.dumps({"pairs": count, "there_p99_ms": there, "frozen_p99_ms": frozen, "held": over <= 0}))


if __name__ == "__main__":
    typer.run(main)
