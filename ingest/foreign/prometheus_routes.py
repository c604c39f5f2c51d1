"""Prometheus's route."""

from fastapi import APIRouter, Request, Response

from ingest.api import Writer
from ingest.foreign import prometheus
from ingest.foreign.passage import write_foreign

router = APIRouter(include_in_schema=False)


@router.post("/api/v1/write")
async def write(request: Request, principal: Writer) -> Response:
    """Remote write 1.0."""
    return await write_foreign(request, principal, prometheus.WRITE)
