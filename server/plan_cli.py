"""`sluice plan`: what a fleet needs, by measured costs; no server, no database."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from schemas.costs import Table
from server.capacity.demand import PROTOCOLS, Fleet, Keep, Site
from server.capacity.plan import plan
from server.database import ASKING_CONNECTIONS
from server.settings import Settings

MAX_CONNECTIONS = 100  # PostgreSQL's own default

_DEFAULT = Settings.model_fields


def plan_command(
    devices: Annotated[int, typer.Option(min=1, help="How many send.")],
    interval: Annotated[float, typer.Option(min=0.001, help="Seconds between two readings of a series.")],
    metrics: Annotated[int, typer.Option(min=1, help="Series of a device.")],
    retention: Annotated[int, typer.Option(min=1, help="Days for which readings are kept.")] = _DEFAULT[
        "retention_days"
    ].default,
    batch: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Readings of a request; else all metrics, once an interval.")
    ] = None,
    gateway: Annotated[int, typer.Option(min=1, help="Devices whose readings come in one request.")] = 1,
    protocol: Annotated[str, typer.Option(help=f"{', '.join(PROTOCOLS)}.")] = "native",
    rules: Annotated[int, typer.Option(min=0, help="That judge them.")] = 100,
    dashboards: Annotated[int, typer.Option(min=0, help="Sockets that listen to alerts.")] = 10,
    alerts: Annotated[float, typer.Option(min=0, help="Transitions of alerts an hour.")] = 100,
    pack_after: Annotated[int, typer.Option(min=0, help="Days.")] = _DEFAULT["pack_after_days"].default,
    minutes_days: Annotated[int, typer.Option(min=1, help="For which minutes are kept.")] = _DEFAULT[
        "rollup_minutes_days"
    ].default,
    hours_days: Annotated[int, typer.Option(min=1, help="For which hours are kept.")] = _DEFAULT[
        "rollup_hours_days"
    ].default,
    cores: Annotated[int, typer.Option(min=1, help="Of a node, for its workers alone.")] = 4,
    memory: Annotated[float, typer.Option(min=0.5, help="GB of a node.")] = 8,
    nodes: Annotated[int | None, typer.Option(min=1, help="How many there are; else as many as it takes.")] = None,
    postgres_cores: Annotated[int, typer.Option(min=1, help="Of PostgreSQL's machine.")] = 16,
    postgres_memory: Annotated[float, typer.Option(min=0.5, help="GB of it.")] = 64,
    disk_mb_per_s: Annotated[float, typer.Option(min=1, help="That its log can be written with.")] = 200,
    max_connections: Annotated[int, typer.Option(min=10, help="Of PostgreSQL.")] = MAX_CONNECTIONS,
    load: Annotated[float, typer.Option(min=0.05, max=1, help="Of everything, that shall be in use.")] = 0.6,
    calibrate: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="What `python -m load.model` printed elsewhere.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tell what a fleet needs, what that carries, and where the next wall is; see docs/scale.md."""
    table = read_table(calibrate)
    settings = {name: field.default for name, field in _DEFAULT.items()}
    fleet = Fleet(
        devices=devices,
        interval_s=interval,
        metrics=metrics,
        batch=batch,
        gateway=gateway,
        protocol=protocol,
        rules=rules,
        dashboards=dashboards,
        alerts_per_hour=alerts,
    )
    site = Site(
        cores=cores,
        memory_gb=memory,
        nodes=nodes,
        postgres_cores=postgres_cores,
        postgres_memory_gb=postgres_memory,
        disk_mb_per_s=disk_mb_per_s,
        load=load,
        connections_a_worker=settings["pool_size"] + ASKING_CONNECTIONS + settings["read_pool_size"],
        max_connections=max_connections,
        cached_series=settings["max_cached_series"],
    )
    keep = Keep(retention=retention, pack_after=pack_after, minutes=minutes_days, hours=hours_days)
    made = plan(table.values(), fleet, keep, site)
    if as_json:
        typer.echo(json.dumps(made.as_json() | {"measured": {"machine": table.machine, "at": table.at}}))
    else:
        typer.echo("\n".join([*made.lines(), "", f"measured on {table.machine}, {table.at}; yours: --calibrate"]))


def read_table(calibrate: Path | None = None) -> Table:
    """The coefficients, those of a file in the place of ours. Raises ValueError where it is none of these files."""
    table = Table.model_validate_json(files("server").joinpath("capacity", "coefficients.json").read_bytes())
    if calibrate is None:
        return table
    try:
        own = Table.model_validate_json(calibrate.read_bytes())
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise ValueError(f"{calibrate} is not what `python -m load.model` prints: {place} {fault['msg']}") from None
    return Table(machine=own.machine, at=own.at, coefficients=table.coefficients | own.coefficients)
