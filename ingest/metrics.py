"""What the write path tells Prometheus: one number per stage, so that an operator sees which of them is the knee."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ROWS = (1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000)


class WriteMetrics:
    """Counters and histograms of the write path, once a process."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self.accepted = Counter("sluice_readings_accepted", "Readings newly stored.", registry=registry)
        self.duplicates = Counter("sluice_readings_duplicate", "Readings that were stored before.", registry=registry)
        self.rejected = Counter("sluice_readings_rejected", "Readings left out by ?partial.", registry=registry)
        self.requests = Counter("sluice_write_requests", "Write requests by answer.", ["status"], registry=registry)
        self.request_bytes = Counter("sluice_write_bytes", "Bytes of bodies after inflating.", registry=registry)
        self.decode = Histogram("sluice_decode_seconds", "Decoding a body.", buckets=_SECONDS, registry=registry)
        self.wait = Histogram(
            "sluice_queue_seconds", "The oldest batch of a group waited.", buckets=_SECONDS, registry=registry
        )
        self.flush = Histogram(
            "sluice_flush_seconds", "One group, from BEGIN to COMMIT.", buckets=_SECONDS, registry=registry
        )
        self.group_rows = Histogram("sluice_group_rows", "Rows of one group.", buckets=_ROWS, registry=registry)
        self.group_batches = Histogram(
            "sluice_group_batches", "Batches of one group.", buckets=_ROWS[:6], registry=registry
        )
        self.copy_retries = Counter("sluice_copy_retries", "COPYs run again staged.", registry=registry)
        self.queue_rows = Gauge("sluice_queue_rows", "Rows waiting.", registry=registry, multiprocess_mode="livesum")
