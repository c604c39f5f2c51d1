"""What the write path tells Prometheus: a number for each stage, so that an operator sees which of them is the knee.

A histogram's observation costs several microseconds, so what happens once a request is summed in plain attributes and
written down once a group.
"""

import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.store import Stage
from schemas.columns import Receipt
from schemas.errors import DatabaseAway, Defect, Unknown

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ROWS = (1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000)


class _Decoding:
    """What decoding one format came to since it was written down last."""

    __slots__ = ("bodies", "bytes", "seconds")

    def __init__(self) -> None:
        self.bodies = self.bytes = 0
        self.seconds = 0.0


class WriteMetrics:
    """Counters and histograms of the write path, once a process."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"sluice_{name}", text, registry=registry)

        def by_format(name: str, text: str) -> Counter:
            return Counter(f"sluice_{name}", text, ["format"], registry=registry)

        def histogram(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(f"sluice_{name}", text, buckets=buckets, registry=registry)

        self._accepted = counter("readings_accepted", "Readings newly stored.")
        self._duplicates = counter("readings_duplicate", "Readings that were stored before.")
        self.rejected = counter("readings_rejected", "Readings left out by ?partial.")
        self._batches = counter("batches_stored", "Batches answered with 200.")
        self.refused = Counter("sluice_requests_refused", "Requests refused.", ["status", "code"], registry=registry)
        for error in (Defect, DatabaseAway, Unknown):  # alerts ask for these: one that begins at 1 has not grown
            self.refused.labels(error.status, error.code)
        self._decoded = by_format("decoded", "Bodies decoded.")
        self._decoded_bytes = by_format("decoded_bytes", "Bytes of bodies decoded, after inflating.")
        self._decode_seconds = by_format("decode_seconds", "Seconds spent decoding bodies.")
        self.skipped = by_format("values_skipped", "Values of foreign protocols that are no readings: text, mostly.")
        self._wait = histogram("queue_seconds", "What the oldest batch of a group waited for its flush.", _SECONDS)
        self._flush = histogram("flush_seconds", "One flush, from arranging its group to COMMIT.", _SECONDS)
        self._stored = histogram(
            "stored_seconds", "What the oldest batch of a group took, from its arrival to COMMIT.", _SECONDS
        )
        self._failed = Counter(
            "sluice_flushes_failed", "Tries to store a group that failed, by stage.", ["stage"], registry=registry
        )
        self._group_rows = histogram("group_rows", "Rows of one group.", _ROWS)
        self._group_batches = histogram("group_batches", "Batches of one group.", _ROWS[:6])
        self._reclaims = counter("reclaims", "Groups run again, because somebody else had passed by the table newest.")
        self.hindered = Counter("sluice_batches_hindered", "Batches set aside.", ["code"], registry=registry)
        self._queue_rows, self._queue_bytes = (
            Gauge(f"sluice_queue_{what}", f"{what.title()} waiting.", registry=registry, multiprocess_mode="livesum")
            for what in ("rows", "bytes")
        )
        self._native = _Decoding()
        self._decoding = {"native": self._native}

    def waiting(self, rows: int, held: int) -> None:
        """So much waits for a flush."""
        self._queue_rows.set(rows)
        self._queue_bytes.set(held)

    def decoded(self, size: int, started: float) -> None:
        """A native body of so many bytes was decoded, since `started` of time.perf_counter."""
        native = self._native
        native.seconds += time.perf_counter() - started
        native.bodies += 1
        native.bytes += size

    def decoded_foreign(self, name: str, size: int, started: float) -> None:
        """A body in a foreign format was."""
        decoding = self._decoding.get(name)
        if decoding is None:
            decoding = self._decoding[name] = _Decoding()
        decoding.seconds += time.perf_counter() - started
        decoding.bodies += 1
        decoding.bytes += size

    def flushed(self, wait_s: float, flush_s: float, rows: int, receipts: Sequence[Receipt], reclaims: int) -> None:
        """A group was stored."""
        self._wait.observe(wait_s)
        self._flush.observe(flush_s)
        self._stored.observe(wait_s + flush_s)
        self._group_rows.observe(rows)
        self._group_batches.observe(len(receipts))
        self._batches.inc(len(receipts))
        self._accepted.inc(sum(receipt.accepted for receipt in receipts))
        duplicates = sum(receipt.duplicates for receipt in receipts)
        if duplicates:
            self._duplicates.inc(duplicates)
        if reclaims:
            self._reclaims.inc(reclaims)
        for name, decoding in self._decoding.items():
            if decoding.bodies:
                self._write_down(name, decoding)

    def flush_failed(self, stage: Stage) -> None:
        """A try to store a group failed."""
        self._failed.labels(stage.value).inc()

    def _write_down(self, name: str, decoding: _Decoding) -> None:
        self._decoded.labels(name).inc(decoding.bodies)
        self._decoded_bytes.labels(name).inc(decoding.bytes)
        self._decode_seconds.labels(name).inc(decoding.seconds)
        decoding.bodies = decoding.bytes = 0
        decoding.seconds = 0.0
