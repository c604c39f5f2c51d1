"""What the routes of this room share: their parts, and who may use them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Path, Query, Request

from alerts.acknowledge import Acknowledge
from alerts.rulebook import RuleBook
from alerts.silences import Silences
from alerts.webhooks.webhooks import Webhooks
from schemas.audit import Actor
from schemas.cursor import MAX_LIMIT, decode_cursor
from schemas.errors import Forbidden
from schemas.keys import Principal, Scope

MAX_INT = 2**31 - 1
MAX_BIGINT = 2**63 - 1

Id = Annotated[int, Path(ge=1, le=MAX_INT)]
BigId = Annotated[int, Path(ge=1, le=MAX_BIGINT)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, Query(max_length=64)]


@dataclass(frozen=True, slots=True)
class AlertsDesk:
    """What the routes of this room need."""

    authenticate: Callable[[Request, Scope], Awaitable[Principal]]
    rulebook: RuleBook
    pool: asyncpg.Pool
    acknowledge: Acknowledge
    silences: Silences
    webhooks: Webhooks


def desk_of(request: Request) -> AlertsDesk:
    """The parts."""
    desk: AlertsDesk = request.state.alerts
    return desk


def actor_of(request: Request) -> Actor:
    """Who acts, for the audit log: known once the key was judged."""
    actor: Actor = request.state.actor
    return actor


async def unbound(request: Request, scope: Scope) -> Principal:
    """Who asks, if that is a key bound to no devices: rules, silences and webhooks are about all of them."""
    principal = await desk_of(request).authenticate(request, scope)
    if principal.device_glob is not None:
        raise Forbidden("a key bound to devices has no part in this")
    return principal


async def _reader(request: Request) -> Principal:
    return await desk_of(request).authenticate(request, Scope.READ)


async def _admin(request: Request) -> Principal:
    return await desk_of(request).authenticate(request, Scope.ADMIN)


async def _unbound_admin(request: Request) -> Principal:
    return await unbound(request, Scope.ADMIN)


async def _unbound_reader(request: Request) -> Principal:
    return await unbound(request, Scope.READ)


# Dependencies, so that a key is judged before anything else about a request.
Reader = Annotated[Principal, Depends(_reader)]
Admin = Annotated[Principal, Depends(_admin)]
UnboundAdmin = Annotated[Principal, Depends(_unbound_admin)]
UnboundReader = Annotated[Principal, Depends(_unbound_reader)]


def place(cursor: str | None) -> int | None:
    """The id at which a page begins. Raises Invalid for a cursor that we did not make."""
    return int(decode_cursor(cursor, int)) if cursor else None
