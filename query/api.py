"""Routes of the read side: thin."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from query import answers, readings
from query.buckets import Grid, buckets
from query.desk import Admin, Cursor, Limit, Reader, admit, room_of
from query.devices import device_series, latest, list_devices
from query.export import Export
from query.lines import CSV, NDJSON
from query.negotiation import LEAST_BYTES, coding, compressed, preferred
from query.selection import select
from schemas.cursor import decode_cursor
from schemas.errors import Fault, Invalid
from schemas.queries import AGGREGATES, FIRST, LAST, MAX_BUCKET_S, MAX_ITEMS, Order, QueryMoment, parse_aggregates
from schemas.times import to_micros

router = APIRouter(prefix="/v1", tags=["reading back"])

STREAMS = {layout.media_type: layout for layout in (CSV, NDJSON)}
PAGE = 1_000  # readings of a page of which nobody said how long it shall be

Device = Annotated[str, Query(description="Its name.", examples=["pump-7"])]
Metric = Annotated[str, Query(examples=["temperature"])]
FROM = Query(alias="from", description="The first moment that counts.")
TO = Query(alias="to", description="The first that does not.")


@router.get("/devices", responses=answers.DEVICES)
async def get_devices(
    request: Request,
    by: Reader,
    prefix: Annotated[str, Query(max_length=128, pattern=r"^[^\x00]*$")] = "",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Devices by name, with when they were first and last heard of."""
    after = str(decode_cursor(cursor, str)) if cursor else None
    return await list_devices(room_of(request).reads, prefix, after, by.device_glob, limit)


@router.get("/devices/{device:path}/latest", responses=answers.LATEST)
async def get_latest(request: Request, by: Reader, device: str) -> dict[str, Any]:
    """The newest value of each metric."""
    if not request.scope["raw_path"].endswith(b"/latest"):  # the slash is one of the name: the device `x/latest`
        return await get_device(request, by, f"{device}/latest")
    admit(by, device)
    return await latest(room_of(request).reads, device)


@router.get("/devices/{device:path}", responses=answers.DEVICE)
async def get_device(request: Request, by: Reader, device: str) -> dict[str, Any]:
    """The series of a device."""
    admit(by, device)
    return await device_series(room_of(request).reads, device)


@router.delete("/devices/{device:path}", status_code=204)
async def delete_device(request: Request, by: Admin, device: str) -> Response:
    """Delete a device, its series and its readings; its alerts end. What it sends from now on is of a new device."""
    admit(by, device)
    await room_of(request).deletion.delete(device, request.state.actor)
    return Response(status_code=204)


@router.get("/readings", responses=answers.READINGS, response_class=Response)
async def get_readings(
    request: Request,
    by: Reader,
    device: Device,
    metric: Metric,
    since: Annotated[QueryMoment, FROM] = FIRST,
    until: Annotated[QueryMoment, TO] = LAST,
    order: Order = Order.ASC,
    limit: Annotated[int | None, Query(ge=1, le=MAX_ITEMS, description="1,000 for JSON, none for streams.")] = None,
    cursor: Cursor = None,
) -> Response:
    """Raw readings by time. `labels.<name>=<value>` chooses among several label sets.

    With `Accept: text/csv` or `application/x-ndjson` a stream of all of them, gzip or zstd where that is accepted.
    """
    admit(by, device)
    _forwards(since, until)
    behind = readings.Place.of(cursor) if cursor else None
    selection = select(device, metric, request.query_params.multi_items())
    span = to_micros(since), to_micros(until)
    wanted = readings.Wanted(selection, *span, order is Order.DESC, behind, limit)
    reads, accepted = room_of(request).reads, coding(request.headers.get("accept-encoding"))
    kind = preferred(request.headers.get("accept"), ("application/json", *STREAMS))
    if kind in STREAMS:
        return Export(reads, wanted, STREAMS[kind], accepted)
    return _json(await readings.page(reads, wanted, limit or PAGE), accepted)


@router.get("/series", responses=answers.BUCKETS, response_class=Response)
async def get_series(
    request: Request,
    by: Reader,
    device: Device,
    metric: Metric,
    since: Annotated[QueryMoment, FROM],
    until: Annotated[QueryMoment | None, TO] = None,
    bucket_s: Annotated[int, Query(ge=1, le=MAX_BUCKET_S)] = 60,
    agg: Annotated[str, Query(pattern=AGGREGATES, max_length=128)] = "avg,min,max,count",
) -> Response:
    """Aggregates by spans of time, which begin at multiples of `bucket_s` since 1970.

    Spans without readings are left out. `to` is now where it is not said. Several label sets are merged;
    `labels.<name>=<value>` chooses among them.
    """
    admit(by, device)
    until = until or datetime.now(UTC)
    _forwards(since, until)
    selection = select(device, metric, request.query_params.multi_items())
    grid = Grid(to_micros(since), to_micros(until), bucket_s * 1_000_000)
    room = room_of(request)
    answer = await buckets(room.reads, room.source, selection, grid, parse_aggregates(agg))
    return _json(answer, coding(request.headers.get("accept-encoding")))


def _forwards(since: datetime, until: datetime) -> None:
    if since > until:
        raise Invalid([Fault(("query", "from"), "span", "'from' is after 'to'")])


def _json(answer: bytes, accepted: str | None) -> Response:
    headers = {"Vary": "Accept, Accept-Encoding"}
    if accepted and len(answer) >= LEAST_BYTES:
        headers["Content-Encoding"], answer = accepted, compressed(accepted, answer)
    return Response(answer, 200, headers, "application/json")
