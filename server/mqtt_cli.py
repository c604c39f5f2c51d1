"""`sluice mqtt`: runs a bridge until SIGTERM or SIGINT."""

import asyncio
import signal
import time

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from ingest.mqtt.bridge import Bridge, BridgeSettings
from ingest.mqtt.metrics import BridgeMetrics
from server.settings import Settings
from server.up import say


def bridge_settings(settings: Settings) -> BridgeSettings:
    """What a bridge needs to know. Raises ValueError, saying what to do."""
    if settings.mqtt_key is None:
        raise ValueError("SLUICE_MQTT_KEY is not set: `sluice key create mqtt --scope ingest` prints one")
    return BridgeSettings(
        broker=settings.broker(settings.max_body_bytes),
        server_url=settings.mqtt_server_url,
        key=settings.mqtt_key.get_secret_value(),
        mapping=settings.mapping("mqtt"),
        queue_bytes=settings.mqtt_queue_bytes,
        max_readings=settings.max_readings,
    )


async def run(settings: Settings) -> int:
    """Bridge until told to stop. Raises ValueError and OSError before anything begins."""
    wanted = bridge_settings(settings)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    bridge = Bridge(wanted, BridgeMetrics(registry), lambda: time.time_ns() // 1_000)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if settings.mqtt_metrics_port is not None:
        door, _ = start_http_server(settings.mqtt_metrics_port, settings.mqtt_metrics_host, registry)
        say(f"metrics  http://{settings.mqtt_metrics_host}:{door.server_port}/metrics")
    say(f"bridging {settings.mqtt_url} → {settings.mqtt_server_url}: {', '.join(wanted.broker.filters)}")
    await bridge.run(stop)
    return 0
