"""Routes of the read side: thin."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from query import answers, readings
from query.buckets import Grid, buckets
from query.desk import Admin, Cursor, Limit, Reader, admit, room_of
from query.devices import SeriesPlace, device_series, latest, list_devices
from query.export import Export
from query.fleet import Glance, glance
from query.lines import CSV, NDJSON
from query.negotiation import coding, preferred
from query.selection import select
from schemas.cursor import MAX_LIMIT, decode_cursor
from schemas.errors import Fault, Invalid
from schemas.names import name_fault
from schemas.queries import (
    AGGREGATES,
    FIRST,
    LAST,
    MAX_BUCKET_S,
    MAX_COURSES,
    MAX_FLEET,
    MAX_ITEMS,
    MAX_LATEST,
    Order,
    QueryMoment,
    Spark,
    parse_aggregates,
)
from schemas.times import to_micros

router = APIRouter(prefix="/v1", tags=["reading back"])

STREAMS = {layout.media_type: layout for layout in (CSV, NDJSON)}
MEDIA_TYPES = {"json": "application/json", "csv": CSV.media_type, "ndjson": NDJSON.media_type}
PAGE = 1_000  # readings of a page of which nobody said how long it shall be

Device = Annotated[str, Query(description="Its name.", examples=["pump-7"])]
Prefix = Annotated[str, Query(max_length=128, pattern=r"^[^\x00]*$", description="Of their names.")]
Metric = Annotated[str, Query(examples=["temperature"])]
Metrics = Annotated[list[str] | None, Query(max_length=MAX_LATEST, description="Of these metrics only.")]
Exact = Annotated[bool, Query(description="Whether the series has the labels that are given, and no others.")]
Layout = Annotated[
    Literal["json", "csv", "ndjson"] | None,
    Query(alias="format", description="Instead of `Accept`, which a link cannot say; what is no JSON comes as a file."),
]
FROM = Query(alias="from", description="The first moment that counts.")
TO = Query(alias="to", description="The first that does not.")


@router.get("/devices", responses=answers.DEVICES)
async def get_devices(
    request: Request,
    by: Reader,
    prefix: Prefix = "",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Devices by name, with when they were first and last heard of."""
    after = str(decode_cursor(cursor, str)) if cursor else None
    return await list_devices(room_of(request).reads, prefix, after, by.device_glob, limit)


@router.get("/fleet", responses=answers.FLEET, response_class=Response)
async def get_fleet(
    request: Request,
    by: Reader,
    prefix: Prefix = "",
    limit: Annotated[int, Query(ge=1, le=MAX_FLEET)] = 1_000,
    cursor: Cursor = None,
    values: Annotated[int, Query(alias="latest", ge=0, le=MAX_LATEST, description="Newest values of each.")] = 3,
    metric: Metrics = None,
    device: Annotated[list[str] | None, Query(max_length=MAX_COURSES, description="Of these devices only.")] = None,
    spark: Annotated[Spark | None, Query(description="With the course of each value, as a few means.")] = None,
) -> Response:
    """The fleet at a glance: devices by name, their newest values and, where asked, sparklines.

    One value a metric: of several label sets the one that was heard of last. Of sparklines an answer has 500 at most:
    ask for a page of devices at a time, or by `device`, once or more; one that does not exist is left out.
    """
    after = str(decode_cursor(cursor, str)) if cursor else None
    wanted = Glance(prefix, after, limit, values, _named(metric), spark, _named(device, "device"))
    return _json(await glance(room_of(request).reads, wanted, by.device_glob))


@router.get("/devices/{device:path}/latest", responses=answers.LATEST)
async def get_latest(
    request: Request, by: Reader, device: str, metric: Metrics = None, limit: Limit = MAX_LIMIT, cursor: Cursor = None
) -> dict[str, Any]:
    """The newest value of each metric, or of those that are named. A device of more than 10,000 series: 422.

    `limit` and `cursor` are for a device that is called `x/latest`, of which this is the path as well.
    """
    if not request.scope["raw_path"].endswith(b"/latest"):  # the slash is one of the name: the device `x/latest`
        return await get_device(request, by, f"{device}/latest", limit, cursor)
    admit(by, device)
    return await latest(room_of(request).reads, device, _named(metric))


@router.get("/devices/{device:path}", responses=answers.DEVICE)
async def get_device(
    request: Request, by: Reader, device: str, limit: Limit = MAX_LIMIT, cursor: Cursor = None
) -> dict[str, Any]:
    """The series of a device, by metric."""
    admit(by, device)
    behind = SeriesPlace.of(cursor) if cursor else None
    return await device_series(room_of(request).reads, device, behind, limit)


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
    exact: Exact = False,
    layout: Layout = None,
) -> Response:
    """Raw readings by time. `labels.<name>=<value>` chooses among several label sets.

    With `Accept: text/csv` or `application/x-ndjson` a stream of all of them, gzip or zstd where that is accepted.
    """
    admit(by, device)
    _forwards(since, until)
    behind = readings.Place.of(cursor) if cursor else None
    selection = select(device, metric, request.query_params.multi_items(), exact=exact)
    span = to_micros(since), to_micros(until)
    wanted = readings.Wanted(selection, *span, order is Order.DESC, behind, limit)
    reads = room_of(request).reads
    kind = MEDIA_TYPES[layout] if layout else preferred(request.headers.get("accept"), MEDIA_TYPES.values())
    if kind in STREAMS:
        encoding = coding(request.headers.get("accept-encoding"))
        return Export(reads, wanted, STREAMS[kind], encoding, f"{device} {metric}.{layout}" if layout else None)
    answer = _json(await readings.page(reads, wanted, limit or PAGE))
    answer.headers["Vary"] = "Accept"
    return answer


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
    exact: Exact = False,
) -> Response:
    """Aggregates by spans of time, which begin at multiples of `bucket_s` since 1970.

    Spans without readings are left out. `to` is now where it is not said. Several label sets are merged;
    `labels.<name>=<value>` chooses among them.
    """
    admit(by, device)
    until = until or datetime.now(UTC)
    _forwards(since, until)
    selection = select(device, metric, request.query_params.multi_items(), exact=exact)
    grid = Grid(to_micros(since), to_micros(until), bucket_s * 1_000_000)
    room = room_of(request)
    answer = await buckets(room.reads, room.source, selection, grid, parse_aggregates(agg))
    return _json(answer)


def _named(names: list[str] | None, what: str = "metric") -> list[str] | None:
    faults = [Fault(("query", what), "name", fault) for name in names or () if (fault := name_fault(name))]
    if faults:
        raise Invalid(faults)
    return names


def _forwards(since: datetime, until: datetime) -> None:
    if since > until:
        raise Invalid([Fault(("query", "from"), "span", "'from' is after 'to'")])


def _json(answer: bytes) -> Response:
    return Response(answer, media_type="application/json")
