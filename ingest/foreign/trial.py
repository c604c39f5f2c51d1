"""``POST /v1/dry-run``: how a payload would be read, and by which mapping. Nothing is stored."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from ingest.api import Writer
from ingest.corridor import Corridor
from ingest.foreign.described import described
from ingest.foreign.passage import receive
from ingest.foreign.table import FORMATS
from schemas.columns import Columns
from schemas.errors import MAX_FAULTS, Fault, Invalid
from schemas.times import to_datetime, to_text

router = APIRouter()

SHOWN = 100
"""Readings in one answer; the rest are counted."""


@router.post(
    "/v1/dry-run",
    **described(
        "Try how a payload is read",
        {"text/plain": "cpu,cpu=cpu0,host=web-1 usage_idle=98.2 1767225600000000000", "*/*": None},
        status=200,
    ),
)
async def try_out(
    request: Request,
    principal: Writer,
    format: Annotated[str, Query(description=f"The protocol it is for: {', '.join(FORMATS)}.", examples=["influx"])],
) -> Response:
    """Read a payload of a foreign protocol and say what it would become. Further parameters are the protocol's own."""
    door = FORMATS.get(format)
    if door is None:
        raise Invalid([Fault(("query", "format"), "unknown_format", f"the formats are {', '.join(FORMATS)}")])
    columns, _ = await receive(request, principal, door, partial=True)
    corridor: Corridor = request.state.corridor
    document: dict[str, Any] = {
        "format": door.format,
        "mapping": door.describe(corridor.mappings[door.format], door.format),
        "readings": _shown(columns),
        "count": len(columns),
        "skipped": columns.skipped,
        "rejected": [fault.as_json() for fault in columns.rejected[:MAX_FAULTS]],
        "rejected_count": len(columns.rejected),
        "forbidden": sorted({key.device for key in columns.series if not principal.may_use(key.device)})[:SHOWN],
    }
    return JSONResponse(document)


def _shown(columns: Columns) -> list[dict[str, Any]]:
    shown = []
    rows = zip(columns.codes[:SHOWN].tolist(), columns.ts[:SHOWN].tolist(), columns.value[:SHOWN].tolist(), strict=True)
    for code, ts, value in rows:
        device, metric, labels = columns.series[code]
        named = {"device": device, "metric": metric, "labels": json.loads(labels)}
        shown.append(named | {"ts": to_text(to_datetime(ts)), "value": value})
    return shown
