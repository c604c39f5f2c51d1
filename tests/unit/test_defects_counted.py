"""A defect is seen by the alert that is for it: counted wherever it is answered, and from 0, of which it grows."""

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from ingest.metrics import WriteMetrics
from server.edge import Edge

COUNTED = "sluice_requests_refused_total"


@pytest.mark.parametrize(("status", "code"), [("500", "defect"), ("503", "database_away"), ("504", "commit_unknown")])
def test_what_alerts_ask_for_is_there_before_it_happens(status: str, code: str) -> None:
    registry = CollectorRegistry()
    WriteMetrics(registry)
    assert registry.get_sample_value(COUNTED, {"status": status, "code": code}) == 0


async def test_a_request_that_breaks_is_counted() -> None:
    registry, sent = CollectorRegistry(), []

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/v1/devices",
        "headers": [],
        "state": {"corridor": SimpleNamespace(metrics=WriteMetrics(registry))},
    }
    await Edge(broken)(scope, receive, send)
    assert sent[0]["status"] == 500
    assert registry.get_sample_value(COUNTED, {"status": "500", "code": "defect"}) == 1
