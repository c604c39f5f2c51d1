"""Routes of the rules: thin."""

from typing import Literal

from fastapi import APIRouter, Request, Response

from alerts.routes.desk import Id, UnboundAdmin, UnboundReader, actor_of, desk_of
from schemas.errors import NotFound
from schemas.rules import Rule, RuleRequest

router = APIRouter(tags=["rules"])


@router.post("/rules", status_code=201)
async def create_rule(request: Request, by: UnboundAdmin, rule: RuleRequest) -> Rule:
    """Make a rule; it watches within a second, on every worker."""
    return await desk_of(request).rulebook.create(rule, actor_of(request))


@router.get("/rules")
async def get_rules(request: Request, by: UnboundReader) -> dict[Literal["items"], list[Rule]]:
    """All rules."""
    return {"items": await desk_of(request).rulebook.all()}


@router.get("/rules/{rule_id}")
async def get_rule(request: Request, by: UnboundReader, rule_id: Id) -> Rule:
    """One rule."""
    return _found(await desk_of(request).rulebook.get(rule_id))


@router.put("/rules/{rule_id}")
async def replace_rule(request: Request, by: UnboundAdmin, rule_id: Id, rule: RuleRequest) -> Rule:
    """Change a rule. Its active alerts are resolved; readings from now on are judged by the new one."""
    return _found(await desk_of(request).rulebook.replace(rule_id, rule, actor_of(request)))


@router.delete("/rules/{rule_id}", status_code=204)
async def delete_rule(request: Request, by: UnboundAdmin, rule_id: Id) -> Response:
    """Delete a rule. Its active alerts are resolved; its events stay."""
    if not await desk_of(request).rulebook.delete(rule_id, actor_of(request)):
        raise NotFound("no such rule")
    return Response(status_code=204)


def _found(rule: Rule | None) -> Rule:
    if rule is None:
        raise NotFound("no such rule")
    return rule
