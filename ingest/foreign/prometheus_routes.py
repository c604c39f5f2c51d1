"""Prometheus's route."""

from fastapi import APIRouter, Request, Response

from ingest.api import Writer
from ingest.foreign import prometheus
from ingest.foreign.described import described
from ingest.foreign.passage import write_foreign

router = APIRouter()


@router.post("/api/v1/write", **described("Prometheus: remote write 1.0", {prometheus.MEDIA_TYPE: None}))
async def write(request: Request, principal: Writer) -> Response:
    """A `prometheus.WriteRequest`, in snappy or zstd. Of a request the good samples are stored, and 400 says what was
    wrong with the first bad one; histograms, and values that are not finite, are skipped (`X-Sluice-Skipped`)."""
    return await write_foreign(request, principal, prometheus.WRITE)
