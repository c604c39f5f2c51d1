"""A bridge from MQTT without a connection, messages as its client hands them over, and its counters."""

from typing import Any

from paho.mqtt.client import MQTTMessage
from prometheus_client import CollectorRegistry

from ingest.formats.mapping import Mapping
from ingest.mqtt.bridge import Bridge, BridgeSettings
from ingest.mqtt.broker_settings import BrokerSettings
from ingest.mqtt.metrics import BridgeMetrics


def count(metric: Any, **labels: str) -> float:
    """A counter as it stands."""
    return float((metric.labels(**labels) if labels else metric)._value.get())


def bridge(most: int, queue_bytes: int = 10**6) -> tuple[Bridge, BridgeMetrics]:
    """A bridge without a connection."""
    broker = BrokerSettings("x", 1, "x", None, None, None, True, most, 0, 30, 10**6, [])
    metrics = BridgeMetrics(CollectorRegistry())
    return Bridge(BridgeSettings(broker, "http://x", "slk_x", Mapping(), queue_bytes, 10), metrics, lambda: 5), metrics


def message(topic: bytes, payload: bytes = b"1", qos: int = 1, **more: Any) -> MQTTMessage:
    """As paho hands it over."""
    made = MQTTMessage(mid=7, topic=topic)
    made.payload, made.qos = payload, qos
    for name, value in more.items():
        setattr(made, name, value)
    return made
