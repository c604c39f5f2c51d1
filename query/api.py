"""Routes of the read side: thin."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Query, Request

from query.devices import device_series, latest, list_devices
from schemas.cursor import MAX_LIMIT, decode_cursor
from schemas.errors import Forbidden, NotFound
from schemas.keys import Principal, Scope
from schemas.names import name_fault


@dataclass(frozen=True, slots=True)
class ReadingRoom:
    """What the routes of this room need."""

    authenticate: Callable[[Request, Scope], Awaitable[Principal]]
    pool: asyncpg.Pool


router = APIRouter(prefix="/v1", tags=["devices"])


def _room(request: Request) -> ReadingRoom:
    room: ReadingRoom = request.state.reading_room
    return room


@router.get("/devices")
async def get_devices(
    request: Request,
    prefix: Annotated[str, Query(max_length=128, pattern=r"^[^\x00]*$")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> dict[str, Any]:
    """Devices by name, with when they were first and last heard of."""
    principal = await _room(request).authenticate(request, Scope.READ)
    after = str(decode_cursor(cursor, str)) if cursor else None
    return await list_devices(_room(request).pool, prefix, after, principal.device_glob, limit)


@router.get("/devices/{device:path}/latest")
async def get_latest(request: Request, device: str) -> dict[str, Any]:
    """The newest value of each metric."""
    await _admit(request, device)
    return await latest(_room(request).pool, device)


@router.get("/devices/{device:path}")
async def get_device(request: Request, device: str) -> dict[str, Any]:
    """The series of a device."""
    await _admit(request, device)
    return await device_series(_room(request).pool, device)


async def _admit(request: Request, device: str) -> None:
    principal = await _room(request).authenticate(request, Scope.READ)
    if not principal.may_use(device):
        raise Forbidden("this key is bound to other devices")
    if name_fault(device):
        raise NotFound("no such device")
