"""What `sluice mqtt` counts. It has no door of its own: `SLUICE_MQTT_METRICS_PORT` opens one for these."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REASONS = {
    "no_template", "malformed", "too_large", "device_missing", "device_mismatch", "name_invalid", "value_invalid",
    "label_invalid", "tag_repeated", "too_many_labels", "ts_invalid", "ts_unit", "ts_zone", "ts_in_future",
    "ts_too_old", "forbidden", "cardinality", "storage", "retained", "topic",
}  # fmt: skip
OTHER = "other"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)  # seconds


class BridgeMetrics:
    """Counters of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"sluice_mqtt_{name}", what, labels, registry=registry)

        def gauge(name: str, what: str) -> Gauge:
            return Gauge(f"sluice_mqtt_{name}", what, registry=registry)

        self.received = counter("messages_received", "Messages from the broker, by their quality of service.", "qos")
        self.redelivered = counter("messages_redelivered", "Of these, again before they were settled.")
        self.acknowledged = counter("messages_acknowledged", "Told to the broker that they are settled.")
        self.refused = counter("messages_refused", "Of which nothing is stored, by reason.", "reason")
        self.dropped = counter("messages_dropped", "Of quality 0, for lack of room.")
        self.rejected = counter("readings_refused", "Left out of messages that are stored, by reason.", "reason")
        self.stored = counter("readings_stored", "New readings.")
        self.duplicates = counter("readings_duplicate", "Readings that were stored already.")
        self.skipped = counter("values_skipped", "Values that are no readings: text, null.")
        self.pauses = counter("pauses", "Nothing was read any more, as too much is held.")
        self.decoding = counter("decode_seconds", "Spent reading messages.")
        self.connects = counter("connects", "Connections to the broker that were made.")
        self.posts = counter("posts", "Answers of the server, by what they mean.", "verdict")
        self.connected = gauge("connected", "Whether there is a connection to the broker.")
        self.held = gauge("held_messages", "Received and not yet settled.")
        self.held_bytes = gauge("held_bytes", "What these take.")
        self.lag = gauge("lag_seconds", "How long the oldest of these has been here.")
        self.took = Histogram(
            "sluice_mqtt_settle_seconds", "From receipt to acknowledgement.", buckets=BUCKETS, registry=registry
        )


def reason(code: str) -> str:
    """A reason of those that are counted apart."""
    return code if code in REASONS else OTHER
