"""Every route of the app that wants a key, and the scope that the key needs."""

import itertools

from ingest.foreign.thingsboard import ATTRIBUTES_PATH, OTHER_PATHS, TELEMETRY_PATH

INGEST, READ, ADMIN = "ingest", "read", "admin"
SCOPES = {
    ("post", "/v1/readings"): INGEST,
    ("post", "/v1/dry-run"): INGEST,
    ("post", "/api/v2/write"): INGEST,
    ("post", "/write"): INGEST,
    ("post", "/api/v1/write"): INGEST,
    **dict.fromkeys(itertools.product(("get", "post"), (ATTRIBUTES_PATH, *OTHER_PATHS)), INGEST),
    ("post", TELEMETRY_PATH): INGEST,
    ("post", "/v1/metrics"): INGEST,
    ("post", "/v1/logs"): INGEST,
    ("post", "/v1/traces"): INGEST,
    ("get", "/query"): INGEST,
    ("post", "/query"): INGEST,
    ("get", "/metrics"): READ,
    ("get", "/v1/system"): READ,
    ("get", "/v1/devices"): READ,
    ("get", "/v1/devices/{device}"): READ,
    ("get", "/v1/devices/{device}/latest"): READ,
    ("delete", "/v1/devices/{device}"): ADMIN,
    ("get", "/v1/fleet"): READ,
    ("get", "/v1/readings"): READ,
    ("get", "/v1/series"): READ,
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
    ("get", "/v1/audit"): ADMIN,
    ("get", "/v1/keys"): ADMIN,
    ("post", "/v1/keys"): ADMIN,
    ("delete", "/v1/keys/{key_id}"): ADMIN,
    ("post", "/v1/tokens"): READ,
}
SESSION = {("post", "/v1/session"), ("get", "/v1/session"), ("delete", "/v1/session")}
"""For every key: what it begins may do no more than the key."""
KEYS_ONLY = {route for route, scope in SCOPES.items() if scope == INGEST}
"""Where the cookie of a session does not count: devices have none."""
UNDESCRIBED = {"/v1/dry-run", "/api/v2/write", "/write", "/api/v1/write", "/query", "/ping", "/health"}
UNDESCRIBED |= {TELEMETRY_PATH, ATTRIBUTES_PATH, *OTHER_PATHS}
UNDESCRIBED |= {"/v1/metrics", "/v1/logs", "/v1/traces"}
"""In the OpenAPI document: others have described those protocols."""
