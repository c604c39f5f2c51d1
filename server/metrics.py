"""Gauges of the live side and the caches, read from their owners every second."""

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from alerts.live.bus import Bus
from alerts.live.connections import ConnectionManager
from alerts.live.feed import Feed
from ingest.intake import Intake
from ingest.series import SeriesTable

EVERY_S = 1.0


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
    ) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"sluice_{name}", text, registry=registry, multiprocess_mode="livesum")

        self._sources: dict[Gauge, Callable[[], float]] = {
            gauge("connections", "Open WebSocket connections."): lambda: len(connections.connections),
            gauge("subscriptions", "Subscriptions of those."): lambda: connections.subscriptions,
            gauge("watched_devices", "Devices with subscribers of their readings."): lambda: len(connections.readings),
            gauge("evictions", "Connections closed as slow, since the start."): lambda: connections.evictions,
            gauge("bus_healthy", "Workers that hear their own heartbeat through Redis."): lambda: bus.healthy,
            gauge("bus_dropped", "Messages not sent through Redis, since the start."): lambda: bus.dropped,
            gauge("event_reads", "Reads of the event log, since the start."): lambda: feed.reads,
            gauge("series_cached", "Series in the cache."): lambda: len(series),
            gauge("intake_bytes", "Bodies on their way in, that are not decoded yet."): lambda: intake.bytes,
        }

    async def run(self) -> None:
        """Copy for ever. Ends only by being cancelled."""
        while True:
            for gauge, read in self._sources.items():
                gauge.set(read())
            await asyncio.sleep(EVERY_S)
