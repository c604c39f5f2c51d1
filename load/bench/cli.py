"""The command line of the benchmark."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from load.bench import against, growth
from load.bench.axis import Axis, Point, points
from load.bench.case import AGAINST, QUICK, full, select
from load.bench.panels import draw
from load.bench.plot import plot
from load.bench.result import Result, compare, load, median_of, table
from load.bench.session import Options, Running, Took, measure
from load.bench.subject import SubjectError, say

app = typer.Typer(add_completion=False)


@app.command()
def bench(
    axes: Annotated[list[Axis] | None, typer.Argument(metavar="[AXIS]...", help="Of --growth; none: all.")] = None,
    *,
    grows: Annotated[bool, typer.Option("--growth", help=f"How the cost grows along {', '.join(Axis)}.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A case of each kind, in two minutes; of --growth the smaller points.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="Cases by name: 1000-rows, '*-columns*'.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the JSON lines go instead of stdout.")] = None,
    picture: Annotated[Path | None, typer.Option("--plot", help="A PNG; beside --out where none is named.")] = None,
    compared: Annotated[
        Path | None, typer.Option("--compare", exists=True, help="JSON lines of an earlier run.")
    ] = None,
    rival: Annotated[str | None, typer.Option("--against", help="influxdb: measure it beside, in turns.")] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="How often each case is run, the median counts: 1, with --against and --growth 3."),
    ] = None,
    pin: Annotated[
        bool, typer.Option(help="With one worker: the server's side on one core, the generator on the other.")
    ] = True,
    generators: Annotated[int, typer.Option(min=1, help="Processes that generate.")] = 1,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the server: flush_rows=5000.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="A server that runs on this machine, instead of one of ours.")] = None,
    key: Annotated[str | None, typer.Option(envvar="SLUICE_KEY", help="Its admin key.")] = None,
    database_url: Annotated[str | None, typer.Option(envvar="SLUICE_DATABASE_URL", help="Its PostgreSQL.")] = None,
    temp: Annotated[Path | None, typer.Option(exists=True, help="Where the temporary folder is made.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the data of the servers there.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Only name the cases.")] = False,
) -> None:
    """Measure what a durable reading costs: throughput, CPU of each part, latencies, memory, beside a bare COPY.

    One JSON line a case on stdout, a table on stderr. Exit code 1 where a case cannot be trusted.
    """
    earlier = load(compared) if compared else []
    if grows and (rival or url):
        raise typer.BadParameter("--growth starts a server a point: it goes neither with --against nor with --url")
    route = _route(axes or [], grows=grows, quick=quick)
    cases = select(AGAINST if rival else QUICK if quick else full(), only or [])
    if not cases and only:
        cases = select(full(), only)
    if listing or not (route or cases):
        names = [point.name for point in route] or [case.name for case in cases]
        typer.echo("\n".join(names) or "no case has such a name; --list names them")
        raise typer.Exit(0 if names else 2)
    running = None
    if url is not None:
        if key is None or database_url is None:
            raise typer.BadParameter("--url also needs --key and --database-url")
        running = Running(url, key, database_url)
    settings = dict(entry.split("=", 1) for entry in setting or [])
    options = Options(quick or rival is not None, pin, generators, keep, settings, running, temp)
    results: list[Result] = []
    missing: list[str] = []
    took = _receiver(results, out)
    # Both stop what was started. (A shell starts what it puts into the background with SIGINT ignored.)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        if route:
            missing += asyncio.run(growth.measure(options, route, only or [], rounds or 3, took))
        elif rival is None:
            asyncio.run(measure(options, cases, rounds or 1, took))
        else:
            asyncio.run(against.measure(options, cases, rival, rounds or 3, took))
    except SubjectError as error:
        say(str(error))
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(130) from None
    finally:
        _report(results, earlier, rival, picture or (out.with_suffix(".png") if out else None))
    for reason in missing:
        say(f"not measured: {reason}")
    raise typer.Exit(1 if missing or any(result.faults for result in results) else 0)


def _route(axes: list[Axis], *, grows: bool, quick: bool) -> list[Point]:
    """The points of these axes, of all where none is named; none without --growth."""
    if axes and not grows:
        raise typer.BadParameter("an AXIS goes with --growth")
    return [point for axis in axes or (Axis if grows else ()) for point in points(axis, quick=quick)]


def _receiver(results: list[Result], out: Path | None) -> Took:
    """Keeps each result, and writes its line at once."""

    def took(result: Result) -> None:
        results.append(result)
        line = result.as_json()
        if out is None:
            typer.echo(line)
        else:
            with out.open("a" if len(results) > 1 else "w") as file:
                file.write(line + "\n")

    return took


def _report(results: list[Result], earlier: list[Result], rival: str | None, picture: Path | None) -> None:
    """The table, and what else was wanted."""
    if not results:
        return
    results, rounds = median_of(results), results
    grown = bool(results[0].axis)
    print("\n" + (growth.table if grown else table)(results), file=sys.stderr)
    if rival is not None:
        print("\n" + against.table(rounds, rival), file=sys.stderr)
    if earlier:
        print("\nnow / before\n" + compare(results, median_of(earlier)), file=sys.stderr)
    if picture is not None:
        (draw if grown else plot)(results, picture)
        say(f"drew {picture}")


def main() -> None:
    """Run."""
    app()
