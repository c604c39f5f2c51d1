"""Prometheus itself, as `docs/clients/prometheus.md` has it write: stored, refused, throttled, PostgreSQL away."""

import asyncio
import json
import math
import re
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from aiohttp import web

from tests.acceptance.fragile import Fragile, until
from tests.conftest import HOST, Server

PAGE = Path(__file__).parents[2] / "docs/clients/prometheus.md"
BINARY = shutil.which("prometheus")
QUICK = {"batch_send_deadline": "200ms", "min_backoff": "100ms", "max_backoff": "1s"}
RULES = [{"record": "job:thing:sum", "expr": "sum by (job) (thing)"}]

Row = tuple[str, str, str, int, float]

pytestmark = pytest.mark.skipif(BINARY is None, reason="PROMETHEUS IS ABSENT: its remote write was NOT tried")


@pytest_asyncio.fixture
async def exporter() -> AsyncIterator[str]:
    """A target that counts how often it is scraped; one of its series is not there every other time."""
    scrapes = 0

    async def metrics(_: web.Request) -> web.Response:
        nonlocal scrapes
        scrapes += 1
        lines = [f'thing{{device="sda"}} {scrapes}', f"third {scrapes / 3}", "zero 0", "nothing NaN", "much +Inf"]
        lines += ["now_and_then 1"] if scrapes % 2 else []
        return web.Response(text="\n".join(lines) + "\n")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    yield site.name.removeprefix("http://")
    await runner.cleanup()


@dataclass
class Prometheus:
    """One that runs."""

    server: Server
    url: str
    log: Path

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """The answer to a query."""
        async with self.server.http.get(f"{self.url}/api/v1/query", params={"query": query}) as response:
            found: list[dict[str, Any]] = (await response.json())["data"]["result"]
            return found

    async def told(self, name: str, remote: str) -> float:
        """A counter of one remote, as it is now."""
        async with self.server.http.get(f"{self.url}/metrics") as response:
            text = await response.text()
        found = re.search(rf'^prometheus_remote_storage_{name}{{remote_name="{remote}".* (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def scraped(self) -> set[Row]:
        """Every finite sample that it has, as it has to be stored."""
        rows: set[Row] = set()
        for series in await self.ask('{__name__=~".+"}[10m]'):
            labels = series["metric"]
            metric, device = labels.pop("__name__"), labels.pop("instance", "prometheus")
            named = (device, metric, json.dumps(labels, sort_keys=True))
            samples = [(round(time * 1_000), float(value)) for time, value in series["values"]]
            rows |= {(*named, ms, value) for ms, value in samples if math.isfinite(value)}
        return rows


def configuration(server: Server, exporter: str, keys: dict[str, str], folder: Path) -> dict[str, Any]:
    """That of the page, with this test's addresses, and further remotes: one for each key."""
    block = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    written: dict[str, Any] = yaml.safe_load(block[1])
    assert len(block[1].splitlines()) <= 10
    remote = written["remote_write"].pop()
    for name, key in keys.items():
        (folder / f"{name}.key").write_text(key)
        own = {"name": name, "url": f"{server.url}/api/v1/write", "queue_config": QUICK}
        written["remote_write"].append(remote | own | {"authorization": {"credentials_file": f"{name}.key"}})
    written["remote_write"][-1]["write_relabel_configs"] = [
        {"source_labels": ["__name__"], "regex": "third", "action": "keep"}
    ]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "interval": "1s", "rules": RULES}]}))
    metrics = {"authorization": {"credentials": server.admin_key}, "scrape_interval": "1s"}
    return written | {
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": "tiny", "scrape_interval": "500ms", "scrape_timeout": "500ms", **_target(exporter)},
            {"job_name": "sluice", "scrape_timeout": "1s", **metrics, **_target(server.url.removeprefix("http://"))},
        ],
    }


