"""How it grows: the cost of a reading along each axis, a server of its own for every point."""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import aiohttp
import asyncpg

from load.bench import burden, crowd, proc, stock
from load.bench.axis import Axis, Point
from load.bench.case import Case, select
from load.bench.result import Result, align, number
from load.bench.runner import Runner
from load.bench.session import Cores, Options, Took, folder, runner, server
from load.bench.sluice import Sluice
from load.bench.subject import SubjectError, say


async def measure(options: Options, route: Sequence[Point], only: Sequence[str], rounds: int, took: Took) -> list[str]:
    """Measure every point, each case `rounds` times; returns what could not be measured.

    A point that fails is told and passed by: where something does not grow any further is what was asked.
    """
    missing = []
    for place, point in enumerate(route, 1):
        say(f"{place}/{len(route)} {point.name}")
        try:
            await _measure(options, point, select(point.cases, only), rounds, took)
        except (SubjectError, OSError, asyncpg.PostgresError, aiohttp.ClientError) as error:
            missing.append(f"{point.name}: {str(error) or repr(error)}")
            say(f"!! {missing[-1]}")
    return missing


async def _measure(options: Options, point: Point, cases: Sequence[Case], rounds: int, took: Took) -> None:
    if not cases:
        return
    # All points of an axis on the same cores, else the second worker would be compared with a pinned one.
    pin = options.pin and point.axis is not Axis.WORKERS
    options = replace(options, pin=pin, settings={**options.settings, **point.settings})
    cores = Cores.choose(options, point.workers)
    by_api = 0 if point.axis is Axis.RULES else point.rules
    async with folder(options) as data:
        if lack := stock.room(data, point.stored):
            raise SubjectError(f"skipped, the disk is too small: {lack}")
        async with (
            server(options, data, point.workers, cores, by_api) as subject,
            runner(options, cores) as running,
        ):
            running.devices, running.stride = point.devices, point.stride
            facts = await _prepare(point, subject, running)
            for case in cases:
                for turn in range(rounds):
                    began = time.monotonic()
                    result = await running.measure(case, subject, latencies=False)
                    result.axis, result.point, result.note = point.axis.value, point.at, point.note
                    result.facts = facts
                    took(result)
                    say(f"{point.name} {case.name} {turn + 1}/{rounds}: {_told(result, time.monotonic() - began)}")
            await running.verify(subject)


async def _prepare(point: Point, subject: Sluice, running: Runner) -> dict[str, float]:
    """Series, readings and rules, as the point wants them; returns what that took."""
    facts = {"make_series_s": await crowd.make(subject, running), "series": float(point.series)}
    if point.stored:
        facts |= await stock.lay_in(subject.database, point.stored, point.series)
        running.held[subject.name] += int(facts["stored_readings"])
    if point.axis is Axis.RULES:
        before = set(subject.workers())
        facts["load_rules_s"] = await burden.lay_upon(subject, point.rules)
        facts["workers_replaced"] = float(len(before - set(subject.workers())))
    facts["idle_rss_mb"] = max((proc.memory(pid).get("rss", 0) for pid in subject.workers()), default=math.nan)
    told = ", ".join(f"{name} {number(value)}" for name, value in facts.items())
    say(f"{point.name} is ready: {told}")
    return facts


def _told(result: Result, seconds: float) -> str:
    return (
        f"{result.readings_per_s:,.0f} readings/s, {result.total_us:.3g} µs each, bare COPY {result.limit_us:.3g} µs, "
        f"packed {result.limit_packed_us:.3g} µs, {result.memory_mb.get('rss', math.nan):.0f} MB ({seconds:.1f} s)  "
        f"{result.marks}"
    )


def table(results: Iterable[Result]) -> str:
    """What people read: µs of CPU a reading, and against the first point of the same axis and case."""
    rows = [
        ["axis", "point", "case", "readings/s", "server", "postgres", "= µs", "× first", "COPY rows", "COPY packed"]
    ]
    rows[0] += ["MB rss", "peak", "group", "before", ""]
    first: dict[tuple[str, str], float] = {}
    for result in results:
        layout = result.case.removesuffix(f"-{result.point}w")
        start = first.setdefault((result.axis, layout), result.total_us)
        parts = (result.cpu_us.get(part, math.nan) for part in ("server", "postgres", "total"))
        rows.append(
            [
                result.axis,
                f"{result.point:,}" + (f", {result.note}" if result.note else ""),
                result.case,
                f"{result.readings_per_s:,.0f}",
                *map(number, parts),
                "–" if result.axis == Axis.BATCH else f"{result.total_us / start:.2f}",
                number(result.limit_us),
                number(result.limit_packed_us),
                *(f"{result.memory_mb.get(name, math.nan):.0f}" for name in ("rss", "peak")),
                f"{result.group_rows:,}",
                _before(result),
                result.marks,
            ]
        )
    return align(rows)


def _before(result: Result) -> str:
    """What getting there took."""
    words = {
        "make_series_s": "{:.1f} s for {series:,.0f} series",
        "load_rules_s": "{:.1f} s to load rules",
        "stored_plain": "{:,.0f} rows",
        "stored_runs": "{:,.0f} runs stored",
        "workers_replaced": "{:.0f} workers replaced",
    }
    wanted = {
        Axis.SERIES: ["make_series_s"],
        Axis.TABLE: ["stored_plain", "stored_runs"],
        Axis.RULES: ["load_rules_s", "workers_replaced"],
    }.get(Axis(result.axis), [])
    known = [name for name in wanted if result.facts.get(name)]
    return ", ".join(words[name].format(result.facts[name], **result.facts) for name in known)
