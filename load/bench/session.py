"""A session: starts what is measured, runs the cases, stops everything again."""

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from load.bench import limit, packed, sluice
from load.bench.case import Case
from load.bench.generator import Generators
from load.bench.result import Result
from load.bench.runner import Runner
from load.bench.sink import sink
from load.bench.subject import on_cores, say

Took = Callable[[Result], None]


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs already."""

    url: str
    key: str
    database_url: str


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    quick: bool = False
    pin: bool = True
    generators: int = 1
    keep: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the server that is started."""
    running: Running | None = None
    temp: Path | None = None


@dataclass(frozen=True, slots=True)
class Cores:
    """Who may run where; None is everywhere."""

    server: set[int] | None
    generator: set[int] | None

    @classmethod
    def choose(cls, options: Options, workers: int) -> "Cores":
        """One core for the server's side, the others for the generator; two workers need two, so they are left free."""
        available = sorted(os.sched_getaffinity(0))
        if not options.pin or workers > 1 or len(available) < 2 or options.running:
            return cls(None, None)
        return cls({available[0]}, set(available[1:]))

    @property
    def pinned(self) -> bool:
        """Whether anything is held to a core."""
        return self.server is not None

    def __str__(self) -> str:
        if self.server is None or self.generator is None:
            return "not pinned: server and generator share all cores"
        return f"pinned: server, PostgreSQL and Redis on core {min(self.server)}, generator on {sorted(self.generator)}"


@asynccontextmanager
async def folder(options: Options) -> AsyncIterator[Path]:
    """A folder for all data, removed in the end."""
    path = Path(tempfile.mkdtemp(prefix="sluice-bench-", dir=options.temp))
    os.chmod(path, 0o711)  # noqa: S103 - PostgreSQL is not run by root, and has to reach its own folder below
    try:
        yield path
    finally:
        if options.keep:
            say(f"kept {path}")
        else:
            shutil.rmtree(path, ignore_errors=True)


@asynccontextmanager
async def runner(options: Options, cores: Cores) -> AsyncIterator[Runner]:
    """The generators and the sink, on their cores."""
    async with sink(cores.server) as address:
        with on_cores(cores.generator), Generators(options.generators) as generators:
            yield Runner(generators, address, options.quick, cores.pinned)


@asynccontextmanager
async def server(
    options: Options, data: Path, workers: int, cores: Cores, rules: int = sluice.RULES
) -> AsyncIterator[sluice.Sluice]:
    """The server under test: ours for the moment, or one that runs."""
    began = time.monotonic()
    if options.running is not None:
        found = options.running
        context = sluice.connected(found.url, found.key, found.database_url, rules=rules)
    else:
        context = sluice.started(data, workers, cores.server, options.settings, rules)
    async with context as subject:
        took = f"{time.monotonic() - began:.1f} s"
        say(f"{subject.url} is ready with {workers} worker(s) and {rules:,} rules, {took}")
        try:
            yield subject
        finally:
            await subject.database.execute(f"DROP TABLE IF EXISTS {limit.TABLE}")
            await packed.drop_tables(subject.database)


async def measure(options: Options, cases: Sequence[Case], rounds: int, took: Took) -> None:
    """Run the cases, each `rounds` times; `took` gets each result as it comes."""
    numbers = itertools.count(1)
    # A full run begins every case on an empty table, so that cases far apart can be compared; a quick one has no time.
    for (_, workers), group in itertools.groupby(cases, lambda case: (not options.quick and case, case.workers)):
        cores = Cores.choose(options, workers)
        say(str(cores))
        async with (
            folder(options) as data,
            server(options, data, workers, cores) as subject,
            runner(options, cores) as running,
        ):
            await running.seed(subject)
            for case, _ in itertools.product(group, range(rounds)):
                began = time.monotonic()
                result = await running.measure(case, subject)
                took(result)
                say(
                    f"{next(numbers)}/{len(cases) * rounds} {case.name}: {result.readings_per_s:,.0f} readings/s, "
                    f"{result.total_us:.3g} µs each, bare COPY {result.limit_us:.3g} µs, "
                    f"packed {result.limit_packed_us:.3g} µs ({time.monotonic() - began:.1f} s)  {result.marks}"
                )
            await running.verify(subject)
