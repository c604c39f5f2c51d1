"""`sluice storage`: what is stored, in which form, and until when."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
import typer

from query import storage
from query.partitions import FORMS, Connection, partitions
from query.rollup_partitions import tell
from query.storage import Day
from schemas import audit
from schemas.names import name_fault
from schemas.times import to_text
from server.audit import at_the_terminal
from server.reach import with_pool
from server.settings import Settings

UNITS = ("B", "kB", "MB", "GB", "TB")
_KEEP = """
INSERT INTO retention (metric, days) VALUES ($1, $2) ON CONFLICT (metric) DO UPDATE SET days = excluded.days
"""
_FORGET = "DELETE FROM retention WHERE metric = $1"
COUNTING_S = 600.0  # for one partition; `--no-count` where that is not enough

app = typer.Typer(help="What is stored, in which form, and until when.")


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    count: Annotated[bool, typer.Option(help="Count the readings, which reads every partition.")] = True,
) -> None:
    """Show every day with its forms, sizes, readings, and what will become of it."""
    if context.invoked_subcommand is None:
        settings = Settings()
        report = _ask(settings, lambda connection: _report(connection, settings, count=count))
        typer.echo(json.dumps(report) if as_json else "\n".join(_lines(report)))


@app.command("keep")
def keep(
    metric: Annotated[str, typer.Argument(help="A glob, such as 'debug_*'.")],
    days: Annotated[int, typer.Argument(min=1, help="Days for which its readings are kept.")],
) -> None:
    """Keep the readings of some metrics for a shorter time than all others; the most literal glob counts."""
    settings = Settings()
    if fault := name_fault(metric.replace("*", "x").replace("?", "x")):
        raise ValueError(f"no metric is called so: {fault}")
    if days > settings.retention_days:
        raise ValueError(f"nothing is kept longer than SLUICE_RETENTION_DAYS, {settings.retention_days}")

    async def remember(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(_KEEP, metric, days)
            row = audit.row(at_the_terminal(), audit.Act.RETENTION_KEEP, metric, {"days": days})
            await connection.execute(audit.INSERT, *row)

    _ask(settings, remember)
    typer.echo(f"readings of {metric} are kept for {days} days; packed ones that are older go within minutes")


@app.command("forget")
def forget(metric: Annotated[str, typer.Argument(help="The glob that was given to keep.")]) -> None:
    """Keep the readings of some metrics as long as all others again."""

    async def strike(connection: Connection) -> bool:
        async with connection.transaction():
            found = await connection.execute(_FORGET, metric) != "DELETE 0"
            if found:
                row = audit.row(at_the_terminal(), audit.Act.RETENTION_FORGET, metric)
                await connection.execute(audit.INSERT, *row)
        return found

    if not _ask(Settings(), strike):
        raise ValueError(f"nothing was said about {metric}; `sluice storage` shows what was")
    typer.echo(f"readings of {metric} are kept like all others")


def _ask(settings: Settings, question: Callable[[Connection], Awaitable[Any]]) -> Any:
    """What a question to the database is answered."""

    async def work(pool: asyncpg.Pool) -> Any:
        async with pool.acquire() as connection:
            return await question(connection)

    return asyncio.run(with_pool(settings, work))


async def _report(connection: Connection, settings: Settings, *, count: bool) -> dict[str, Any]:
    """Everything, in the words of `--json`. Sizes in bytes."""
    await connection.execute("SET statement_timeout = 0")
    found = await partitions(connection)
    counted = await storage.count(connection, found, timeout_s=COUNTING_S) if count else {}
    days = storage.days(
        found, counted, pack_after_days=settings.pack_after_days, retention_days=settings.retention_days
    )
    kept = await connection.fetch("SELECT metric, days FROM retention ORDER BY metric")
    now: datetime = await connection.fetchval("SELECT now()")
    rollups = await tell(connection)
    for table, kept_days in _rollup_days(settings).items():
        rollups[table]["kept_days"] = kept_days
    return {
        "retention_days": settings.retention_days,
        "pack_after_days": settings.pack_after_days,
        "keep": [dict(record) for record in kept],
        "forms": {form: _totals([each for each in days if form in each.bytes], [form]) for form in FORMS},
        "total": _totals(days, FORMS),
        "days": [_day(each, now) for each in days],
        "rollups": rollups | {"until": _text(rollups["until"])},
    }


def _rollup_days(settings: Settings) -> dict[str, int | None]:
    return {
        "rollup_minutes": settings.rollup_minutes_days,
        "rollup_hours": settings.rollup_hours_days,
        "rollup_days": None,
    }


def _totals(days: list[Day], forms: Any) -> dict[str, Any]:
    size = sum(each.bytes.get(form, 0) for each in days for form in forms)
    stored = [each.stored[form] for each in days for form in forms if form in each.stored]
    readings = sum(each.readings for each in stored) if stored else None
    return {
        "partitions": sum(form in each.bytes for each in days for form in forms),
        "bytes": size,
        "readings": readings,
        "bytes_per_reading": round(size / readings, 2) if readings else None,
        "oldest": _text(min((each.oldest for each in stored if each.oldest), default=None)),
        "newest": _text(max((each.newest for each in stored if each.newest), default=None)),
    }


def _day(day: Day, now: datetime) -> dict[str, Any]:
    return {
        "day": f"{day.start:%F}",
        "state": day.state(now),
        "bytes": dict(day.bytes),
        "readings": {form: each.readings for form, each in day.stored.items()} or None,
        "packed_from": to_text(day.packed_at.astimezone(UTC)),
        "dropped_from": to_text(day.dropped_at.astimezone(UTC)),
    }


def _lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    lines = [f"{'day':12}{'state':9}{'rows':>10}{'runs':>10}{'packed':>10}{'readings':>14}{'B each':>8}  dropped from"]
    for day in report["days"]:
        sizes = "".join(f"{_size(day['bytes'].get(form)):>10}" for form in FORMS)
        readings = sum(day["readings"].values()) if day["readings"] else None
        each = f"{sum(day['bytes'].values()) / readings:.1f}" if readings else "-"
        told = f"{readings:,}" if readings is not None else "-"
        lines.append(f"{day['day']:12}{day['state']:9}{sizes}{told:>14}{each:>8}  {day['dropped_from'][:10]}")
    for name, totals in [*report["forms"].items(), ("total", report["total"])]:
        counted = "" if totals["readings"] is None else f", {totals['readings']:,} readings"
        each = f", {totals['bytes_per_reading']} B each" if totals["bytes_per_reading"] else ""
        span = f", {totals['oldest']} to {totals['newest']}" if totals["oldest"] else ""
        lines.append(f"{name}: {totals['partitions']} partitions, {_size(totals['bytes'])}{counted}{each}{span}")
    rollups = report["rollups"]
    for name in (name for name in rollups if name.startswith("rollup_")):
        kept = f"{rollups[name]['kept_days']} days" if rollups[name]["kept_days"] else "ever"
        sizes = f"{rollups[name]['partitions']} partitions, {_size(rollups[name]['bytes'])}"
        lines.append(f"{name}: {sizes}, kept for {kept}")
    lines.append(f"rolled up until {rollups['until'] or '(not yet)'}, {rollups['marks']} marks of late readings")
    lines.append(f"kept for {report['retention_days']} days, packed after {report['pack_after_days']}")
    return lines + [f"{each['metric']}: kept for {each['days']} days" for each in report["keep"]]


def _size(size: float | None) -> str:
    if size is None:
        return "-"
    unit = 0
    while size >= 1_000 and unit < len(UNITS) - 1:
        size, unit = size / 1_000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit < 2 else f"{size:.1f} {UNITS[unit]}"


def _text(moment: datetime | None) -> str | None:
    return to_text(moment) if moment else None
