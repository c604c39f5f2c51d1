"""`python -m load.model`: measures what writing costs at some sizes, and shows that other sizes cost what that says.

One server, every size in each round, medians. From some sizes coefficients are fitted (the formula is in
`schemas/costs.py`), the others are predicted: other batches, twenty times as many series, every protocol. Prints one
object of JSON, which `sluice plan --calibrate FILE` goes by; exit code 1 where one is off by more than a fifth.

    python -m load.model --rounds 5 > model.json         # about ten minutes; a calm machine
    python -m load.model --table server/capacity/coefficients.json   # and puts them into the calculator's own table
"""

import asyncio
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from load import bell, sampling
from load.bench import crowd, proc
from load.bench.plan import DEVICES, METRICS
from load.bench.runner import Runner
from load.bench.session import Cores, Options, runner
from load.bench.sluice import Sluice, started
from load.bench.subject import say
from load.fitting import Check, Sample, Size, checks, fit, least_squares, medians, worst
from schemas.costs import SPREAD_FROM, Coefficient, Table

COMMAND = "python -m load.model"
ALLOWED = 0.20
"""By how much a prediction may be off."""
FEW, MANY, MOST = SPREAD_FROM, 4 * SPREAD_FROM, 20 * SPREAD_FROM
FORMS = ("columns", "lines", "samples", "points", "packs", "cborpacks", "things")

# Neighbours follow each other, so that what else the machine does meets those alike that are held against each other.
SIZES = [
    *(Size("rows", batch, FEW, fitted=batch in {1, 5, 15}) for batch in (1, 5, 10, 15, 40)),
    *(Size("rows", batch, FEW, fitted=batch in {100, 1_000}) for batch in (100, 300, 1_000, 3_000)),
    *(Size("rows", batch, series, fitted=series == MANY) for batch in (1, 100) for series in (MANY, MOST)),
    Size("rows", 300, MOST, fitted=False),
    *(Size(form, batch, FEW, fitted=batch != 300) for form in FORMS for batch in (100, 300, 1_000)),
]
QUICK = [size for size in SIZES if size.form in {"rows", "columns"}]
IMAGED = Size("rows", 100, MOST, fitted=False)
HEARERS = 1, 41


async def measure(
    sizes: list[Size], rounds: int, *, pin: bool, temp: Path | None
) -> tuple[list[Sample], dict[str, Coefficient]]:
    """Every size's median, and coefficients that need no fitting."""
    options = Options(quick=True, pin=pin, temp=temp)
    cores = Cores.choose(options, 1)
    say(str(cores))
    with tempfile.TemporaryDirectory(prefix="sluice-model-", dir=temp) as folder:
        os.chmod(folder, 0o711)  # noqa: S103 - PostgreSQL is not run by root, and has to reach its own folder below
        async with started(Path(folder), 1, cores.server, {}) as subject, runner(options, cores) as running:
            await sampling.prepare(subject)
            others = await _series(subject, running, max(size.series for size in sizes))
            taken = [await sampling.sample(size, subject, running) for _ in range(rounds) for size in sizes]
            others |= await _messages(subject) | await _images(subject, running, IMAGED, rounds)
    return medians(taken), others


async def _series(subject: Sluice, running: Runner, most: int) -> dict[str, Coefficient]:
    """Make all series there will be; what one takes in the memory of a worker, in the database, and to be made."""
    (worker,) = subject.workers()
    running.devices = DEVICES
    await crowd.make(subject, running)
    rss, size, before = proc.memory(worker)["rss"], await _names(subject), subject.meter.read()
    running.devices = most // len(METRICS)
    await crowd.make(subject, running)
    made = most - DEVICES * len(METRICS)
    used = subject.meter.read().since(before).parts
    return {
        "memory.worker": _told((rss * 2**20) / 1e6, "MB"),
        "memory.series": _told((proc.memory(worker)["rss"] - rss) * 2**20 / made, "bytes"),
        "disk.series": _told((await _names(subject) - size) / made, "bytes"),
        "server.made": _told(used["server"] / made * 1e6, "µs"),
        "postgres.made": _told(used["postgres"] / made * 1e6, "µs"),
    }


async def _names(subject: Sluice) -> int:
    tables = "SELECT sum(pg_total_relation_size(t)) FROM unnest('{devices,series,newest}'::regclass[]) t"
    return int(await subject.database.fetchval(tables))


