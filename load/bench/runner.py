"""The runner: one case on one subject, from warming up to the bare COPY."""

import json
import math
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from load.bench import limit as bare
from load.bench import packed, proc
from load.bench.body import Door
from load.bench.case import WARM_SHARE, Case
from load.bench.drive import Run
from load.bench.generator import Generators
from load.bench.meter import Reading
from load.bench.plan import DEVICES, Plan
from load.bench.result import Result
from load.bench.sluice import Sluice
from load.bench.stats import spread_ms
from load.bench.subject import Subject, SubjectError, say

KNEE_SHARE = 0.6
QUICK_OPEN_SHARE = 0.5  # of the closed loop's requests, in a quick run
MIN_OPEN_REQUESTS = 300
CEILING_S = 0.25  # at least so long against the server that does nothing
OTHERS_CPU = 0.3  # cores; more makes a result doubtful
BUSY_SHARE = 0.9  # of its core: a generator that used more may have been the bottleneck
GROUP_ROWS = 5_000  # of the bare COPY, where the server does not say


class Ticks:
    """Gives out milliseconds near now, each once, so that no two readings of a run have the same identity."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> int:
        """The first of `count` milliseconds that nobody has had."""
        base = max(self._next, time.time_ns() // 1_000_000)
        self._next = base + count
        return base


@dataclass(slots=True)
class Runner:
    """What all cases share."""

    generators: Generators
    sink: tuple[str, int]
    quick: bool
    pinned: bool
    devices: int = DEVICES
    stride: int = 1
    ticks: Ticks = field(default_factory=Ticks)
    ceilings: dict[tuple[int, str, bool], float] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    """By subject: readings it held before, and has been sent since."""

    async def seed(self, subject: Subject) -> None:
        """One reading of every series, so that they are known, and caches warm."""
        plan = self._plan(5, self.devices, 0)
        await self.generators.render(plan, subject.door(Case(5)))
        self.held[subject.name] = await subject.stored() + plan.count * plan.batch
        await self.generators.drive(0, plan.count, 16)

    async def measure(self, case: Case, subject: Subject, *, latencies: bool = True) -> Result:
        """Run a case. With `latencies` also the open loop."""
        closed = case.requests(quick=self.quick)
        warm = max(2 * case.connections, closed // WARM_SHARE)
        opened = max(MIN_OPEN_REQUESTS, int(closed * QUICK_OPEN_SHARE) if self.quick else closed) if latencies else 0
        plan = self._plan(case.batch, warm + closed + opened, case.duplicates)
        door = subject.door(case)
        await self.generators.render(plan, door)
        await self._measure_ceiling(case, door, warm + closed)
        self.held[subject.name] += len(set(plan.order())) * plan.batch
        await self.generators.drive(0, warm, case.connections)
        await subject.settle()
        result, run = await self._closed(case, subject, plan, warm, warm + closed)
        if latencies:
            # At once: for half a second after a checkpoint PostgreSQL writes whole pages to its log, and nothing but
            # that would be seen. (The closed loop and the bare COPY both begin after one, and both pay for it.)
            rate = KNEE_SHARE * result.requests_per_s
            late = await self.generators.drive(warm + closed, plan.count, case.connections, rate)
            result.open_rate, result.open_ms = rate, spread_ms(late.latencies)
            result.open_late_ms = spread_ms(late.delays)
            _add_statuses(result, late, "open loop")
        before = subject.meter.read()
        await subject.settle()
        put_off = subject.meter.read().since(before)
        result.after_us = sum(put_off.parts.values()) / ((closed + opened) * case.batch) * 1e6
        if isinstance(subject, Sluice):
            _check_receipts(result, run, len(plan.columns(warm, warm + closed)[0]))
            same = plan, warm, warm + closed, result.group_rows or GROUP_ROWS
            await bare.make_table(subject.database)  # empty for every case, so that they compare
            await packed.make_tables(subject.database)
            result.limit_us = (await bare.copy_bare(subject.database, subject.meter, *same)).us
            result.limit_packed_us = (await packed.copy_packed(subject.database, subject.meter, *same)).us
        return result

    async def verify(self, subject: Subject) -> None:
        """Raise SubjectError unless it holds what it was sent, no more and no less."""
        stored, sent = await subject.stored(), self.held[subject.name]
        if stored != sent:
            raise SubjectError(f"{subject.name} holds {stored:,} readings, but {sent:,} were sent and acknowledged")
        say(f"{subject.name} holds all {stored:,} readings")

    def _plan(self, batch: int, count: int, duplicates: int) -> Plan:
        draft = Plan(batch, count, 0, self.devices, duplicates, stride=self.stride)
        return replace(draft, base_ms=self.ticks.take(draft.ticks))

    async def _measure_ceiling(self, case: Case, door: Door, count: int) -> None:
        shape = (case.batch, door.format.value, case.gzip)
        if shape not in self.ceilings:
            requests, seconds = 0, 0.0
            while seconds < CEILING_S:
                run = await self.generators.drive(0, count, case.connections, to=self.sink)
                requests, seconds = requests + run.statuses[200], seconds + run.ended - run.began
            self.ceilings[shape] = requests * case.batch / seconds

    async def _closed(self, case: Case, subject: Subject, plan: Plan, first: int, until: int) -> tuple[Result, Run]:
        workers = subject.workers()
        for pid in workers:
            proc.forget_peak(pid)
        said = await subject.figures()
        before, began = subject.meter.read(), time.perf_counter()
        run = await self.generators.drive(first, until, case.connections)
        used, took = subject.meter.read().since(before), time.perf_counter() - began
        figures = {name: value - said.get(name, 0) for name, value in (await subject.figures()).items()}
        memory = max((proc.memory(pid) for pid in workers), key=lambda sizes: sizes.get("peak", 0), default={})
        requests, seconds = until - first, run.ended - run.began
        readings = requests * case.batch
        result = Result(
            case=case.name,
            subject=subject.name,
            readings=readings,
            requests=requests,
            seconds=seconds,
            readings_per_s=readings / seconds,
            requests_per_s=requests / seconds,
            cpu_us=_per_reading(used.parts, readings) | {"total": sum(used.parts.values()) / readings * 1e6},
            postgres_us=_per_reading(used.roles, readings),
            after_us=math.nan,
            memory_mb=memory,
            closed_ms=spread_ms(run.latencies),
            statuses={},
            generator_cpu=run.cpu_s / seconds / self.generators.count,
            ceiling=self.ceilings[case.batch, subject.door(case).format.value, case.gzip],
            others_cpu=_others(used, run, took),
            connections=case.connections,
            pinned=self.pinned,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        _add_figures(result, figures)
        _add_statuses(result, run, "closed loop")
        _doubt(result)
        return result, run


def _per_reading(cpu: dict[str, float], readings: int) -> dict[str, float]:
    return {part: seconds / readings * 1e6 for part, seconds in cpu.items()}


def _others(used: Reading, run: Run, took: float) -> float:
    return max(0.0, (used.busy_s - sum(used.parts.values()) - run.cpu_s) / took)


def _add_figures(result: Result, figures: dict[str, float]) -> None:
    """What the server says: rows of a group, decoding, and whatever else changed."""
    groups = figures.get("sluice_group_rows_count", 0)
    result.group_rows = round(figures.get("sluice_group_rows_sum", 0) / groups) if groups else 0
    if "sluice_decode_seconds_total" in figures:
        result.decode_us = figures["sluice_decode_seconds_total"] / result.readings * 1e6
    result.figures = {
        name: value
        for name, value in figures.items()
        if name.startswith("sluice_") and value and not name.endswith(("_bucket", "_created"))
    }


def _add_statuses(result: Result, run: Run, loop: str) -> None:
    for status, count in run.statuses.items():
        result.statuses[str(status)] = result.statuses.get(str(status), 0) + count
    refused = {status: count for status, count in run.statuses.items() if status not in (200, 204)}
    if refused:
        result.faults.append(f"{loop}: " + ", ".join(f"{count} × {status}" for status, count in refused.items()))


def _check_receipts(result: Result, run: Run, fresh: int) -> None:
    """Hold what the server said it stored against what was sent."""
    accepted = doubled = 0
    if set(run.answers) <= {b""}:  # a protocol that says nothing
        return
    for body, count in run.answers.items():
        receipt = json.loads(body)
        accepted += receipt["accepted"] * count
        doubled += receipt["duplicates"] * count
    if (accepted, doubled) != (fresh, result.readings - fresh):
        result.faults.append(f"{accepted} accepted and {doubled} duplicates, not {fresh} and {result.readings - fresh}")


def _doubt(result: Result) -> None:
    """Say why a result may not be trusted."""
    if result.generator_cpu > BUSY_SHARE:
        result.doubts.append("the generator was busy")
    if result.others_cpu > OTHERS_CPU:
        result.doubts.append(f"others used {result.others_cpu:.2f} cores")
