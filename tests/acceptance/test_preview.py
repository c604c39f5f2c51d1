"""The preview of a rule over HTTP: its answer, and what it refuses."""

import time
from typing import Any

from tests.conftest import Server
from tests.integration.writing import T, rule_request

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "from after to": ({"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T09:59:59Z"}, "preview_span"),
    "nothing between": ({"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T11:00:00+01:00"}, "preview_span"),
    "too long": ({"from": "2026-11-01T00:00:00Z", "to": "2026-12-02T00:00:01Z"}, "preview_span"),
    "no offset": ({"from": "2026-11-20T10:00:00"}, "value_error"),
    "seconds": ({"to": 1_795_428_000}, "value_error"),
    "a text of digits": ({"to": "1795428000000"}, "value_error"),
    "limit 0": ({"limit": 0}, "greater_than_equal"),
    "limit 1001": ({"limit": 1_001}, "less_than_equal"),
    "unknown": ({"until": 1}, "extra_forbidden"),
    "no rule": ({"rule": None}, "model_attributes_type"),
    "absent": (
        {"rule": {"name": "gone", "metric": "*", "condition": {"type": "absent", "after_s": 60, "severity": "info"}}},
        "preview_absent",
    ),
}


async def test_over_http(running_server: Server) -> None:
    now = time.time_ns() // 1_000_000
    readings = [{"ts": now - 2_000 + n * 1_000, "metric": T, "value": value} for n, value in enumerate((99, 10))]
    body = {"device": "pump-7", "labels": {"site": "A"}, "readings": readings}
    assert (await running_server.write(body))[0] == 200
    rule = rule_request().model_dump(mode="json", exclude_none=True)
    wanted = {"rule": rule, "from": now - 60_000, "to": now + 60_000}
    key = await running_server.key("read")
    status, found = await running_server.call("POST", "/v1/rules/preview", wanted, key)
    assert status == 200
    assert set(found) == {"series", "readings", "transitions", "truncated", "truncated_by"}
    assert (found["series"], found["readings"], found["truncated"]) == (1, 2, False)
    first, second = found["transitions"]
    assert first == {
        "event": "firing", "at": first["at"], "device": "pump-7", "metric": T, "labels": {"site": "A"},
        "severity": "critical", "value": 99.0, "threshold": 80.0,
    }  # fmt: skip
    assert first["at"].endswith("Z")
    assert (second["event"], second["value"]) == ("resolved", 10.0)
    assert (await running_server.call("GET", "/v1/rules", None, key))[1]["items"] == [], "a preview stores nothing"
    for name, (changes, code) in BAD.items():
        good = {"rule": rule, "from": "2026-11-20T10:00:00Z", "to": 1_795_428_000_000}
        status, problem = await running_server.call("POST", "/v1/rules/preview", good | changes, key)
        assert (status, problem["errors"][0]["code"]) == (422, code), f"{name}: {problem}"
    assert problem["errors"][0]["message"] == "absent is judged by arrival, which is not stored"
    bound = await running_server.key("read", device_glob="pump-*")
    assert (await running_server.call("POST", "/v1/rules/preview", wanted, bound))[0] == 403
