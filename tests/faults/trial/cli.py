"""`python3 dev.py faults`: trials of all kinds, one after the other, for as long as is wanted.

Each round tries every kind once, in an order of its own. `--seed` and `--kind` repeat a trial: the line about it, and
the timeline of a failed one, name both.
"""

import asyncio
import json
import logging
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import uvloop

from tests.conftest import artifacts
from tests.faults.trial.catalogue import KINDS, KINDS_OF_NODES
from tests.faults.trial.checker import shortened
from tests.faults.trial.chronicle import write
from tests.faults.trial.cluster import Cluster, cluster
from tests.faults.trial.nodes import nodes as nodes_of
from tests.faults.trial.report import Report
from tests.faults.trial.trial import SHORT, Kind, Outcome, make_rule, run_trial

COUNT = "SELECT left(device, 6), count(*) FROM telemetry WHERE device LIKE 'e_____-%' GROUP BY 1"
"""Readings of each trial."""
Shape = Callable[[Path, Mapping[str, Any]], AbstractAsyncContextManager[Cluster]]
SHORT_S = 120.0
"""In a run of less the trials are short, as in the ordinary test command."""


def main(
    *,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind: F4. May be given again.")] = None,
    seed: Annotated[str, typer.Option(help="Of another run, to repeat it.")] = "",
    minutes: Annotated[float, typer.Option(help="For how long; 0: every kind once, short.")] = 0.0,
    nodes: Annotated[bool, typer.Option("--nodes", help="Three nodes behind nginx, and the kinds of those.")] = False,
) -> None:
    """Break a whole cluster in every way of guarantees.md, and ask the database what is left."""
    wanted = [word.upper() for word in kind or ()]
    all_kinds = KINDS_OF_NODES if nodes else KINDS
    if unknown := set(wanted) - {each.name for each in all_kinds}:
        known = ", ".join(each.name for each in all_kinds)
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; there are {known}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    kinds = [each for each in all_kinds if not wanted or each.name in wanted]
    report = Report(seed or str(secrets.randbits(32)))
    say(f"seed {report.seed}: {len(kinds)} kinds, {f'{minutes:g} minutes' if minutes else 'each once'}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # a thousand clients in one process
        runner.run(run(report, kinds, minutes * 60, several_nodes if nodes else one))
    document = report.document()
    path = artifacts() / "faults.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    skipped = sum(report.skipped.values())
    say(f"{len(report.outcomes)} trials, {len(report.broken)} broken, {skipped} skipped; {path.name}")
    for line in (*report.late(), *(f"SKIPPED: {reason} ({count})" for reason, count in report.skipped.items())):
        say(line)
    raise typer.Exit(1 if report.broken or report.late() else 0)


def one(folder: Path, settings: Mapping[str, Any]) -> AbstractAsyncContextManager[Cluster]:
    """The shape for F1 to F23: one node."""
    return cluster(folder, disks=True, settings=settings)


def several_nodes(folder: Path, settings: Mapping[str, Any]) -> AbstractAsyncContextManager[Cluster]:
    """The other shape: three, and PostgreSQL at one of two addresses."""
    return nodes_of(folder, settings=settings, two_hosts=True)


async def run(report: Report, kinds: list[Kind], seconds: float, shape: Shape) -> None:
    """Try kinds until the time is over, at least each once."""
    began, long = time.monotonic(), seconds >= SHORT_S
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # what is mounted has to go
    with tempfile.TemporaryDirectory(prefix="sluice-faults-") as folder:
        async with shape(Path(folder), {} if long else SHORT) as broken:
            rule = await make_rule(broken)
            for number, (kind, seed) in enumerate(rounds(report.seed, kinds), 1):
                report.seconds = time.monotonic() - began
                if report.seconds >= seconds and number > len(kinds):
                    break
                if obstacle := kind.obstacle(broken):
                    report.skipped[f"{kind.name}: {obstacle}"] += 1
                    say(f"{kind.name} SKIPPED: {obstacle}")
                    continue
                outcome = await run_trial(broken, rule, kind, seed, number, long=long)
                say(f"{report.seconds:6.0f} s  {report.add(outcome)}")
                if outcome.findings:
                    tell(outcome, " --minutes 2" if long else "")
            await look_again(report, broken)
    report.seconds = time.monotonic() - began


def rounds(seed: str, kinds: list[Kind]) -> Iterator[tuple[Kind, str]]:
    """For ever all kinds, in the order of each round's seed; the first round's is the run's own."""
    number = 0
    while True:
        this = seed if number == 0 else f"{seed}.{number}"
        yield from ((kind, this) for kind in random.Random(this).sample(kinds, len(kinds)))
        number += 1


async def look_again(report: Report, broken: Cluster) -> None:
    """Whether what each trial left is still there, and nothing came later."""
    found = {row[0]: row[1] for row in await broken.fetch(COUNT)}
    for outcome in report.outcomes:
        if found.get(outcome.prefix, 0) != outcome.readings and not outcome.findings:
            was, now = outcome.readings, found.get(outcome.prefix, 0)
            raise AssertionError(f"{outcome.kind}, seed {outcome.seed}: {was} readings were stored, and now {now}")


def tell(outcome: Outcome, more: str) -> None:
    """Show what is wrong, and leave the timeline where a person finds it."""
    path = write(artifacts() / "faults", f"{outcome.kind}-{outcome.seed}", outcome.timeline)
    for line in shortened(outcome.findings):
        say(f"      {line}")
    say(f"      timeline: artifacts/faults/{path.name}")
    say(f"      again: python3 dev.py faults --kind {outcome.kind} --seed {outcome.seed}{more}")


def say(text: str) -> None:
    """A line of progress, to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def start() -> None:
    """The command."""
    typer.run(main)