async def _messages(subject: Sluice) -> dict[str, Coefficient]:
    url = proc.environment(subject.workers()[0])["SLUICE_REDIS_URL"]
    few, many = [await bell.message_us(subject, url, hearers) for hearers in HEARERS]
    each = (many - few) / (HEARERS[1] - HEARERS[0])
    return {"redis.message": _told(max(0.0, few - each), "µs"), "redis.delivery": _told(each, "µs")}


async def _images(subject: Sluice, running: Runner, size: Size, rounds: int) -> dict[str, Coefficient]:
    """What a page's image costs, logged at its first change after a checkpoint: in turns, with and without."""
    taken = [
        [await sampling.sample(size, subject, running, settled=yes) for yes in (False, True)] for _ in range(rounds)
    ]
    (without,), (with_images,) = (medians(each) for each in zip(*taken, strict=True))
    more = with_images.facts["images"] - without.facts["images"]
    cpu_us = with_images.costs["postgres"] - without.costs["postgres"]
    size_bytes = with_images.facts["image_bytes"] - without.facts["image_bytes"]
    return {"postgres.image": _told(cpu_us / more, "µs"), "wal.image": _told(size_bytes / more, "bytes")}


def _told(value: float, unit: str) -> Coefficient:
    return Coefficient(value=round(max(0.0, value), 4), unit=unit, by=COMMAND)


def stored(samples: list[Sample]) -> dict[str, Coefficient]:
    """Bytes on the disk, indexes included, of a run and of each reading in it."""
    runs = [each for each in samples if each.shape.is_runs and each.size.fitted]
    told = np.array([each.facts["stored_bytes"] / each.shape.tuples for each in runs])
    matrix = np.array([[1.0, each.shape.each] for each in runs]) / told[:, None]
    of_run, of_reading = least_squares(matrix, np.ones(len(told))).tolist()
    return {"disk.run": _told(of_run, "bytes"), "disk.run_reading": _told(of_reading, "bytes")}


def machine() -> str:
    """What the figures come from."""
    model = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} × {model or platform.machine()}, {memory:.0f} GB, {platform.system()} {platform.machine()}"
    )


def report(
    samples: list[Sample], coefficients: dict[str, Coefficient], found: list[Check], rounds: int
) -> dict[str, Any]:
    """What is printed: a table for `sluice plan`, and how good it is."""
    table = Table(machine=machine(), at=f"{datetime.now(UTC):%F}", coefficients=coefficients)
    return table.model_dump() | {
        "rounds": rounds,
        "checks": [check.as_json() for check in found],
        "worst_error": round(worst(found), 3),
        "samples": [
            {"size": each.size.name, "fitted": each.size.fitted}
            | {name: round(value, 3) for name, value in (each.costs | each.facts).items()}
            for each in samples
        ],
    }


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each size is measured; medians count.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Rows and columns alone.")] = False,
    pin: Annotated[bool, typer.Option(help="The server's side on one core, the generator on the others.")] = True,
    table: Annotated[Path | None, typer.Option(exists=True, help="A table to be brought up to date.")] = None,
    temp: Annotated[Path | None, typer.Option(exists=True, help="Where the temporary folder is made.")] = None,
) -> None:
    """Measure, fit, predict; print JSON."""
    samples, others = asyncio.run(measure(QUICK if quick else SIZES, rounds, pin=pin, temp=temp))
    coefficients = fit(samples, COMMAND) | others | stored(samples)
    found = checks(samples, {name: each.value for name, each in coefficients.items()})
    told = report(samples, coefficients, found, rounds)
    print(json.dumps(told, indent=1, ensure_ascii=False))
    for check in found:
        say(
            f"{check.size.name}: {check.predicted_us / check.size.batch:.3g} µs predicted, "
            f"{check.measured_us / check.size.batch:.3g} measured, {check.error:+.1%}"
        )
    if table is not None:
        known = json.loads(table.read_text())
        known["coefficients"] = dict(sorted((known["coefficients"] | told["coefficients"]).items()))
        known |= {name: told[name] for name in ("machine", "at", "rounds", "checks", "worst_error")}
        table.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    sys.exit(0 if worst(found) <= ALLOWED else 1)


if __name__ == "__main__":
    typer.run(main)
