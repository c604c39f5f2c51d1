"""`python -m load.scenarios NAME`: one scenario, from the start of a server to the report; `sluice load` leads here."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from load.audience import raise_file_limit
from load.scenarios.catalogue import SCENARIOS, ScenarioError, compose, refuse

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
FOR_LOCUST = {"allow_extra_args": True, "ignore_unknown_options": True}
NAMES = "\n\n".join(f"{scenario.name}: {scenario.about}." for scenario in SCENARIOS.values())


def main(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A scenario, or several at once: steady+storm.")] = "",
    *,
    minutes: Annotated[float | None, typer.Option(min=0.05, help="Under load.", show_default="the scenario's")] = None,
    url: Annotated[str | None, typer.Option(help="What to load.", show_default="a server of its own")] = None,
    key: Annotated[str | None, typer.Option(envvar="SLUICE_KEY", help="For --url: an API key, scope admin.")] = None,
    key_file: Annotated[Path | None, typer.Option(exists=True, help="File that holds the key.")] = None,
    scale: Annotated[float, typer.Option(min=0.01, help="Times as many users.")] = 1.0,
    report: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("artifacts/load"),
    p99_ms: Annotated[float | None, typer.Option(help="Bound on writing, instead of the scenario's.")] = None,
    alert_p99_ms: Annotated[float | None, typer.Option(help="Bound on alerts, instead of the scenario's.")] = None,
) -> None:
    """Load a server as a scenario says, judge it, look up what it acknowledged; the exit code is 1 where it failed.

    Further options are locust's own: --processes 2, --master and --expect-workers 4.
    """
    if key_file is not None:
        key = key_file.read_text().strip()
    try:
        refuse(compose(name) if name else _choose(), url, key)
    except ScenarioError as error:
        fail(str(error))
    raise_file_limit()
    words = ["--scenario", name, "--scale", str(scale), "--report", str(report)]
    given = {"--minutes": minutes, "--host": url, "--p99-ms": p99_ms, "--alert-p99-ms": alert_p99_ms}
    words += [word for option, value in given.items() if value is not None for word in (option, str(value))]
    # The key not as an argument, which everybody on the machine may read.
    environment = os.environ | ({"SLUICE_KEY": key} if key else {})
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
    os.execve(sys.executable, [*command, "--loglevel", "ERROR", *words, *context.args], environment)  # noqa: S606


def _choose() -> NoReturn:
    listed = "\n".join(f"  {scenario.name:10} {scenario.about}" for scenario in SCENARIOS.values())
    fail(f"name a scenario, for instance `sluice load steady --minutes 2`:\n{listed}")


def fail(message: str) -> NoReturn:
    """Say what is wrong, and exit with 2."""
    print(f"load: {message}", file=sys.stderr)
    raise typer.Exit(2)


app = typer.Typer(add_completion=False)
app.command(context_settings=FOR_LOCUST, epilog=NAMES)(main)

if __name__ == "__main__":
    app()
