"""Routes of the rules: thin."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from alerts.routes.desk import Id, UnboundAdmin, UnboundReader, actor_of, desk_of, unbound
from schemas.errors import Fault, Forbidden, Invalid, NotFound
from schemas.keys import Principal, Scope
from schemas.rules import Rule, RuleRequest

router = APIRouter(tags=["rules"])


async def _rules_reader(request: Request) -> Principal:
    """Who asks for all rules; or for those of a device, which a key that is bound to it may."""
    device = request.query_params.get("device")
    if device is None:
        return await unbound(request, Scope.READ)
    principal = await desk_of(request).authenticate(request, Scope.READ)
    if not principal.may_use(device):
        raise Forbidden("this key is bound to other devices")
    return principal


RulesReader = Annotated[Principal, Depends(_rules_reader)]


@router.post("/rules", status_code=201)
async def create_rule(request: Request, by: UnboundAdmin, rule: RuleRequest) -> Rule:
    """Make a rule; it watches within a second, on every worker."""
    return await desk_of(request).rulebook.create(_whole(rule), actor_of(request))


@router.get("/rules")
async def get_rules(
    request: Request,
    by: RulesReader,
    device: Annotated[str | None, Query(max_length=128, pattern=r"^[^\x00]*$", description="Its name.")] = None,
) -> dict[Literal["items"], list[Rule]]:
    """All rules, or those about a device; of their webhooks only the host, unless the key has the scope `admin`.

    A key that is bound to devices may ask for the rules of its own.
    """
    return {"items": [_shown(rule, by) for rule in await desk_of(request).rulebook.all(device)]}


@router.get("/rules/{rule_id}")
async def get_rule(request: Request, by: UnboundReader, rule_id: Id) -> Rule:
    """One rule; of its webhooks only the host, unless the key has the scope `admin`."""
    return _shown(_found(await desk_of(request).rulebook.get(rule_id)), by)


@router.put("/rules/{rule_id}")
async def replace_rule(request: Request, by: UnboundAdmin, rule_id: Id, rule: RuleRequest) -> Rule:
    """Change a rule. Its active alerts are resolved; readings from now on are judged by the new one."""
    return _found(await desk_of(request).rulebook.replace(rule_id, _whole(rule), actor_of(request)))


@router.delete("/rules/{rule_id}", status_code=204)
async def delete_rule(request: Request, by: UnboundAdmin, rule_id: Id) -> Response:
    """Delete a rule. Its active alerts are resolved; its events stay."""
    if not await desk_of(request).rulebook.delete(rule_id, actor_of(request)):
        raise NotFound("no such rule")
    return Response(status_code=204)


def _shown(rule: Rule, by: Principal) -> Rule:
    return rule if by.has(Scope.ADMIN) and by.device_glob is None else rule.masked()


def _whole(rule: RuleRequest) -> RuleRequest:
    """Raises Invalid for webhooks that were read with a key that may not see them."""
    if rule.is_masked:
        raise Invalid([Fault(("body", "webhooks"), "webhook_masked", "read the rule with a key of the scope admin")])
    return rule


def _found(rule: Rule | None) -> Rule:
    if rule is None:
        raise NotFound("no such rule")
    return rule
