"""OTLP's routes: metrics, and a plain answer for what exporters send besides."""

from fastapi import APIRouter, Request, Response

from ingest.api import Writer
from ingest.foreign import otlp
from ingest.foreign.passage import write_foreign
from schemas.errors import NotFound

router = APIRouter(include_in_schema=False)


@router.post("/v1/metrics")
async def write(request: Request, principal: Writer) -> Response:
    """An ExportMetricsServiceRequest."""
    return await write_foreign(request, principal, otlp.WRITE)


@router.post("/v1/logs")
@router.post("/v1/traces")
async def refuse(_: Writer) -> Response:
    """Raises NotFound: exporters then drop what they have, and log why."""
    raise NotFound(otlp.ONLY_METRICS)