def _target(address: str) -> dict[str, Any]:
    return {"static_configs": [{"targets": [address]}]}


@asynccontextmanager
async def run(server: Server, written: dict[str, Any], folder: Path) -> AsyncIterator[Prometheus]:
    """Prometheus with this configuration, ready."""
    assert BINARY
    (folder / "prometheus.yml").write_text(yaml.safe_dump(written))
    with socket.create_server((HOST, 0)) as free:
        address = f"{HOST}:{free.getsockname()[1]}"
    arguments = [f"--web.listen-address={address}", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    log = folder / "log"
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(BINARY, *arguments, cwd=folder, stdout=stream, stderr=stream)
    try:
        running = Prometheus(server, f"http://{address}", log)

        async def ready() -> bool:
            assert process.returncode is None, log.read_text()[-2_000:]
            try:
                async with server.http.get(f"{running.url}/-/ready") as response:
                    return response.status == 200
            except OSError:
                return False

        await until(ready, "Prometheus is ready")
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def stored(server: Server) -> set[Row]:
    """Every reading."""
    columns = "device, metric, labels::text, (extract(epoch FROM ts) * 1000)::bigint, value"
    records = await server.fetch(f"SELECT {columns} FROM telemetry")  # noqa: S608 - a constant
    return {(record[0], record[1], _sorted(record[2]), record[3], record[4]) for record in records}


def _sorted(labels: str) -> str:
    return json.dumps(json.loads(labels), sort_keys=True)


async def hold(fragile: Fragile, exporter: str, folder: Path, outage_s: float) -> None:
    """Have Prometheus write by three keys, take PostgreSQL away meanwhile, and compare what both hold."""
    server = fragile.server
    few = await server.key("ingest", quota_readings_per_s=1)
    keys = {"main": await server.key("ingest"), "wrong": "slk_wrong_key", "few": few}
    async with run(server, configuration(server, exporter, keys, folder), folder) as prometheus:

        async def written() -> bool:
            return any(row[0] == "prometheus" for row in await stored(server))

        await until(written, "Prometheus has written")
        began = time.monotonic()
        fragile.take_away()

        async def held_back() -> bool:
            return await prometheus.told("samples_retried_total", "main") > 0 and time.monotonic() > began + outage_s

        await until(held_back, "Prometheus was told to come again")
        fragile.give_back()
        wanted = await prometheus.scraped()
        missing: set[Row] = set()

        async def delivered() -> bool:
            nonlocal missing
            missing = wanted - await stored(server)
            return not missing

        await until(delivered, "all that was scraped is stored")
        found = await stored(server)
        made_up = found - await prometheus.scraped()
        assert not made_up, sorted(made_up)[:5]
        metrics = {row[1] for row in found}
        assert {
            "up",
            "thing",
            "third",
            "zero",
            "now_and_then",
            "job:thing:sum",
            "sluice_batches_stored_total",
        } <= metrics
        assert metrics.isdisjoint({"nothing", "much"})
        assert {row[2] for row in found if row[1] == "thing"} == {'{"device": "sda", "job": "tiny"}'}
        assert await prometheus.told("samples_failed_total", "main") == 0
        assert await prometheus.told("samples_dropped_total", "main") == 0
        assert await prometheus.told("samples_failed_total", "wrong") > 0
        assert await prometheus.told("samples_retried_total", "few") > 0
        assert await prometheus.told("samples_failed_total", "few") == 0
        assert "A valid API key is needed" in prometheus.log.read_text()


async def test_what_prometheus_scrapes_is_stored_and_an_outage_loses_nothing(
    fragile: Fragile, exporter: str, tmp_path: Path
) -> None:
    await hold(fragile, exporter, tmp_path, 3)


@pytest.mark.long
async def test_half_a_minute_without_postgresql_loses_nothing(fragile: Fragile, exporter: str, tmp_path: Path) -> None:
    await hold(fragile, exporter, tmp_path, 30)
