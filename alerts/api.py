"""Routes of rules, alerts and the event log: thin."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import asyncpg
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from alerts.listing import AlertFilter, list_alerts, list_events
from alerts.rulebook import RuleBook
from schemas.cursor import MAX_LIMIT, decode_cursor
from schemas.errors import Forbidden, NotFound
from schemas.keys import Principal, Scope
from schemas.rules import Rule, RuleRequest, Severity

MAX_ID = 2**31 - 1

RuleId = Annotated[int, Path(ge=1, le=MAX_ID)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


@dataclass(frozen=True, slots=True)
class AlertsDesk:
    """What the routes of this room need."""

    authenticate: Callable[[Request, Scope], Awaitable[Principal]]
    rulebook: RuleBook
    pool: asyncpg.Pool


router = APIRouter(prefix="/v1")


def _desk(request: Request) -> AlertsDesk:
    desk: AlertsDesk = request.state.alerts
    return desk


async def _unbound(request: Request, scope: Scope) -> RuleBook:
    """The rules, for a key that is bound to no devices: a rule is about all of them."""
    principal = await _desk(request).authenticate(request, scope)
    if principal.device_glob is not None:
        raise Forbidden("a key bound to devices has no part in rules")
    return _desk(request).rulebook


async def _to_write(request: Request) -> RuleBook:
    """The rules, for a key that may change them; asked for as a dependency, before the body is judged."""
    return await _unbound(request, Scope.ADMIN)


ToWrite = Annotated[RuleBook, Depends(_to_write)]


@router.post("/rules", status_code=201, tags=["rules"])
async def create_rule(rules: ToWrite, rule: RuleRequest) -> Rule:
    """Make a rule; it watches within a second, on every worker."""
    return await rules.create(rule)


@router.get("/rules", tags=["rules"])
async def get_rules(request: Request) -> dict[Literal["items"], list[Rule]]:
    """All rules."""
    return {"items": await (await _unbound(request, Scope.READ)).all()}


@router.get("/rules/{rule_id}", tags=["rules"])
async def get_rule(request: Request, rule_id: RuleId) -> Rule:
    """One rule."""
    return _found(await (await _unbound(request, Scope.READ)).get(rule_id))


@router.put("/rules/{rule_id}", tags=["rules"])
async def replace_rule(rules: ToWrite, rule_id: RuleId, rule: RuleRequest) -> Rule:
    """Change a rule. Its active alerts are resolved; readings from now on are judged by the new one."""
    return _found(await rules.replace(rule_id, rule))


@router.delete("/rules/{rule_id}", status_code=204, tags=["rules"])
async def delete_rule(request: Request, rule_id: RuleId) -> Response:
    """Delete a rule. Its active alerts are resolved; its events stay."""
    if not await (await _unbound(request, Scope.ADMIN)).delete(rule_id):
        raise NotFound("no such rule")
    return Response(status_code=204)


@router.get("/alerts", tags=["alerts"])
async def get_alerts(
    request: Request,
    state: Literal["firing", "resolved"] | None = None,
    severity: Severity | None = None,
    device: Annotated[str | None, Query(max_length=128, pattern=r"^[^\x00]*$")] = None,
    rule: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    limit: Limit = 100,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """Alerts, newest first."""
    principal = await _desk(request).authenticate(request, Scope.READ)
    before = int(decode_cursor(cursor, int)) if cursor else None
    wanted = AlertFilter(state, severity, device, rule, before)
    return await list_alerts(_desk(request).pool, wanted, principal.device_glob, limit)


@router.get("/alerts/events", tags=["alerts"])
async def get_events(
    request: Request, after: Annotated[int, Query(ge=0, le=2**62)] = 0, limit: Limit = 100
) -> dict[str, Any]:
    """The event log after an offset, oldest first: what `/ws` carries, as it is recorded."""
    principal = await _desk(request).authenticate(request, Scope.READ)
    return await list_events(_desk(request).pool, after, principal.device_glob, limit)


def _found(rule: Rule | None) -> Rule:
    if rule is None:
        raise NotFound("no such rule")
    return rule
