"""How this node is, in figures for a page: what its workers count, read as `/metrics` reads it, in one small object.

Counters are totals since the supervisor started, so whoever asks twice knows what happened between, whichever worker
answered; each answer says of when it is. One sample a second is taken by a worker, however many ask.
"""

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Metric, multiprocess
from prometheus_client.samples import Sample

EVERY_S = 1.0  # between two samples of one worker: half a millisecond each, of the event loop that stores readings

Samples = dict[str, list[Sample]]


@dataclass(frozen=True, slots=True)
class Room:
    """What may wait at most in one worker."""

    queue_rows: int
    queue_bytes: int
    intake_bytes: int


@dataclass(slots=True)
class System:
    """Takes samples."""

    registry: CollectorRegistry
    room: Room
    version: str
    _sample: dict[str, Any] | None = None
    _until: float = 0.0
    _taking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def sample(self, trouble: Callable[[], Awaitable[str | None]]) -> dict[str, Any]:
        """The latest sample, at most `EVERY_S` old; `trouble()` says why this worker is not ready, or None."""
        async with self._taking:
            if self._sample is None or time.monotonic() >= self._until:
                started = time.monotonic()
                reason = await trouble()
                asked_ms = (time.monotonic() - started) * 1_000
                self._sample = self._look(reason, asked_ms)
                self._until = time.monotonic() + EVERY_S
            return self._sample

    def _look(self, reason: str | None, asked_ms: float) -> dict[str, Any]:
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        view = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "node": platform.node(),
            "version": self.version,
            "asked": {"worker": os.getpid(), "ready": reason is None, "reason": reason, "check_ms": round(asked_ms, 1)},
        }
        return view | figures(registry.collect(), self.room)


def figures(metrics: Iterable[Metric], room: Room) -> dict[str, Any]:
    """What the page shows, of what the workers count. What nobody has counted yet is 0, or null where it is a state."""
    found: Samples = {}
    for metric in metrics:
        for sample in metric.samples:
            found.setdefault(sample.name.removeprefix("sluice_"), []).append(sample)
    workers = _workers(found)
    count = max(1, len(workers))
    return {
        "workers": workers,
        "redis": {"hearing": int(_sum(found, "bus_healthy")), "dropped": int(_sum(found, "bus_dropped"))},
        "written": {
            "accepted": int(_sum(found, "readings_accepted_total")),
            "duplicates": int(_sum(found, "readings_duplicate_total")),
            "rejected": int(_sum(found, "readings_rejected_total")),
            "batches": int(_sum(found, "batches_stored_total")),
            "bytes": int(_sum(found, "decoded_bytes_total")),
        },
        "refused": _by(found, "requests_refused_total", "status", "code"),
        "failures": {
            "credentials": _by(found, "auth_failures_total", "door"),
            "hindered": _by(found, "batches_hindered_total", "code"),
            "streams": _by(found, "streams_broken_total", "cause"),
        },
        "queue": {
            "rows": int(_sum(found, "queue_rows")),
            "rows_limit": room.queue_rows * count,
            "bytes": int(_sum(found, "queue_bytes")),
            "bytes_limit": room.queue_bytes * count,
            "intake_bytes": int(_sum(found, "intake_bytes")),
            "intake_bytes_limit": room.intake_bytes * count,
        },
        "latency": {
            "stored": _histogram(found, "stored_seconds"),
            "queue": _histogram(found, "queue_seconds"),
            "flush": _histogram(found, "flush_seconds"),
            "decode": {"count": int(_sum(found, "decoded_total")), "sum_s": _sum(found, "decode_seconds_total")},
        },
        "live": {
            name: int(_sum(found, name)) for name in ("connections", "subscriptions", "watched_devices", "evictions")
        },
        "reads": {
            "running": int(_sum(found, "queries_running")),
            "waiting": int(_sum(found, "queries_waiting")),
            "streams": int(_sum(found, "streams_open")),
        },
        # Of the whole installation, and known to the node whose worker is elected: null on the others.
        "webhooks": {
            "waiting": _latest(found, "webhook_waiting"),
            "held": _latest(found, "webhook_held"),
            "oldest_s": _latest(found, "webhook_oldest_seconds"),
            "attempts": _by(found, "webhook_attempts_total", "outcome"),
        },
        "storage": {
            "bytes": {sample.labels["form"]: int(sample.value) for sample in found.get("storage_bytes", ())},
            "partitions": {sample.labels["form"]: int(sample.value) for sample in found.get("storage_partitions", ())},
            "series_cached": int(_sum(found, "series_cached")),
            "rollups_behind_s": _latest(found, "rollups_behind_seconds"),
        },
    }


def _sum(found: Samples, name: str) -> float:
    return sum(sample.value for sample in found.get(name, ()))


def _latest(found: Samples, name: str) -> float | None:
    return found[name][0].value if name in found else None


def _by(found: Samples, name: str, *labels: str) -> list[dict[str, Any]]:
    """Each with its labels, the most first."""
    counted = [
        {label: sample.labels[label] for label in labels} | {"count": int(sample.value)}
        for sample in found.get(name, ())
        if sample.value
    ]
    return sorted(counted, key=lambda each: -each["count"])


def _histogram(found: Samples, name: str) -> dict[str, Any]:
    """`le`: the buckets' upper bounds in seconds, without the last, which has none; `counts`: up to each, and all."""
    buckets = sorted((float(sample.labels["le"]), int(sample.value)) for sample in found.get(f"{name}_bucket", ()))
    return {
        "le": [bound for bound, _ in buckets[:-1]],
        "counts": [count for _, count in buckets],
        "sum_s": _sum(found, f"{name}_sum"),
    }


def _workers(found: Samples) -> list[dict[str, Any]]:
    """One of each process that runs; in a server without a supervisor there are no numbers of processes."""

    def of(name: str) -> dict[str, float]:
        return {sample.labels.get("pid", str(os.getpid())): sample.value for sample in found.get(name, ())}

    started, resident = of("worker_started_seconds"), of("worker_resident_bytes")
    busy, lag = of("worker_cpu_seconds"), of("worker_lag_seconds")
    return [
        {
            "pid": int(pid),
            "started_at": datetime.fromtimestamp(started[pid], UTC)
            .isoformat(timespec="seconds")
            .replace("+00:00", "Z"),
            "resident_bytes": int(resident.get(pid, 0)),
            "cpu_s": round(busy.get(pid, 0.0), 3),
            "lag_s": round(lag.get(pid, 0.0), 4),
        }
        for pid in sorted(started, key=int)
    ]
