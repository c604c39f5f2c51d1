"""The way of a foreign write through the app: what every door does between its socket and its answer."""

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ingest.body import read_body
from ingest.corridor import Corridor
from ingest.foreign.dialect import Answer
from ingest.foreign.door import Door, Head
from schemas.columns import Columns
from schemas.errors import Invalid, SluiceError, Unavailable
from schemas.keys import Principal

log = structlog.get_logger(__name__)


async def write_foreign(request: Request, principal: Principal, door: Door) -> Response:
    """Store what a request brings through this door. Raises what `Corridor.write` raises; nothing else is a defect
    before COMMIT but `Unavailable`."""
    corridor: Corridor = request.state.corridor
    columns, arrived_us = await receive(request, principal, door, partial=door.partial)
    receipt = await corridor.write(columns, principal, arrived_us, replace=False, partial=door.partial)
    told = corridor.with_left_out(receipt, columns, door)
    return respond(door.dialect.answer(told, request.headers.get("content-type", "")))


async def receive(request: Request, principal: Principal, door: Door, *, partial: bool) -> tuple[Columns, int]:
    """What was sent, and when it came. Raises Invalid where some of it is bad, unless `partial`; what the steps raise
    that every write takes; and for a defect Unavailable."""
    try:
        columns, arrived_us = await _received(request, principal, door)
    except (SluiceError, ClientDisconnect):
        raise
    except Exception as error:
        log.exception("a foreign body could not be read", format=door.format)
        raise Unavailable("a defect of ours, before anything was stored") from error
    if columns.rejected and not partial:
        raise Invalid(columns.rejected)
    return columns, arrived_us


async def _received(request: Request, principal: Principal, door: Door) -> tuple[Columns, int]:
    corridor: Corridor = request.state.corridor
    corridor.quota.take_request(principal)
    corridor.writer.admit()
    head = Head(request.scope["query_string"], request.headers.get("content-type", ""))
    decode = door.decoder(head)
    with corridor.intake.share() as share:
        body = await read_body(request, corridor.body_limits, share, door.encodings)
        arrived_us = corridor.clock_us()
        columns = corridor.decode_foreign(door, decode, body, principal, arrived_us)
    return columns, arrived_us


def respond(answer: Answer) -> Response:
    """The answer for the framework."""
    return Response(answer.body, answer.status, answer.headers)
