"""The route of the audit log: thin."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from schemas.audit import Entry
from schemas.cursor import MAX_LIMIT, decode_cursor
from schemas.errors import Forbidden
from schemas.keys import Principal, Scope
from server.audit import AuditTrail
from server.auth import Gate


@dataclass(frozen=True, slots=True)
class AuditDesk:
    """What the route needs."""

    gate: Gate
    trail: AuditTrail


class AuditPage(BaseModel):
    """Some acts, newest first."""

    items: list[Entry]
    next: str | None


router = APIRouter(prefix="/v1/audit", tags=["operation"])


async def _reader(request: Request) -> Principal:
    desk: AuditDesk = request.state.audit
    principal = await desk.gate(request, Scope.ADMIN)
    if principal.device_glob is not None:
        raise Forbidden("a key bound to devices cannot read the audit log")
    return principal


@router.get("")
async def get_audit(
    request: Request,
    _: Annotated[Principal, Depends(_reader)],
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> AuditPage:
    """Administrative acts, newest first: who, when, from where, what, on what."""
    desk: AuditDesk = request.state.audit
    entries, following = await desk.trail.page(int(decode_cursor(cursor, int)) if cursor else None, limit)
    return AuditPage(items=entries, next=following)
