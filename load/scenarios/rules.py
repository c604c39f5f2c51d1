"""The rules of a run: made before it, deleted after it."""

from urllib.parse import quote

import gevent

from load.scenarios.api import Api
from schemas.conditions import Level, Severity, Threshold
from schemas.rules import RuleRequest

LIMIT = 50.0
"""Of both rules."""
SETTLES_S = 3.0
"""A new rule reaches every worker within so long; what crosses before may raise no alert."""
RULE_NAMES = frozenset({"Load test: crossing", "Load test: storm"})


def rules(prefix: str) -> list[RuleRequest]:
    """One for the crossing devices, one for those of storms."""
    condition = Threshold(type="threshold", levels=(Level(severity=Severity.INFO, above=LIMIT),))
    crossing, storm = sorted(RULE_NAMES)
    return [
        RuleRequest(name=crossing, device=f"{prefix}-crossing-*", metric="level", condition=condition),
        RuleRequest(name=storm, device=f"{prefix}-storm-*", metric="*", condition=condition),
    ]


def make_rules(api: Api, prefix: str) -> list[str]:
    """Make them, in place of what a run that was killed has left; returns their ids once every worker knows them.

    Those of a run with another prefix stay: it may be under way.
    """
    wanted = rules(prefix)
    devices = {rule.device for rule in wanted}
    for rule in api.get("/v1/rules")["items"]:
        if rule["name"] in RULE_NAMES and rule["device"] in devices:
            api.delete(f"/v1/rules/{quote(str(rule['id']))}")
    made = [api.post("/v1/rules", rule.model_dump(mode="json", exclude_none=True)) for rule in wanted]
    gevent.sleep(SETTLES_S)
    return [str(rule["id"]) for rule in made]
