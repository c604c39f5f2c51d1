"""Routes of the alerts and the event log: thin."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from alerts.routes.desk import MAX_INT, Admin, BigId, Cursor, Limit, Reader, actor_of, desk_of, place
from alerts.routes.listing import AlertFilter, list_alerts, list_events
from schemas.conditions import Severity
from schemas.silences import AckRequest

router = APIRouter(tags=["alerts"])


@router.get("/alerts")
async def get_alerts(
    request: Request,
    by: Reader,
    state: Literal["firing", "resolved"] | None = None,
    severity: Severity | None = None,
    device: Annotated[str | None, Query(max_length=128, pattern=r"^[^\x00]*$")] = None,
    rule: Annotated[int | None, Query(ge=1, le=MAX_INT)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Alerts, newest first; `silenced` says of one that fires whether a silence in force covers it."""
    wanted = AlertFilter(state, severity, device, rule, place(cursor))
    return await list_alerts(desk_of(request).pool, wanted, by.device_glob, limit)


@router.get("/alerts/events")
async def get_events(
    request: Request, by: Reader, after: Annotated[int, Query(ge=0, le=2**62)] = 0, limit: Limit = 100
) -> dict[str, Any]:
    """The event log after an offset, oldest first: what `/ws` carries, as it is recorded."""
    return await list_events(desk_of(request).pool, after, by.device_glob, limit)


@router.post("/alerts/{alert_id}/ack")
async def acknowledge_alert(
    request: Request, by: Admin, alert_id: BigId, ack: AckRequest | None = None
) -> dict[str, Any]:
    """Say that somebody looks at an alert that fires. Once more changes nothing."""
    return await desk_of(request).acknowledge(alert_id, ack.comment if ack else "", by, actor_of(request))
