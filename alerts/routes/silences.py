"""Routes of the silences: thin."""

from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from alerts.routes.desk import Cursor, Id, Limit, UnboundAdmin, UnboundReader, actor_of, desk_of, place
from alerts.routes.listing import list_silences
from schemas.silences import SilenceRequest

router = APIRouter(tags=["silences"])


@router.post("/silences", status_code=201)
async def create_silence(request: Request, by: UnboundAdmin, silence: SilenceRequest) -> dict[str, Any]:
    """Hold the webhooks of what it covers until it ends. Nothing else changes."""
    return await desk_of(request).silences.create(silence, by.name, actor_of(request))


@router.get("/silences")
async def get_silences(
    request: Request,
    by: UnboundReader,
    state: Literal["active", "ended"] | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Silences, newest first."""
    return await list_silences(desk_of(request).pool, state, place(cursor), limit)


@router.delete("/silences/{silence_id}", status_code=204)
async def end_silence(request: Request, by: UnboundAdmin, silence_id: Id) -> Response:
    """End a silence now."""
    await desk_of(request).silences.end(silence_id, actor_of(request))
    return Response(status_code=204)
