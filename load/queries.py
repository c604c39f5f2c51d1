"""`python -m load.queries`: what reading back takes, on histories of several sizes, as JSON lines.

For each size a server of its own is started, a history laid in (`load/history.py`), every question asked of devices
chosen by chance, one at a time, and ten million readings exported. A line a question: milliseconds; a line for the
export: its rate, CPU of each part, and by how much the worker's memory grew.
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import aiohttp
import typer

from load.bench import proc
from load.bench.sluice import Sluice, connected, started
from load.bench.stats import spread_ms
from load.history import FLOOD, METRIC, History, device_name, lay_in, plan

PER_SERIES = 20_000  # readings of a series: a larger history has more series, of the same density
WARM_UP = 5  # of each question, uncounted
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of a device, of a history that ends then; and how often."""

    name: str
    times: int
    path: Callable[[str, datetime], str]


def _readings(device: str, **more: Any) -> str:
    return "/v1/readings?" + urlencode({"device": device, "metric": METRIC, **more})


def _series(device: str, until: datetime, days: int, bucket_s: int) -> str:
    """Whole days of the calendar: the last ones that are over."""
    end = until.replace(hour=0, minute=0, second=0, microsecond=0)
    span = {"from": (end - timedelta(days=days)).isoformat(), "to": end.isoformat()}
    return "/v1/series?" + urlencode({"device": device, "metric": METRIC, "bucket_s": bucket_s, **span})


QUESTIONS = [
    Question("latest", 300, lambda device, _: f"/v1/devices/{device}/latest"),
    Question("series of a device", 200, lambda device, _: f"/v1/devices/{device}"),
    Question("newest 100 readings", 200, lambda device, _: _readings(device, order="desc", limit=100)),
    Question("oldest 1,000 readings", 100, lambda device, _: _readings(device, limit=1_000)),
    Question("one day by minute", 200, lambda device, until: _series(device, until, 1, 60)),
    Question("seven days by hour", 100, lambda device, until: _series(device, until, 7, 3_600)),
    Question("29 days by hour", 100, lambda device, until: _series(device, until, 29, 3_600)),
    Question("29 days by day", 100, lambda device, until: _series(device, until, 29, 86_400)),
]


async def ask(http: aiohttp.ClientSession, sluice: Sluice, path: str) -> Any:
    """The answer, which has to be a success."""
    headers = {"Authorization": f"Bearer {sluice.admin_key}", "Accept-Encoding": "identity"}
    async with http.get(sluice.url + path, headers=headers) as response:
        body = await response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status}: {body.decode(errors='replace')}")
        return body


async def measure(sluice: Sluice, history: History) -> list[dict[str, Any]]:
    """A line for each question."""
    rng, lines = random.Random(7), []
    async with aiohttp.ClientSession() as http:
        for question in QUESTIONS:
            took, before = [], sluice.meter.read()
            for turn in range(question.times + WARM_UP):
                path = question.path(device_name(rng.randrange(history.series)), history.until)
                began = time.perf_counter()
                await ask(http, sluice, path)
                if turn >= WARM_UP:
                    took.append(time.perf_counter() - began)
            used = sluice.meter.read().since(before).parts
            cpu_ms = {name: round(cpu / (question.times + WARM_UP) * 1e3, 2) for name, cpu in used.items()}
            lines.append(
                {"query": question.name, "times": question.times, "ms": spread_ms(sorted(took)), "cpu_ms": cpu_ms}
            )
        took = []
        for _ in range(10):
            began = time.perf_counter()
            count = await _overview(http, sluice)
            took.append(time.perf_counter() - began)
        lines.append({"query": f"all {count} devices by pages", "times": 10, "ms": spread_ms(sorted(took))})
    return lines


async def rolled_up(sluice: Sluice) -> dict[str, Any]:
    """Wait until the whole history is; what that took, with all the rest the elected worker did meanwhile."""
    before, began = sluice.meter.read(), time.perf_counter()
    while await sluice.database.fetchval(  # noqa: ASYNC110 - nobody tells
        "SELECT rolled_us < closed_us FROM rollup_progress, rollup_gate"
    ):
        await asyncio.sleep(0.5)
    size = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree($1::text::regclass)"
    return {
        "rolled_up_s": round(time.perf_counter() - began, 1),
        "cpu_s": {name: round(cpu, 1) for name, cpu in sluice.meter.read().since(before).parts.items()},
        "bytes": {
            name: int(await sluice.database.fetchval(size, f"rollup_{name}")) for name in ("minutes", "hours", "days")
        },
    }


