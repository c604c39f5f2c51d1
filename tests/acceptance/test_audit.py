"""The audit log: every administrative act of the table of routes leaves its row, or does not happen."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from schemas.audit import Act
from server.audit import CHUNK, AuditTrail
from tests.acceptance.scopes import ADMIN, SCOPES
from tests.acceptance.sluice import sluice
from tests.conftest import Server

WEBHOOK = "http://127.0.0.1:9/hook/its-secret"
RULE = {
    "name": "hot",
    "device": "*",
    "metric": "t",
    "condition": {"type": "threshold", "levels": [{"severity": "warning", "above": 70}]},
    "webhooks": [WEBHOOK],
}
ACTS = {
    ("post", "/v1/keys"): Act.KEY_CREATE,
    ("delete", "/v1/keys/{key_id}"): Act.KEY_REVOKE,
    ("delete", "/v1/devices/{device}"): Act.DEVICE_DELETE,
    ("post", "/v1/rules"): Act.RULE_CREATE,
    ("put", "/v1/rules/{rule_id}"): Act.RULE_REPLACE,
    ("delete", "/v1/rules/{rule_id}"): Act.RULE_DELETE,
    ("post", "/v1/alerts/{alert_id}/ack"): Act.ALERT_ACKNOWLEDGE,
    ("post", "/v1/silences"): Act.SILENCE_CREATE,
    ("delete", "/v1/silences/{silence_id}"): Act.SILENCE_END,
    ("post", "/v1/webhooks/deliveries/{delivery_id}/retry"): Act.DELIVERY_RETRY,
}
"""What each route that changes something writes down."""


def test_every_route_that_an_administrator_changes_something_by_has_its_act() -> None:
    assert {route for route, scope in SCOPES.items() if scope == ADMIN and route[0] != "get"} == set(ACTS)


def in_an_hour() -> str:
    """When a silence may end."""
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def do_everything(server: Server, key: str) -> list[tuple[str, str]]:
    """Do every act once; gives what the log has to hold of each: act and object."""
    done: list[tuple[str, str]] = []

    async def act(what: Act, method: str, path: str, body: Any = None, thing: Any = None) -> Any:
        status, answer = await server.call(method, path, body, key)
        assert status in (200, 201, 204), (what, status, answer)
        done.append((what, str(thing or answer["id"])))
        return answer["id"] if answer else thing

    rule = await act(Act.RULE_CREATE, "POST", "/v1/rules", RULE)
    alert = await fire(server)
    made = await act(Act.KEY_CREATE, "POST", "/v1/keys", {"name": "gateway", "scopes": ["ingest"]})
    await act(Act.KEY_REVOKE, "DELETE", f"/v1/keys/{made}", thing=made)
    await act(Act.ALERT_ACKNOWLEDGE, "POST", f"/v1/alerts/{alert}/ack", {"comment": "on my way"}, alert)
    silence = await act(Act.SILENCE_CREATE, "POST", "/v1/silences", {"device": "p", "until": in_an_hour()})
    await act(Act.SILENCE_END, "DELETE", f"/v1/silences/{silence}", thing=silence)
    update = "UPDATE webhook_deliveries SET state = 'dead', done_at = now(), held = false RETURNING id"
    delivery = (await server.fetch(update))[0]["id"]
    await act(Act.DELIVERY_RETRY, "POST", f"/v1/webhooks/deliveries/{delivery}/retry", thing=delivery)
    await act(Act.RULE_REPLACE, "PUT", f"/v1/rules/{rule}", RULE | {"name": "hotter"}, rule)
    await act(Act.RULE_DELETE, "DELETE", f"/v1/rules/{rule}", thing=rule)
    await act(Act.DEVICE_DELETE, "DELETE", "/v1/devices/p", thing="p")
    return done


async def fire(server: Server) -> int:
    """Send too hot a reading until somebody noticed; gives the alert."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        reading = {"ts": time.time_ns() // 1_000_000, "metric": "t", "value": 99}
        assert (await server.write({"device": "p", "readings": [reading]}))[0] == 200
        if items := (await server.call("GET", "/v1/alerts"))[1]["items"]:
            return int(items[0]["id"])
    raise AssertionError("no alert")


async def test_every_act_is_written_down_with_who_when_from_where_what_and_on_what(shared_server: Server) -> None:
    key = await shared_server.key("admin")
    done = await do_everything(shared_server, key)
    assert {act for act, _ in done} == set(ACTS.values())
    items: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:  # three at a time
        status, page = await shared_server.call("GET", f"/v1/audit?limit=3{cursor and '&cursor=' + cursor}")
        assert status == 200
        items += page["items"]
        cursor = page["next"]
    mine = [item for item in reversed(items) if item["key_id"] == key.split("_")[1]]
    assert [(item["act"], item["object"]) for item in mine] == done
    for item in mine:
        assert (item["name"], item["address"], item["outcome"]) == ("test", "127.0.0.1", "done")
        assert len(item["request_id"]) == 16
        assert item["at"].endswith("Z")
    assert [item["id"] for item in items] == sorted((item["id"] for item in items), reverse=True)
    text = json.dumps(items)
    assert "its-secret" not in text
    assert key.rpartition("_")[2] not in text
    details = {item["act"]: item["detail"] for item in mine}
    assert details["key.create"]["scopes"] == ["ingest"]
    assert details["rule.delete"] == {"name": "hotter", "revision": 3}  # what fired was ended before


