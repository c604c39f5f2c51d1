"""Routes of the keys: thin."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response

from schemas.audit import Actor
from schemas.errors import Forbidden, NotFound
from schemas.keys import Key, KeyRequest, NewKey, Principal, Scope
from server.auth import Gate
from server.keys import KeyRing


@dataclass(frozen=True, slots=True)
class KeyDesk:
    """What the routes of the keys need."""

    gate: Gate
    ring: KeyRing


router = APIRouter(prefix="/v1/keys", tags=["keys"])


def _ring(request: Request) -> KeyRing:
    desk: KeyDesk = request.state.keys
    return desk.ring


async def _keeper(request: Request) -> Principal:
    desk: KeyDesk = request.state.keys
    principal = await desk.gate(request, Scope.ADMIN)
    if principal.device_glob is not None:
        raise Forbidden("a key bound to devices cannot manage keys")
    return principal


Keeper = Annotated[Principal, Depends(_keeper)]


def _actor(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


@router.post("", status_code=201)
async def create_key(request: Request, _: Keeper, wanted: KeyRequest) -> NewKey:
    """Make a key. It is shown this once."""
    return await _ring(request).create(wanted, _actor(request))


@router.get("")
async def get_keys(request: Request, _: Keeper) -> dict[Literal["items"], list[Key]]:
    """All keys, without their secrets."""
    return {"items": await _ring(request).all()}


@router.delete("/{key_id}", status_code=204)
async def revoke_key(
    request: Request, _: Keeper, key_id: Annotated[str, Path(max_length=64, pattern="^[a-z0-9]+$")]
) -> Response:
    """Revoke a key; it stops working within ten seconds, everywhere."""
    if not await _ring(request).revoke(key_id, _actor(request)):
        raise NotFound("no such key")
    return Response(status_code=204)
