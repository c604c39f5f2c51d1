"""``POST /v1/readings``: from the socket to the corridor that every protocol shares."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from ingest.body import check_json, read_body
from ingest.corridor import Corridor
from ingest.foreign import senml
from ingest.foreign.described import media
from ingest.foreign.dialect import SKIPPED
from ingest.foreign.passage import receive
from ingest.foreign.table import door_of_kind
from schemas.columns import Columns, PartReceipt, Receipt
from schemas.errors import MAX_FAULTS
from schemas.keys import Principal, Scope
from schemas.readings import EXAMPLES

router = APIRouter()


async def _writer(request: Request) -> Principal:
    corridor: Corridor = request.state.corridor
    return await corridor.authenticate(request, Scope.INGEST)


Writer = Annotated[Principal, Depends(_writer)]
"""Who may write."""


@router.post(
    "/v1/readings",
    tags=["readings"],
    summary="Store readings",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Body"}, "examples": EXAMPLES},
                **{kind: media(example) for kind, example in senml.DESCRIBED.items()},
            },
        }
    },
)
async def write_readings(
    request: Request,
    principal: Writer,
    partial: Annotated[bool, Query(description="Leave invalid readings out instead of refusing the batch.")] = False,
    on_conflict: Annotated[
        Literal["keep", "replace"], Query(description="Which value of an identity stays: the first, or the last.")
    ] = "keep",
) -> Response:
    """Store one batch, or an array of batches. The answer comes after COMMIT: what it counts is durable."""
    corridor: Corridor = request.state.corridor
    door = door_of_kind(request.headers.get("content-type", ""))
    if door is None:
        columns, arrived_us = await _receive(request, principal, partial=partial)
    else:
        columns, arrived_us = await receive(request, principal, door, partial=partial)
    replace = on_conflict == "replace"
    receipt = await corridor.write(columns, principal, arrived_us, replace=replace, partial=partial)
    corridor.metrics.rejected.inc(len(columns.rejected))
    if door is not None and columns.skipped:
        corridor.metrics.skipped.labels(door.format).inc(columns.skipped)
        receipt = PartReceipt(receipt.accepted, receipt.duplicates, columns.skipped)
    return _answer(receipt, columns, partial=partial)


async def _receive(request: Request, principal: Principal, *, partial: bool) -> tuple[Columns, int]:
    """What was sent in our own JSON, and when it came."""
    corridor: Corridor = request.state.corridor
    corridor.quota.take_request(principal)
    corridor.writer.admit()
    check_json(request)
    with corridor.intake.share() as share:
        body = await read_body(request, corridor.body_limits, share)
        arrived_us = corridor.clock_us()
        return corridor.decode(body, arrived_us, partial=partial), arrived_us


def _answer(receipt: Receipt, columns: Columns, *, partial: bool) -> Response:
    headers = {SKIPPED: str(columns.skipped)} if columns.skipped else {}
    if not partial:
        return Response(receipt.as_json(), headers=headers, media_type="application/json")
    document: dict[str, Any] = json.loads(receipt.as_json())
    document["rejected"] = [fault.as_json() for fault in columns.rejected[:MAX_FAULTS]]
    return JSONResponse(document | {"rejected_count": len(columns.rejected)}, headers=headers)
