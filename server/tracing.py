"""OpenTelemetry: spans of requests whose senders asked for it (`traceparent`), of their groups, of what follows.

An extra: `pip install sluice[tracing]`, `SLUICE_TRACING=true`; whither and how often say the standard variables
(`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER` …). A request without `traceparent` takes the express door as
ever, and costs nothing. Spans are sent by a thread, from a queue with a bound: what does not fit is dropped, and nobody
waits for it.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

SAMPLER = "OTEL_TRACES_SAMPLER"
NS = 1_000_000_000


class OpenTelemetry:
    """Implements `Traces`, and the spans of requests."""

    def __init__(self, version: str) -> None:
        resource = Resource.create(
            {SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "sluice"), SERVICE_VERSION: version}
        )
        # By the parent, and nothing else, unless the environment says otherwise.
        sampler = None if SAMPLER in os.environ else ParentBased(ALWAYS_OFF)
        self._provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("sluice", version)
        self._read = TraceContextTextMapPropagator()

    def close(self) -> None:
        """Send what waits; takes as long as the exporter's timeout where nobody listens."""
        self._provider.shutdown()

    @contextmanager
    def request(self, scope: Scope) -> Iterator[Span]:
        """The span of a request, by its head."""
        head = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        parent = self._read.extract(head)
        with self._tracer.start_as_current_span(scope["method"], parent, SpanKind.SERVER) as span:
            if span.is_recording():
                trace_id = trace.format_trace_id(span.get_span_context().trace_id)
                with structlog.contextvars.bound_contextvars(trace_id=trace_id):
                    yield span
            else:
                yield span

    @staticmethod
    def answered(span: Span, route: str, status: int, request_id: str) -> None:
        """What became of a request."""
        span.update_name(route)
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("sluice.request_id", request_id)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))

    def current(self) -> object | None:
        """See `Traces`."""
        span = trace.get_current_span()
        return span if span.is_recording() else None

    @contextmanager
    def group(self, requests: Sequence[object], rows: int) -> Iterator[None]:
        """See `Traces`."""
        spans = cast(Sequence[Span], requests)
        links = [Link(span.get_span_context()) for span in spans]
        facts = {"sluice.rows": rows, "sluice.traced_batches": len(spans)}
        parent = trace.set_span_in_context(spans[0])
        with self._tracer.start_as_current_span("group", parent, SpanKind.INTERNAL, facts, links):
            yield

    def stages(self, seconds: Mapping[str, float]) -> None:
        """See `Traces`."""
        at = time.time_ns() - int(sum(seconds.values()) * NS)
        for name, took in seconds.items():
            began, at = at, at + int(took * NS)
            self._tracer.start_span(name, start_time=began).end(at)

    @contextmanager
    def span(self, name: str, **facts: Any) -> Iterator[None]:
        """See `Traces`."""
        if self.current() is None:
            yield
            return
        with self._tracer.start_as_current_span(
            name, attributes={f"sluice.{key}": value for key, value in facts.items()}
        ):
            yield
