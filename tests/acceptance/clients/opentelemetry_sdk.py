"""The SDK of OpenTelemetry from PyPI, exporting by OTLP/HTTP: what it is told when it is wrong, then a stream.

Usage: URL KEY DEVICE.
"""

import logging
import os
import re
import sys

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from tests.acceptance.clients import enough, say

url, key, device = sys.argv[1:4]
NEVER_MS = 10**9
PATIENCE_S = 120
os.environ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] = f"{url}/v1/metrics"
os.environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = str(PATIENCE_S)
os.environ["OTEL_EXPORTER_OTLP_COMPRESSION"] = "gzip"


class Ear(logging.Handler):
    """Hears what the exporter logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        message = record.getMessage()
        if refused := re.search(r"batch code: (\d+)", message):
            say(refused=int(refused[1]))
        elif record.levelno >= logging.ERROR:
            say(lost=message)
        elif again := re.search(r"Transient error (.*) encountered.* retrying in (\d+)", message):
            say(again=again[1], after_s=int(again[2]))


logging.getLogger("opentelemetry.exporter.otlp.proto.http.metric_exporter").addHandler(Ear())


def provider(token: str) -> MeterProvider:
    """A provider that exports when it is told to, with gzip: set up by its environment, as the page of it says."""
    os.environ["OTEL_EXPORTER_OTLP_HEADERS"] = f"Authorization=Bearer%20{token}"
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), NEVER_MS, PATIENCE_S * 1_000)
    return MeterProvider([reader], Resource.create({"service.name": "plant"}), shutdown_on_exit=False)  # no last word


def refused(name: str, token: str) -> None:
    """Send something that is not taken."""
    made = provider(token)
    made.get_meter("m").create_gauge("bad").set(1.0, {"device": name})
    made.force_flush()


refused("x" * 129, key)
refused(device, "slk_wrong_key")
flow = provider(key)
meter = flow.get_meter("m")
stream, total = meter.create_gauge("stream"), meter.create_counter("total", unit="1")
wait = meter.create_histogram("wait", explicit_bucket_boundaries_advisory=[0.5, 10])
number, stop = 0, enough()
while not stop.wait(0.02):
    stream.set(float(number), {"device": device})
    total.add(2, {"device": device})
    wait.record(number, {"device": device})
    flow.force_flush(PATIENCE_S * 1_000)
    number += 1
say(done=number)