async def test_the_request_id_is_the_one_of_the_answer_and_an_act_without_effect_says_so(
    shared_server: Server,
) -> None:
    url, headers = f"{shared_server.url}/v1/keys", shared_server.headers() | {"X-Request-ID": "change-4711"}
    async with shared_server.http.post(url, json={"name": "n", "scopes": ["read"]}, headers=headers) as response:
        made = (await response.json())["id"]
    for _ in range(2):
        assert (await shared_server.call("DELETE", f"/v1/keys/{made}"))[0] == 204
    assert (await shared_server.call("DELETE", "/v1/keys/unknown"))[0] == 404
    rows = await shared_server.fetch("SELECT request_id, outcome FROM audit WHERE object = $1 ORDER BY id", made)
    assert [row["outcome"] for row in rows] == ["done", "done", "unchanged"]
    assert rows[0]["request_id"] == "change-4711"
    assert not await shared_server.fetch("SELECT FROM audit WHERE object = 'unknown'")


async def test_an_act_that_cannot_be_written_down_does_not_happen(running_server: Server) -> None:
    key = await running_server.key("admin")
    await do_everything(running_server, key)
    alert = await fire_again(running_server)
    made = (await running_server.key("read")).split("_")[1]
    silence = (await running_server.call("POST", "/v1/silences", {"device": "q", "until": in_an_hour()}))[1]["id"]
    dead = """INSERT INTO webhook_deliveries (url, "offset", rule_id, series_id, state, done_at)
              VALUES ($1, 999999, 1, 1, 'dead', now()) RETURNING id"""
    delivery = (await running_server.fetch(dead, WEBHOOK))[0]["id"]
    looks = (
        "SELECT id, revoked_at FROM keys ORDER BY id",
        "SELECT id, revision, document FROM rules ORDER BY id",
        "SELECT id, until FROM silences ORDER BY id",
        "SELECT id, state, acknowledged_at FROM alerts ORDER BY id",
        "SELECT id, device FROM series ORDER BY id",
        'SELECT id, state FROM webhook_deliveries WHERE "offset" = 999999',
    )

    async def state() -> list[str]:
        return [str(await running_server.fetch(look)) for look in looks]

    before = await state()
    await running_server.fetch("ALTER TABLE audit ADD CONSTRAINT nothing_more CHECK (false) NOT VALID")
    rule = (await running_server.call("GET", "/v1/rules"))[1]["items"][0]["id"]
    for method, path, body in (
        ("POST", "/v1/keys", {"name": "n", "scopes": ["read"]}),
        ("DELETE", f"/v1/keys/{made}", None),
        ("POST", "/v1/rules", RULE),
        ("PUT", f"/v1/rules/{rule}", RULE | {"name": "x"}),
        ("DELETE", f"/v1/rules/{rule}", None),
        ("POST", f"/v1/alerts/{alert}/ack", {}),
        ("POST", "/v1/silences", {"device": "q", "until": in_an_hour()}),
        ("DELETE", f"/v1/silences/{silence}", None),
        ("DELETE", "/v1/devices/p", None),
        ("POST", f"/v1/webhooks/deliveries/{delivery}/retry", None),
    ):
        assert (await running_server.call(method, path, body))[0] == 500, path
    assert await state() == before


async def fire_again(server: Server) -> int:
    """Make a rule without webhooks, and have it fire."""
    assert (await server.call("POST", "/v1/rules", RULE | {"webhooks": []}))[0] == 201
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        await fire(server)
        if items := (await server.call("GET", "/v1/alerts?state=firing"))[1]["items"]:
            return int(items[0]["id"])
    raise AssertionError("no alert")


async def test_the_log_is_only_added_to_and_ends_after_so_many_days(database: str) -> None:
    async with asyncpg.create_pool(database, min_size=0, timeout=2) as pool:
        write = (
            "INSERT INTO audit (at, name, act, object, outcome) "
            "SELECT now() - $1 * interval '1 day', 'n', 'a', 'o', 'done' FROM generate_series(1, $2)"
        )
        await pool.execute(write, 8.0, 3)
        await pool.execute(write, 6.0, 2)
        await pool.execute(write, 0.1, 1)
        for statement in ("UPDATE audit SET name = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(statement)
        now = 0.0
        trail = AuditTrail(pool, 7, lambda: now)
        await trail.prune()
        assert await pool.fetchval("SELECT count(*) FROM audit") == 3
        await pool.execute(write, 8.0, CHUNK + 1)
        await trail.prune()  # not yet time to look again
        assert await pool.fetchval("SELECT count(*) FROM audit") == 3 + CHUNK + 1
        now = 60.0
        await trail.prune()
        assert await pool.fetchval("SELECT count(*) FROM audit") == 3 + 1
        await trail.prune()
        assert await pool.fetchval("SELECT count(*) FROM audit") == 3


async def test_what_is_done_at_the_terminal_is_written_down_too(database: str, tmp_path: Path) -> None:
    url = {"SLUICE_DATABASE_URL": database}
    made = await sluice(tmp_path, "key", "create", "line 3", "--scope", "ingest", "--device", "pump-*", **url)
    key_id, secret = made.out.strip().split("_", 2)[1:]
    assert (await sluice(tmp_path, "key", "revoke", key_id, **url)).code == 0
    shown = await sluice(tmp_path, "audit", **url)
    revoked, created = shown.out.splitlines()
    for line, act in ((revoked, "key.revoke"), (created, "key.create")):
        assert f"  {act} " in line
        assert f" {key_id} " in line
        assert " cli:" in line
    assert "pump-*" in created
    assert secret not in made.err + shown.out + shown.err
