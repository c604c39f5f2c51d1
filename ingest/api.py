"""``POST /v1/readings``: from the socket to the corridor that every protocol shares."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from ingest import trouble
from ingest.body import BodyLimits, read_body
from ingest.formats import native
from ingest.formats.times import Bounds
from ingest.group import Batch
from ingest.metrics import WriteMetrics
from ingest.quota import Quota
from ingest.registry import Registry
from ingest.series import SeriesTable
from ingest.writer import Writer
from schemas.columns import Columns, Int32s, Receipt
from schemas.errors import MAX_FAULTS, Forbidden
from schemas.keys import Principal, Scope
from schemas.readings import EXAMPLES

AHEAD_US = 600_000_000  # a reading may be ten minutes ahead of the server's clock

Authenticate = Callable[[Request, Scope], Awaitable[Principal]]


@dataclass(frozen=True, slots=True)
class Corridor:
    """What every write goes through, whatever protocol it came by."""

    authenticate: Authenticate
    quota: Quota
    body_limits: BodyLimits
    max_readings: int
    retention_us: int
    """How far back a reading may lie, microseconds."""
    series: SeriesTable
    writer: Writer
    registry: Registry
    metrics: WriteMetrics
    clock_us: Callable[[], int]
    """Now, in microseconds since the Unix epoch."""

    def bounds(self, now_us: int) -> Bounds:
        """What a request that arrives now may hold."""
        return Bounds(now_us - self.retention_us, now_us + AHEAD_US, self.max_readings)

    async def write(self, columns: Columns, principal: Principal, arrived_us: int, *, replace: bool) -> Receipt:
        """Check the devices against the key, find the series, and hand over to the writer."""
        devices = {key.device for key in columns.series}
        if not all(map(principal.may_use, devices)):
            raise Forbidden("this key is bound to other devices")
        self.quota.take_readings(principal.key_id, len(columns))
        if not len(columns):
            return Receipt(0, 0)
        ids = await self._resolve(columns)
        batch = Batch(ids[columns.codes], columns.ts, columns.value, arrived_us, replace)
        receipt = await self.writer.write(batch)
        for device in devices:
            self.registry.heard(device, arrived_us)
        return receipt

    async def _resolve(self, columns: Columns) -> Int32s:
        try:
            return await self.series.resolve(columns.series)
        except trouble.AWAY as error:
            raise trouble.before_commit(error) from error


router = APIRouter()


@router.post(
    "/v1/readings",
    tags=["readings"],
    summary="Store readings",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}, "examples": EXAMPLES}},
        }
    },
)
async def write_readings(
    request: Request,
    partial: Annotated[bool, Query(description="Leave invalid readings out instead of refusing the batch.")] = False,
    on_conflict: Annotated[
        Literal["keep", "replace"], Query(description="Which value of an identity stays: the first, or the last.")
    ] = "keep",
) -> Response:
    """Store one batch, or an array of batches. The answer comes after COMMIT: what it counts is durable."""
    corridor: Corridor = request.state.corridor
    principal = await corridor.authenticate(request, Scope.INGEST)
    corridor.quota.take_request(principal.key_id)
    corridor.writer.admit()
    body = await read_body(request, corridor.body_limits)
    arrived_us = corridor.clock_us()
    started = time.perf_counter()
    columns = native.decode(body, corridor.bounds(arrived_us), partial=partial)
    corridor.metrics.decode.observe(time.perf_counter() - started)
    corridor.metrics.request_bytes.inc(len(body))
    receipt = await corridor.write(columns, principal, arrived_us, replace=on_conflict == "replace")
    corridor.metrics.rejected.inc(len(columns.rejected))
    return _answer(receipt, columns, partial=partial)


def _answer(receipt: Receipt, columns: Columns, *, partial: bool) -> Response:
    if not partial:
        content = b'{"accepted":%d,"duplicates":%d}' % (receipt.accepted, receipt.duplicates)
        return Response(content, media_type="application/json")
    rejected = [fault.as_json() for fault in columns.rejected[:MAX_FAULTS]]
    document: dict[str, Any] = {"accepted": receipt.accepted, "duplicates": receipt.duplicates, "rejected": rejected}
    return JSONResponse(document | {"rejected_count": len(columns.rejected)})
