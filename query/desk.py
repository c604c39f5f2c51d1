"""What the routes of this room share: their parts, who may use them, and how a question is put."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request

from query.buckets import Source
from query.deletion import Deletion
from query.reads import Reads
from schemas.cursor import MAX_LIMIT
from schemas.errors import Forbidden, NotFound
from schemas.keys import Principal, Scope
from schemas.names import name_fault


@dataclass(frozen=True, slots=True)
class ReadingRoom:
    """What the routes of this room need."""

    authenticate: Callable[[Request, Scope], Awaitable[Principal]]
    reads: Reads
    source: Source
    deletion: Deletion


def room_of(request: Request) -> ReadingRoom:
    """The parts."""
    room: ReadingRoom = request.state.reading_room
    return room


async def _reader(request: Request) -> Principal:
    return await room_of(request).authenticate(request, Scope.READ)


async def _admin(request: Request) -> Principal:
    return await room_of(request).authenticate(request, Scope.ADMIN)


# Dependencies, so that a key is judged before what it asks for.
Reader = Annotated[Principal, Depends(_reader)]
Admin = Annotated[Principal, Depends(_admin)]

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, Query(max_length=1024, description="`next` of the page before.")]


def admit(principal: Principal, device: str) -> None:
    """Raises Forbidden where the key is bound to other devices, known or not; NotFound for what is no name."""
    if not principal.may_use(device):
        raise Forbidden("this key is bound to other devices")
    if name_fault(device):
        raise NotFound("no such device")
