"""`python -m load.queries`: what reading back takes, on histories of several sizes, as JSON lines.

For each size a server of its own is started, a history laid in (`load/history.py`), rolled up and packed, every
question asked of devices chosen by chance, one at a time, and ten million readings exported. A line a question:
milliseconds; a line for the export: its rate, CPU of each part, and by how much the worker's memory grew; at the end of
each size what is promised beside what was measured. How far it has come is told on standard error.

    python -m load.queries --readings 10000000                 # about 10 minutes, 4 GB
    python -m load.queries --readings 100000000                # about an hour, 15 GB
    python -m load.queries                                     # both, one after the other
"""

import asyncio
import itertools
import json
import os
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer

from load.bench import proc
from load.bench.sluice import Sluice, connected, started
from load.bench.stats import spread_ms
from load.history import FLOOD, History, device_name, lay_in, plan
from load.questions import PROMISED_MS, QUESTIONS, readings_of

PER_SERIES = 20_000  # readings of a series: a larger history has more series, of the same density
WARM_UP = 5  # of each question, uncounted
CHUNK = 1 << 16


# How far rolling up has come, until it is done; and how many days wait for being packed.
_ROLLED = """
SELECT timestamptz 'epoch' + rolled_us * interval '1 microsecond'
FROM rollup_progress, rollup_gate
WHERE closed_us = 0 OR rolled_us < closed_us
"""
_UNPACKED = """
SELECT count(DISTINCT right(c.relname, 8))
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('readings'::regclass, 'runs'::regclass) AND pg_relation_size(c.oid) > 0
  AND right(c.relname, 8) < to_char((now() AT TIME ZONE 'UTC')::date - 2, 'YYYYMMDD')
"""
_COUNT = """
SELECT (SELECT count(*) FROM readings WHERE series_id = s.id)
     + (SELECT coalesce(sum(cardinality(offsets)), 0) FROM runs WHERE series_id = s.id)
     + (SELECT coalesce(sum(cardinality(offsets)), 0) FROM packed WHERE series_id = s.id)
FROM series s
WHERE device = $1
"""


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
            say(question.name)
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
    await _until(sluice, "rolled up until {}", _ROLLED)
    size = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree($1::text::regclass)"
    return {
        "rolled_up_s": round(time.perf_counter() - began, 1),
        "cpu_s": {name: round(cpu, 1) for name, cpu in sluice.meter.read().since(before).parts.items()},
        "bytes": {
            name: int(await sluice.database.fetchval(size, f"rollup_{name}")) for name in ("minutes", "hours", "days")
        },
    }


async def packed(sluice: Sluice) -> dict[str, Any]:
    """Wait until whatever is old enough is; what that took, with all the rest that was done meanwhile."""
    before, began = sluice.meter.read(), time.perf_counter()
    await _until(sluice, "{} days to pack", _UNPACKED)
    return {
        "packed_s": round(time.perf_counter() - began, 1),
        "cpu_s": {name: round(cpu, 1) for name, cpu in sluice.meter.read().since(before).parts.items()},
    }


async def _until(sluice: Sluice, progress: str, query: str) -> None:
    """Wait until a query finds nothing any more, and tell what it finds."""
    for turn in itertools.count():
        left = await sluice.database.fetchval(query)
        if not left:
            return
        if turn % 20 == 0:
            say(progress.format(left))
        await asyncio.sleep(0.5)


async def calmed(load: float) -> None:
    """Wait until what else the machine does, averaged over a minute, is less than so many processes."""
    for turn in itertools.count():
        now = os.getloadavg()[0]
        if now < load:
            return
        if turn % 10 == 0:
            say(f"waiting for a calm machine: its load is {now:.1f}")
        await asyncio.sleep(1)


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
        http.get(sluice.url + readings_of(FLOOD), headers=headers) as response,
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
    """The readings of the flood, in whatever form they are by now."""
    return int(await sluice.database.fetchval(_COUNT, FLOOD))


async def _run(
    readings: list[int], temp: Path | None, url: str | None, key: str, database_url: str, *, settle: bool, calm: float
) -> None:
    for count in readings:
        say(f"{count} readings")
        history = plan(count, max(1, count // PER_SERIES), datetime.now(UTC))
        with tempfile.TemporaryDirectory(prefix="sluice-queries-", dir=temp) as folder:
            manager = connected(url, key, database_url, rules=0) if url else started(Path(folder), 1, None, {}, rules=0)
            async with manager as sluice:
                laid = await lay_in(sluice.database, history)
                size = await sluice.database.fetchval("SELECT pg_database_size(current_database())")
                _print(laid | {"database_bytes": size})
                _print({"readings": history.total} | await rolled_up(sluice))
                if settle:
                    _print({"readings": history.total} | await packed(sluice))
                await calmed(calm)
                lines = await measure(sluice, history)
                for line in lines:
                    _print({"readings": history.total} | line)
                for accept in ("text/csv", "application/x-ndjson"):
                    for coding in ("identity", "gzip", "zstd") if accept == "text/csv" else ("identity",):
                        say(f"export as {accept}, {coding}")
                        _print({"readings": history.total} | await export(sluice, accept, coding))
                _print({"readings": history.total, "devices": history.series + 1, "p95_ms": kept(lines)})


def kept(lines: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What is promised beside what was measured."""
    measured = {line["query"]: line["ms"]["p95"] for line in lines}
    return {name: {"promised": limit, "measured": measured[name]} for name, limit in PROMISED_MS.items()}


def say(text: str) -> None:
    """A line of progress."""
    print(f"queries: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def main(
    readings: Annotated[list[int] | None, typer.Option(help="Sizes of histories; each on a server of its own.")] = None,
    temp: Annotated[Path | None, typer.Option(exists=True, help="Where the temporary folder is made.")] = None,
    url: Annotated[str | None, typer.Option(help="A server that runs on this machine, without a history yet.")] = None,
    key: Annotated[str, typer.Option(envvar="SLUICE_KEY", help="Its admin key.")] = "",
    database_url: Annotated[str, typer.Option(envvar="SLUICE_DATABASE_URL", help="Its PostgreSQL.")] = "",
    settle: Annotated[bool, typer.Option(help="Wait until old days are packed before asking.")] = True,
    calm: Annotated[float, typer.Option(help="Ask when the load of the machine, over a minute, is below this.")] = inf,
) -> None:
    """Measure reading back; by default with 10 and with 100 million readings."""
    asyncio.run(_run(readings or [10_000_000, 100_000_000], temp, url, key, database_url, settle=settle, calm=calm))


if __name__ == "__main__":
    typer.run(main)
