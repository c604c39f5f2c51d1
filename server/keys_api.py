"""Routes of the keys: thin."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response

from schemas.audit import Actor
from schemas.errors import Forbidden, NotFound
from schemas.keys import Key, KeyRequest, NewKey, Scope
from server.auth import Gate
from server.keys import KeyRing


@dataclass(frozen=True, slots=True)
class KeyDesk:
    """What the routes of the keys need."""

    gate: Gate
    ring: KeyRing


router = APIRouter(prefix="/v1/keys", tags=["keys"])


async def _ring(request: Request) -> KeyRing:
    desk: KeyDesk = request.state.keys
    principal = await desk.gate(request, Scope.ADMIN)
    if principal.device_glob is not None:
        raise Forbidden("a key bound to devices cannot manage keys")
    return desk.ring


def _actor(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


@router.post("", status_code=201)
async def create_key(request: Request, ring: Annotated[KeyRing, Depends(_ring)], wanted: KeyRequest) -> NewKey:
    """Make a key. It is shown this once."""
    return await ring.create(wanted, _actor(request))


@router.get("")
async def get_keys(request: Request) -> dict[Literal["items"], list[Key]]:
    """All keys, without their secrets."""
    return {"items": await (await _ring(request)).all()}


@router.delete("/{key_id}", status_code=204)
async def revoke_key(request: Request, key_id: Annotated[str, Path(max_length=64, pattern="^[a-z0-9]+$")]) -> Response:
    """Revoke a key; it stops working within ten seconds, everywhere."""
    ring = await _ring(request)
    if not await ring.revoke(key_id, _actor(request)):
        raise NotFound("no such key")
    return Response(status_code=204)
