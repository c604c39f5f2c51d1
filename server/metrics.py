"""Gauges of the live side, the caches and the workers themselves, read from their owners every second."""

import asyncio
import resource
import time
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from alerts.engine import Engine
from alerts.live.bus import Bus
from alerts.live.connections import ConnectionManager
from alerts.live.feed import Feed
from ingest.foreign.table import FORMATS
from ingest.intake import Intake
from ingest.series import SeriesTable

EVERY_S = 1.0
_PAGE_BYTES = resource.getpagesize()
_STATM = "/proc/self/statm"  # its second number: resident pages; not there on every system


class LiveMetrics:
    """Copies what the parts know of themselves to where Prometheus finds it."""

    def __init__(
        self,
        registry: CollectorRegistry,
        connections: ConnectionManager,
        bus: Bus,
        feed: Feed,
        series: SeriesTable,
        intake: Intake,
        engine: Engine,
    ) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"sluice_{name}", text, registry=registry, multiprocess_mode="livesum")

        def of_worker(name: str, text: str) -> Gauge:
            return Gauge(f"sluice_worker_{name}", text, registry=registry, multiprocess_mode="liveall")

        self._lag_s = 0.0
        started = time.time()
        self._sources: dict[Gauge, Callable[[], float]] = {
            gauge("connections", "Open WebSocket connections."): lambda: len(connections.connections),
            gauge("subscriptions", "Subscriptions of those."): lambda: connections.subscriptions,
            gauge("watched_devices", "Devices with subscribers of their readings."): lambda: len(connections.readings),
            gauge("evictions", "Connections closed as slow, since the start."): lambda: connections.evictions,
            gauge("bus_healthy", "Workers that hear their own heartbeat through Redis."): lambda: bus.healthy,
            gauge("bus_dropped", "Messages not sent through Redis, since the start."): lambda: bus.dropped,
            gauge("event_reads", "Reads of the event log, since the start."): lambda: feed.reads,
            gauge("series_cached", "Series in the cache."): lambda: len(series),
            gauge("series_watched", "Series that some rule is about, in memory."): lambda: engine.watched,
            gauge("intake_bytes", "Bodies on their way in, that are not decoded yet."): lambda: intake.bytes,
            **_remembered(registry),
            of_worker("started_seconds", "When this worker started, since the Unix epoch."): lambda: started,
            of_worker("resident_bytes", "Memory of this worker."): _resident_bytes,
            of_worker("cpu_seconds", "Processor time that this worker has used."): time.process_time,
            of_worker("lag_seconds", "What its event loop was late by, when it last looked."): lambda: self._lag_s,
        }

    async def run(self) -> None:
        """Copy for ever. Ends only by being cancelled."""
        while True:
            for gauge, read in self._sources.items():
                gauge.set(read())
            due = time.monotonic() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self._lag_s = max(0.0, time.monotonic() - due)


def _remembered(registry: CollectorRegistry) -> dict[Gauge, Callable[[], float]]:
    """What the decoders of foreign protocols remember of names."""

    def gauge(name: str, text: str) -> Gauge:
        return Gauge(f"sluice_names_{name}", text, ["format"], registry=registry, multiprocess_mode="livesum")

    held = gauge("bytes", "Memory of what names of foreign protocols became.")
    forgotten = gauge("forgotten", "How often all of it had to make room for new names, since the start.")
    sources: dict[Gauge, Callable[[], float]] = {}
    for name, door in FORMATS.items():
        if (names := door.names) is not None:
            sources[held.labels(name)] = partial(getattr, names, "bytes")
            sources[forgotten.labels(name)] = partial(getattr, names, "forgotten")
    return sources


def _resident_bytes() -> float:
    """0 where nobody can tell: on another system, or while no file can be opened."""
    try:
        with open(_STATM, "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0.0
