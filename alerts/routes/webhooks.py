"""Routes of the webhooks: thin."""

from typing import Any, Literal

from fastapi import APIRouter, Request

from alerts.routes.desk import BigId, Cursor, Limit, UnboundAdmin, actor_of, desk_of, place
from alerts.routes.listing import list_deliveries, retry_delivery

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.get("/deliveries")
async def get_deliveries(
    request: Request,
    by: UnboundAdmin,
    state: Literal["waiting", "delivered", "dead", "superseded"] | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Deliveries, newest first."""
    return await list_deliveries(desk_of(request).pool, state, place(cursor), limit)


@router.post("/deliveries/{delivery_id}/retry")
async def retry(request: Request, by: UnboundAdmin, delivery_id: BigId) -> dict[str, Any]:
    """Bring back a delivery that was given up: it is next for its target."""
    return await retry_delivery(desk_of(request).pool, delivery_id, actor_of(request))


@router.get("/key")
async def get_key(request: Request, by: UnboundAdmin) -> dict[str, str]:
    """The key by which receivers verify `X-Sluice-Signature`; 404 where a setting names it."""
    return {"key": await desk_of(request).webhooks.made_key()}
