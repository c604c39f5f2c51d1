"""docs/metrics.md, made from the registry: `python -m tests.integration.metrics_page` writes it anew."""

import asyncio
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from server.app import machine
from server.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
NOWHERE = {"database_url": "postgresql://sluice@127.0.0.1:9/none", "redis_url": "redis://127.0.0.1:9/0"}
HEAD = """# Metrics

What `GET /metrics` shows to a key with the scope `read`: every worker of a node together, whichever answers. Made from
the server's own registry by `python -m tests.integration.metrics_page`; a test keeps it in step.

Rate, errors and duration, stage by stage, then what each stage has room for: a stage whose use nears its limit is the
knee. What to do about it is in [operations.md](operations.md); a dashboard of all this is
`server/deploy/grafana/dashboards/operation.json`, alerts are in `server/deploy/prometheus/sluice.rules.yml`.

A histogram has `_bucket`, `_sum` and `_count` behind its name. Of counters and histograms only those
appear that counted something. Labels are bounded: routes, codes, forms and jobs are ours,
never what a sender wrote.
"""
STAGES = {
    "Door": (
        "requests_",
        "http_",
        "decode",
        "intake",
        "values_skipped",
        "auth_",
        "sessions_",
        "readings_rejected",
        "names_",
    ),
    "Queue and group": ("queue_", "group_", "stored_seconds", "batches_", "series_cached"),
    "COPY and COMMIT": ("flush", "lanes", "reclaims", "pool_", "readings_accepted", "readings_duplicate"),
    "Alerts": ("readings_stepped", "alert_", "series_watched", "evaluator"),
    "Publish": ("bus_", "event_", "webhook"),
    "Sockets": ("connections", "subscriptions", "sockets", "watched_devices", "evictions"),
    "Reading back": ("queries", "streams", "rows_streamed"),
    "Storage": ("storage", "readings_packed", "rollups"),
    "Workers": ("worker_",),
}


async def registry() -> CollectorRegistry:
    """That of a whole machine whose services are away."""
    async with machine(Settings(**NOWHERE, _env_file=None), FastAPI()) as state:  # type: ignore[arg-type]
        return state["health"].registry


def stage_of(name: str) -> str:
    """Where a metric belongs. Raises StopIteration for one that has no place yet."""
    return next(stage for stage, beginnings in STAGES.items() if name.startswith(beginnings))


def page(found: CollectorRegistry) -> str:
    """The text."""
    rows: dict[str, list[str]] = {stage: [] for stage in STAGES}
    for collector in dict.fromkeys(found._collector_to_names):
        [metric] = collector.collect()
        labels = ", ".join(f"`{label}`" for label in getattr(collector, "_labelnames", ()))
        name = metric.name + ("_total" if metric.type == "counter" else "")
        stage = stage_of(metric.name.removeprefix("sluice_"))
        rows[stage].append(f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |\n")
    table = "| name | kind | labels | |\n|---|---|---|---|\n"
    return HEAD + "".join(f"\n## {stage}\n\n{table}{''.join(sorted(lines))}" for stage, lines in rows.items())


if __name__ == "__main__":
    PAGE.write_text(page(asyncio.run(registry())))
