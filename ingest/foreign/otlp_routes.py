"""OTLP's routes: metrics, and a plain answer for what exporters send besides."""

from fastapi import APIRouter, Request, Response

from ingest.api import Writer
from ingest.foreign import otlp
from ingest.foreign.described import described
from ingest.foreign.passage import write_foreign
from schemas.errors import NotFound

router = APIRouter()

_POINT = {"timeUnixNano": "1767225600000000000", "asDouble": 0.5}
_METRIC = {"name": "system.cpu.load_average.1m", "gauge": {"dataPoints": [_POINT]}}
_RESOURCE = {"attributes": [{"key": "service.instance.id", "value": {"stringValue": "web-1"}}]}
_EXPORT = {"resourceMetrics": [{"resource": _RESOURCE, "scopeMetrics": [{"metrics": [_METRIC]}]}]}


@router.post(
    "/v1/metrics",
    **described("OpenTelemetry: OTLP/HTTP metrics", {otlp.JSON: _EXPORT, otlp.PROTOBUF: None}, status=200),
)
async def write(request: Request, principal: Writer) -> Response:
    """An `ExportMetricsServiceRequest`. What is good of it is stored; `partialSuccess` says how much is not and why."""
    return await write_foreign(request, principal, otlp.WRITE)


@router.post("/v1/logs", include_in_schema=False)
@router.post("/v1/traces", include_in_schema=False)
async def refuse(_: Writer) -> Response:
    """Raises NotFound: exporters then drop what they have, and log why."""
    raise NotFound(otlp.ONLY_METRICS)
