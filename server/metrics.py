"""What the parts know of themselves, copied every second to where Prometheus finds it: it costs them an addition."""

import asyncio
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import asyncpg
from prometheus_client import CollectorRegistry, Counter, Gauge

from alerts.election import Election
from alerts.engine import Engine
from alerts.live.bus import Bus
from alerts.live.connections import ConnectionManager
from alerts.live.feed import Feed
from ingest.foreign.table import FORMATS
from ingest.intake import Intake
from ingest.series import SeriesTable
from ingest.writer import Writer
from server.system import Room

EVERY_S = 1.0
_PAGE_BYTES = resource.getpagesize()
_STATM = "/proc/self/statm"  # its second number: resident pages; not there on every system


@dataclass(frozen=True, slots=True)
class Observed:
    """The parts of a worker that are looked at."""

    connections: ConnectionManager
    bus: Bus
    feed: Feed
    writer: Writer
    series: SeriesTable
    intake: Intake
    engine: Engine
    evaluator: Election
    room: Room
    lanes: int
    pools: Mapping[str, asyncpg.Pool]
    """Of connections to PostgreSQL, by what they are for."""
    sockets: Callable[[], int]
    """Open connections of any kind, from devices and browsers."""


class LiveMetrics:
    """Gauges and counters of one worker."""

    def __init__(self, registry: CollectorRegistry, seen: Observed) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"sluice_{name}", text, registry=registry, multiprocess_mode="livesum")

        def of_worker(name: str, text: str) -> Gauge:
            return Gauge(f"sluice_worker_{name}", text, registry=registry, multiprocess_mode="liveall")

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sluice_{name}", text, labels, registry=registry)

        self._lag_s = 0.0
        started = time.time()
        connections, bus, feed, room = seen.connections, seen.bus, seen.feed, seen.room
        self._sources: dict[Gauge, Callable[[], float]] = {
            gauge("http_connections", "Open connections of devices and browsers."): seen.sockets,
            gauge("connections", "Open WebSocket connections."): lambda: len(connections.connections),
            gauge("subscriptions", "Subscriptions of WebSockets."): lambda: connections.subscriptions,
            gauge("sockets_waiting_bytes", "Bytes that wait for WebSockets."): lambda: connections.waiting_bytes,
            gauge("watched_devices", "Devices with subscribers of their readings."): lambda: len(connections.readings),
            gauge("evictions", "Connections closed as slow, since the start."): lambda: connections.evictions,
            gauge("bus_healthy", "Workers that hear their own heartbeat through Redis."): lambda: bus.healthy,
            gauge("bus_dropped", "Messages not sent through Redis, since the start."): lambda: bus.dropped,
            gauge("bus_reconnects", "Sessions with Redis that were lost, since the start."): lambda: bus.reconnects,
            gauge("bus_queue_bytes", "Bytes of messages that wait for Redis."): lambda: bus.queued_bytes,
            gauge("event_reads", "Reads of the event log, since the start."): lambda: feed.reads,
            gauge("series_cached", "Series in the cache."): lambda: len(seen.series),
            gauge("series_watched", "Series that some rule is about, in memory."): lambda: seen.engine.watched,
            gauge("intake_bytes", "Bodies on their way in, that are not decoded yet."): lambda: seen.intake.bytes,
            gauge("intake_bytes_limit", "Bytes that bodies on their way in may be at most."): lambda: room.intake_bytes,
            gauge("queue_rows_limit", "Rows that may wait at most."): lambda: room.queue_rows,
            gauge("queue_bytes_limit", "Bytes that may wait at most."): lambda: room.queue_bytes,
            gauge("lanes", "Flushes that may be in flight at most."): lambda: seen.lanes,
            gauge("evaluator_elected", "Workers that do what must be done once."): lambda: seen.evaluator.elected,
            **_remembered(registry),
            of_worker("started_seconds", "When this worker started, since the Unix epoch."): lambda: started,
            of_worker("resident_bytes", "Memory of this worker."): _resident_bytes,
            of_worker("cpu_seconds", "Processor time that this worker has used."): time.process_time,
            of_worker("lag_seconds", "What its event loop was late by, when it last looked."): lambda: self._lag_s,
        }
        self._totals: dict[Counter, Callable[[], Mapping[str, float]]] = {
            counter("readings_stepped", "Readings that a rule had to look at."): lambda: {"": seen.engine.stepped},
            counter(
                "flush_stage_seconds", "Seconds of flushes, by what they did: claim, copy, step, commit.", "stage"
            ): seen.writer.spent,
            counter("alert_events", "Alert events committed here, by type.", "event"): lambda: feed.made,
            counter("event_deliveries", "Alert events handed to the sockets, by the way they came.", "way"): (
                lambda: feed.delivered
            ),
            counter("connections_closed", "WebSockets closed by us, by code.", "code"): lambda: {
                str(code): count for code, count in connections.closed.items()
            },
            counter("evaluator_seconds", "Seconds of the jobs of the elected worker.", "task"): lambda: (
                seen.evaluator.spent
            ),
            counter("evaluator_failures", "Turns of those jobs that failed, as PostgreSQL was away.", "task"): lambda: (
                seen.evaluator.failures
            ),
        }
        self._told: dict[tuple[Counter, str], float] = {}
        text = "Connections to PostgreSQL, by what they are for, and whether they are at work."
        self._pools = seen.pools
        self._pooled = Gauge(
            "sluice_pool_connections", text, ["pool", "state"], registry=registry, multiprocess_mode="livesum"
        )

    async def run(self) -> None:
        """Copy for ever. Ends only by being cancelled."""
        while True:
            self.copy()
            due = time.monotonic() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self._lag_s = max(0.0, time.monotonic() - due)

    def copy(self) -> None:
        """Copy once."""
        for gauge, read in self._sources.items():
            gauge.set(read())
        for counter, total in self._totals.items():
            for label, value in total().items():
                self._count(counter, label, value)
        for name, pool in self._pools.items():
            idle = pool.get_idle_size()
            self._pooled.labels(name, "idle").set(idle)
            self._pooled.labels(name, "at_work").set(pool.get_size() - idle)

    def _count(self, counter: Counter, label: str, value: float) -> None:
        """Add what has come since the last time."""
        more = value - self._told.get((counter, label), 0.0)
        if more > 0:
            (counter.labels(label) if label else counter).inc(more)
            self._told[counter, label] = value


def _remembered(registry: CollectorRegistry) -> dict[Gauge, Callable[[], float]]:
    """What the decoders of foreign protocols remember of names."""

    def gauge(name: str, text: str) -> Gauge:
        return Gauge(f"sluice_names_{name}", text, ["format"], registry=registry, multiprocess_mode="livesum")

    held = gauge("bytes", "Memory of what names of foreign protocols became.")
    forgotten = gauge("forgotten", "How often an eighth of it had to make room for new names, since the start.")
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
