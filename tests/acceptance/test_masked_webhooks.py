"""A webhook's URL may hold a token: who may only read rules sees where it leads, and no more."""

from schemas.rules import RuleRequest
from server.rules_client import RulesClient
from server.rules_plan import make_plan
from tests.conftest import Server

SECRET = "https://user:word@hooks.example:8443/services/T0/B0/secret?token=secret#secret"
RULE = {
    "name": "Overheating",
    "metric": "temperature",
    "condition": {"type": "range", "outside": [0, 80], "severity": "warning"},
    "webhooks": [SECRET, "http://other.example/hook"],
}
MASKED = ["https://hooks.example:8443/***", "http://other.example/***"]


async def test_who_may_only_read_sees_of_webhooks_their_host(running_server: Server) -> None:
    server = running_server
    status, made = await server.call("POST", "/v1/rules", RULE)
    assert (status, made["webhooks"]) == (201, RULE["webhooks"])
    path = f"/v1/rules/{made['id']}"
    reader = await server.key("read")
    for key, wanted in ((reader, MASKED), (None, RULE["webhooks"])):
        (shown,) = (await server.call("GET", "/v1/rules", key=key))[1]["items"]
        assert shown["webhooks"] == wanted
        assert (await server.call("GET", path, key=key))[1] == shown

    # What was read so must not be written back: it leads nowhere.
    wanted_back = {name: shown for name, shown in RULE.items() if name != "webhooks"} | {"webhooks": MASKED}
    for method, where in (("POST", "/v1/rules"), ("PUT", path)):
        status, problem = await server.call(method, where, wanted_back)
        assert (status, problem["errors"][0]["code"]) == (422, "webhook_masked")
    assert (await server.call("GET", path))[1] == made

    # `rules apply --check` with such a key compares what it can see.
    async with RulesClient.connect(server.url, reader) as client:
        stored = await client.all()
    assert not make_plan([RuleRequest.model_validate(RULE)], stored, prune=True)
    other = RULE | {"webhooks": ["https://elsewhere.example/", "http://other.example/hook"]}
    (change,) = make_plan([RuleRequest.model_validate(other)], stored, prune=True).change
    assert "secret" not in str(change.differences)
