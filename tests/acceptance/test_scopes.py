"""Every route of the app's own document refuses no key and a key of the wrong scope; what is open is listed here."""

import re
from typing import Any

from schemas.keys import Scope
from tests.conftest import Server

OPEN = {"/healthz", "/readyz"}
OPEN_PAGES = {"/", "/docs", "/redoc", "/openapi.json"}

INGEST, READ, ADMIN = "ingest", "read", "admin"
SCOPES = {
    ("post", "/v1/readings"): INGEST,
    ("get", "/metrics"): READ,
    ("get", "/v1/devices"): READ,
    ("get", "/v1/devices/{device}"): READ,
    ("get", "/v1/devices/{device}/latest"): READ,
    ("get", "/v1/rules"): READ,
    ("get", "/v1/rules/{rule_id}"): READ,
    ("post", "/v1/rules"): ADMIN,
    ("post", "/v1/rules/preview"): READ,
    ("put", "/v1/rules/{rule_id}"): ADMIN,
    ("delete", "/v1/rules/{rule_id}"): ADMIN,
    ("get", "/v1/alerts"): READ,
    ("get", "/v1/alerts/events"): READ,
    ("post", "/v1/alerts/{alert_id}/ack"): ADMIN,
    ("get", "/v1/silences"): READ,
    ("post", "/v1/silences"): ADMIN,
    ("delete", "/v1/silences/{silence_id}"): ADMIN,
    ("get", "/v1/webhooks/deliveries"): ADMIN,
    ("post", "/v1/webhooks/deliveries/{delivery_id}/retry"): ADMIN,
    ("get", "/v1/webhooks/key"): ADMIN,
    ("get", "/v1/keys"): ADMIN,
    ("post", "/v1/keys"): ADMIN,
    ("delete", "/v1/keys/{key_id}"): ADMIN,
}
NO_KEY = {401, 429}  # the second where too many failures came from this address, as they do here
OF_ALL_DEVICES = ("/rules", "/keys", "/silences", "/webhooks")
BOUND_REFUSED = {route for route in SCOPES if any(part in route[1] for part in OF_ALL_DEVICES)}


async def routes(server: Server) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation of the document: method, path, and what it says."""
    async with server.http.get(f"{server.url}/openapi.json") as response:
        document = await response.json()
    return [(method, path, operation) for path, each in document["paths"].items() for method, operation in each.items()]


async def ask(server: Server, method: str, path: str, key: str | None, body: Any = None) -> int:
    """The status of a request, with placeholders for what the path names."""
    url = server.url + re.sub(r"{[^}]*}", "1", path)
    headers = server.headers(key) if key else {}
    async with server.http.request(method, url, headers=headers, json=body) as response:
        if response.status in (401, 403):
            assert response.content_type == "application/problem+json"
        return response.status


async def test_every_route_has_its_scope(running_server: Server) -> None:
    keys = {scope.value: await running_server.key(scope.value) for scope in Scope}
    found = await routes(running_server)
    assert {(method, path) for method, path, _ in found if path not in OPEN} == set(SCOPES), "a route nobody listed"
    for method, path, operation in found:
        if path in OPEN:
            assert await ask(running_server, method, path, None) == 200
            assert not operation.get("security")
            continue
        assert operation["security"], f"{path} does not say that it wants a key"
        needed = SCOPES[method, path]
        for body in (None, {}, {"nonsense": 1}):
            assert await ask(running_server, method, path, None, body) in NO_KEY, f"{method} {path} is open"
            assert await ask(running_server, method, path, "slk_no_key", body) in NO_KEY
            for scope in {INGEST, READ} - {needed}:
                assert await ask(running_server, method, path, keys[scope], body) == 403, f"{method} {path} {scope}"
        for scope in {needed, ADMIN}:
            assert await ask(running_server, method, path, keys[scope]) not in (401, 403, 500), f"{method} {path}"


async def test_a_key_bound_to_devices_has_no_part_in_rules_and_keys(running_server: Server) -> None:
    key = await running_server.key("admin", device_glob="pump-*")
    for method, path in SCOPES:
        status = await ask(running_server, method, path, key)
        other_device = "{device}" in path
        assert (status == 403) is ((method, path) in BOUND_REFUSED or other_device), f"{method} {path}: {status}"


async def test_the_pages_are_open_and_everything_else_is_404(running_server: Server) -> None:
    for path in OPEN_PAGES:
        assert await ask(running_server, "get", path, None) == 200, path
    for path in ("/v1", "/v1/", "/v1/unknown", "/admin", "/.env", "/..%2f..%2fetc/passwd"):
        assert await ask(running_server, "get", path, None) == 404, path
