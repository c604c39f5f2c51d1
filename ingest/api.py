"""``POST /v1/readings``: from the socket to the corridor that every protocol shares."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from ingest.body import check_json, read_body
from ingest.corridor import Corridor
from schemas.columns import Columns, Receipt
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
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}, "examples": EXAMPLES}},
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
    corridor.quota.take_request(principal)
    corridor.writer.admit()
    check_json(request)
    with corridor.intake.share() as share:
        body = await read_body(request, corridor.body_limits, share)
        arrived_us = corridor.clock_us()
        columns = corridor.decode(body, arrived_us, partial=partial)
    del body  # or it would wait for COMMIT, beyond its share
    replace = on_conflict == "replace"
    receipt = await corridor.write(columns, principal, arrived_us, replace=replace, partial=partial)
    corridor.metrics.rejected.inc(len(columns.rejected))
    return _answer(receipt, columns, partial=partial)


def _answer(receipt: Receipt, columns: Columns, *, partial: bool) -> Response:
    if not partial:
        return Response(receipt.as_json(), media_type="application/json")
    rejected = [fault.as_json() for fault in columns.rejected[:MAX_FAULTS]]
    document: dict[str, Any] = {"accepted": receipt.accepted, "duplicates": receipt.duplicates, "rejected": rejected}
    return JSONResponse(document | {"rejected_count": len(columns.rejected)})
