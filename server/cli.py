"""The command `sluice`."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Coroutine
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.audit import Outcome
from schemas.times import to_text
from server import logs
from server.audit import AuditTrail
from server.database import AWAY
from server.engines import Engine, EngineError
from server.keys_cli import app as keys_app
from server.local import LocalServiceError
from server.masks import Masks
from server.migrations import MigrationError, migrate
from server.plan_cli import plan_command
from server.reach import with_pool
from server.rules_cli import app as rules_app
from server.settings import Settings
from server.storage_cli import app as storage_app
from server.supervisor import AddressError
from server.up import UpOptions, say, serve, up

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they show the values of variables; what nobody caught goes to the log (`logs.py`)
    help="Telemetry into PostgreSQL, alerts as they happen.",
)
app.add_typer(keys_app, name="key")
app.add_typer(rules_app, name="rules")
app.add_typer(storage_app, name="storage")
app.command("plan")(plan_command)

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.")]
Workers = Annotated[int | None, typer.Option(min=1, max=64, help="Worker processes.")]
DataDir = Annotated[Path | None, typer.Option(help="Where the embedded servers keep their data.")]


def main() -> None:
    """Run the command; what an operator can mend is one line, not a traceback."""
    try:
        app()
    except ValidationError as error:
        fail(_masked("; ".join(_told(fault, error.title) for fault in error.errors())))
    except (AddressError, LocalServiceError, MigrationError, EngineError, ValueError) as error:
        fail(_masked(str(error)))
    except AWAY as error:
        fail(_masked(f"{error!r}; `sluice doctor` tells more"))


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sluice {installed('sluice')}")
        raise typer.Exit


@app.callback()
def _before_every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """See the help of `app`."""


def _told(fault: ErrorDetails, model: str) -> str:
    """What is wrong with a setting, or with a word of the command."""
    name = ".".join(map(str, fault["loc"]))
    return f"{f'SLUICE_{name.upper()}' if model == Settings.__name__ else name}: {fault['msg']}"


def _masked(text: str) -> str:
    """Without the secrets of the settings, if these can be read."""
    try:
        return Masks.of(Settings())(text)
    except ValidationError:
        return Masks()(text)


def fail(message: str) -> NoReturn:
    """Say what is wrong, and exit with 1."""
    typer.echo(f"sluice: {message}", err=True)
    raise SystemExit(1)


def _settings(data_dir: Path | None = None) -> Settings:
    if data_dir is not None:
        os.environ["SLUICE_DATA_DIR"] = str(data_dir)
    settings = Settings()
    logs.configure(settings)
    return settings


def _run(work: Coroutine[Any, Any, int]) -> None:
    raise typer.Exit(asyncio.run(work))


def _options(settings: Settings, host: str | None, port: int | None, workers: int | None, *, demo: bool) -> UpOptions:
    return UpOptions(
        settings.host if host is None else host,
        settings.port if port is None else port,
        workers or settings.workers,
        demo,
    )


@app.command("up")
def up_command(
    host: Host = None,
    port: Port = None,
    workers: Workers = None,
    data_dir: DataDir = None,
    demo: Annotated[bool, typer.Option("--demo", help="Add a simulated fleet and rules.")] = False,
) -> None:
    """Run everything here: PostgreSQL and Valkey of its own (unless their URLs are set), and the server."""
    settings = _settings(data_dir)
    _run(up(settings, _options(settings, host, port, workers, demo=demo)))


@app.command("serve")
def serve_command(
    host: Host = None,
    port: Port = None,
    workers: Workers = None,
    migrate_first: Annotated[
        bool, typer.Option("--migrate", help="Bring the schema up to date first, waiting for the database.")
    ] = False,
) -> None:
    """Run the server on services that run elsewhere (SLUICE_DATABASE_URL, SLUICE_REDIS_URL)."""
    settings = _settings()
    if not (settings.database and settings.redis):  # each raises where it is missing
        return
    _run(serve(settings, _options(settings, host, port, workers, demo=False), migrate_first=migrate_first))


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database's schema up to date, for the engine of SLUICE_ENGINE."""
    settings = _settings()
    applied = asyncio.run(migrate(settings.direct, settings.engine))
    for migration in applied:
        say(f"applied {migration.number:04} {migration.name}")
    if not applied:
        say("up to date")
    if settings.engine is not Engine.PLAIN:
        say(f"prepared for {settings.engine}")


@app.command("doctor")
def doctor_command() -> None:
    """Show every setting with its source, and check what can be checked."""

    from server import doctor as doctors  # noqa: PLC0415 - Redis' client takes 0.3 s to load: a start is faster without

    async def examine() -> int:
        settings = _settings()
        for variable, value, source in doctors.settings_with_sources(settings):
            say(f"{variable:32} {value:40} {source}")
        found = [finding async for finding in doctors.findings(settings)]
        for finding in found:
            say(f"{'ok ' if finding.good else 'BAD'}  {finding.text}")
        return 0 if all(finding.good for finding in found) else 1

    _run(examine())


@app.command("mqtt")
def mqtt_command() -> None:
    """Bring what an MQTT broker has (SLUICE_MQTT_…) to the server; acknowledge it once it is stored."""

    from server import mqtt_cli  # noqa: PLC0415 - the client takes its time to load, and no other command needs it

    _run(mqtt_cli.run(_settings()))


@app.command("simulate", context_settings=PASS_ON)
def simulate_command(context: typer.Context) -> None:
    """Send as a fleet of devices would; `sluice simulate --help` for more."""
    raise typer.Exit(subprocess.call([sys.executable, "-m", "load.simulate", *context.args]))  # noqa: S603


@app.command("load", context_settings=PASS_ON)
def load_command(context: typer.Context) -> None:
    """Load a server by a scenario (`sluice load steady --minutes 2`), judge it; `sluice load --help` for more."""
    raise typer.Exit(subprocess.call([sys.executable, "-m", "load.scenarios", *context.args]))  # noqa: S603


@app.command("audit")
def audit_command(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, newest first.")] = 50,
) -> None:
    """Show administrative acts: when, who, from where, what, on what."""
    settings = _settings()
    entries, _ = asyncio.run(with_pool(settings, lambda pool: AuditTrail(pool, settings.audit_days).page(None, limit)))
    for entry in entries:
        note = "" if entry.outcome is Outcome.DONE else f"  ({entry.outcome})"
        detail = json.dumps(entry.detail, ensure_ascii=True) if entry.detail else ""
        where = entry.address or "-"
        say(f"{to_text(entry.at)}  {entry.act:18} {entry.object:16} {entry.name:20} {where:15} {detail}{note}")


if __name__ == "__main__":
    main()