async def _overview(http: aiohttp.ClientSession, sluice: Sluice) -> int:
    """Every device, page after page; returns how many."""
    count, cursor = 0, ""
    while True:
        page = json.loads(await ask(http, sluice, f"/v1/devices?limit=1000{cursor}"))
        count += len(page["items"])
        if page["next"] is None:
            return count
        cursor = f"&cursor={page['next']}"


async def export(sluice: Sluice, accept: str, coding: str) -> dict[str, Any]:
    """Read the flood to its end."""
    workers = sluice.workers()
    for pid in workers:
        proc.forget_peak(pid)
    held = {pid: proc.memory(pid)["rss"] for pid in workers}
    before, began, lines, size = sluice.meter.read(), time.perf_counter(), 0, 0
    headers = {"Authorization": f"Bearer {sluice.admin_key}", "Accept": accept, "Accept-Encoding": coding}
    async with (
        aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout()) as http,
        http.get(sluice.url + _readings(FLOOD), headers=headers) as response,
    ):
        async for chunk in response.content.iter_chunked(CHUNK):
            lines += chunk.count(b"\n")
            size += len(chunk)
    took = time.perf_counter() - began
    parts = sluice.meter.read().since(before).parts
    rows = lines - (accept == "text/csv") if coding == "identity" else await _count(sluice)
    return {
        "export": accept,
        "coding": coding,
        "rows": rows,
        "bytes_per_row": round(size / rows, 1),
        "rows_per_s": round(rows / took),
        "cpu_us_per_row": {name: round(cpu / rows * 1e6, 3) for name, cpu in parts.items()},
        "memory_growth_mb": round(max(proc.memory(pid)["peak"] - held[pid] for pid in workers), 1),
    }


async def _count(sluice: Sluice) -> int:
    count: int = await sluice.database.fetchval(
        "SELECT sum(cardinality(offsets)) FROM runs WHERE series_id = (SELECT id FROM series WHERE device = $1)", FLOOD
    )
    return count


async def _run(readings: list[int], temp: Path | None, url: str | None, key: str, database_url: str) -> None:
    for count in readings:
        history = plan(count, max(1, count // PER_SERIES), datetime.now(UTC))
        with tempfile.TemporaryDirectory(prefix="sluice-queries-", dir=temp) as folder:
            manager = connected(url, key, database_url, rules=0) if url else started(Path(folder), 1, None, {}, rules=0)
            async with manager as sluice:
                laid = await lay_in(sluice.database, history)
                size = await sluice.database.fetchval("SELECT pg_database_size(current_database())")
                _print(laid | {"database_bytes": size})
                _print({"readings": history.total} | await rolled_up(sluice))
                for line in await measure(sluice, history):
                    _print({"readings": history.total} | line)
                for accept in ("text/csv", "application/x-ndjson"):
                    for coding in ("identity", "gzip", "zstd") if accept == "text/csv" else ("identity",):
                        _print({"readings": history.total} | await export(sluice, accept, coding))


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def main(
    readings: Annotated[list[int] | None, typer.Option(help="Sizes of histories; each on a server of its own.")] = None,
    temp: Annotated[Path | None, typer.Option(exists=True, help="Where the temporary folder is made.")] = None,
    url: Annotated[str | None, typer.Option(help="A server that runs on this machine, without a history yet.")] = None,
    key: Annotated[str, typer.Option(envvar="SLUICE_KEY", help="Its admin key.")] = "",
    database_url: Annotated[str, typer.Option(envvar="SLUICE_DATABASE_URL", help="Its PostgreSQL.")] = "",
) -> None:
    """Measure reading back; by default with 10 and with 100 million readings."""
    asyncio.run(_run(readings or [10_000_000, 100_000_000], temp, url, key, database_url))


if __name__ == "__main__":
    typer.run(main)
