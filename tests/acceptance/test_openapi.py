"""The API's document: every operation has examples that its schemas accept, and a server answers what they show."""

import asyncio
import json
import time
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest_asyncio
from cramjam import snappy

from schemas.errors import SluiceError
from tests.acceptance.login import Login
from tests.conftest import Server, StartServer
from tests.unit.prometheus import Series
from tests.unit.prometheus import body as remote_write

SAMPLE: Series = [("__name__", "up"), ("instance", "web-1:9100")], [(1.0, 1_767_225_600_000)]  # of a binary protocol
REFERENCE = "#/components/"
FREE = {"labels", "annotations", "detail", "spark"}
"""What may be left out, or holds names that are anybody's."""


@pytest_asyncio.fixture(scope="module")
async def server(start_shared_server: StartServer) -> Server:
    """One worker, that takes readings of any year: examples do not grow old."""
    return await start_shared_server(workers=1, retention_days=36_500)


@pytest_asyncio.fixture(scope="module")
async def document(server: Server) -> dict[str, Any]:
    """What it says of itself."""
    async with server.http.get(f"{server.url}/openapi.json") as response:
        answer: dict[str, Any] = await response.json()
        return answer


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By method and path."""
    return {f"{method} {path}": each for path, found in document["paths"].items() for method, each in found.items()}


def success(operation: dict[str, Any]) -> dict[str, Any]:
    """The answer that is none of an error, by kind of content."""
    (found,) = [each for status, each in operation["responses"].items() if status.startswith("2")]
    content: dict[str, Any] = found.get("content", {})
    return content


def examples(media: dict[str, Any]) -> list[Any]:
    """All that are shown."""
    return [media["example"]] if "example" in media else [each["value"] for each in media.get("examples", {}).values()]


def check(document: dict[str, Any], schema: dict[str, Any], example: Any) -> None:
    """Raise where the schema does not accept it."""
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "components": document["components"]}
    jsonschema_rs.validator_for(whole).validate(example)


async def test_every_operation_has_examples_that_its_schemas_accept(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        assert operation["tags"][0] in {tag["name"] for tag in document["tags"]}, name
        assert operation["summary"] or operation["description"]
        if "requestBody" in operation:
            for media in operation["requestBody"]["content"].values():
                assert examples(media) or media["schema"].get("format") == "binary", f"{name}: no example of a request"
                for example in examples(media):
                    check(document, media["schema"], example)
        for parameter in operation.get("parameters", []):
            shown = [parameter["example"]] if "example" in parameter else parameter["schema"].get("examples", [])
            assert shown or not parameter["required"], f"{name}: no example of {parameter['name']}"
            for example in shown:
                check(document, parameter["schema"], example)
        for kind, media in success(operation).items():
            assert examples(media), f"{name}: no example of an answer as {kind}"
            for example in examples(media):
                check(document, media.get("schema", {}), example)


async def test_errors_say_what_they_mean(document: dict[str, Any]) -> None:
    shared = document["components"]["responses"]
    for name, operation in operations(document).items():
        statuses = [status for status in operation["responses"] if status[0] in "45"]
        assert ("401" in statuses) is ("security" in operation), name
        for status in statuses:
            if (found := operation["responses"][status]).get("$ref"):
                assert found["$ref"] == f"{REFERENCE}responses/{status}"
    kinds, known = [SluiceError], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        known |= {(str(kind.status), kind.code)} if hasattr(kind, "status") else set()
    for status, response in shared.items():
        (media,) = response["content"].values()
        check(document, media["schema"], media["example"])
        assert (status, media["example"]["code"]) in known
        assert response["description"].startswith(media["example"]["title"])
    writing = {status for status in operations(document)["post /v1/readings"]["responses"] if status[0] in "45"}
    assert writing == {"400", "401", "403", "408", "413", "415", "422", "429", "500", "503", "504"}


def shape(value: Any) -> Any:
    """What a value is made of; None where that cannot be told."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items() if name not in FREE}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool) or value is None:
        return None if value is None else "boolean"
    return "number" if isinstance(value, int | float) else "text"


def fits(one: Any, other: Any) -> bool:
    """Whether two shapes may be of the same kind of thing."""
    if one is None or other is None or [] in (one, other):
        return one is None or other is None or (isinstance(one, list) and isinstance(other, list))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(fits(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return fits(one[0], other[0])
    return bool(one == other)


class Reader:
    """Somebody who tries out what the document shows."""

    def __init__(self, server: Server, document: dict[str, Any]) -> None:
        self.server, self.operations = server, operations(document)
        self.tried: dict[str, Any] = {}

    async def ask(self, name: str, body: Any = None, login: Login | None = None, kind: str = "", **places: Any) -> Any:
        """Do what the document shows, in its own words unless told otherwise; gives the answer."""
        operation = self.operations[name]
        method, path = name.split(" ")
        shown = {each["name"]: each for each in operation.get("parameters", [])}
        query = []
        for each in shown.values():
            sample = each.get("example", (each["schema"].get("examples") or [None])[0])
            value = places.get(each["name"], sample if each["required"] else None)
            if each["in"] == "path":
                path = path.replace(f"{{{each['name']}}}", quote(str(value), safe=""))
            elif value is not None:
                query.append(f"{each['name']}={quote(str(value), safe='')}")
        kind = kind or next(iter(operation.get("requestBody", {"content": {}})["content"]), "")
        if body is None and kind:
            body = examples(operation["requestBody"]["content"][kind])[0]
        url = self.server.url + path + ("?" + "&".join(query) if query else "")
        headers = login.cookie | login.csrf if login else self.server.headers()
        if "{key}" in name:  # which shows itself
            headers = {}
        if kind and kind != "application/json":
            headers |= {"Content-Type": kind}
        data = {"json": body} if kind.endswith("json") or not kind else {"data": body}
        async with self.server.http.request(method, url, **data, headers=headers) as response:
            text = await response.text()
            assert response.status < 300, f"{name}: {response.status} {text}"
            assert str(response.status) in operation["responses"], f"{name} answers {response.status}"
            content = success(operation)
            assert bool(text) is bool(content), f"{name}: {text[:100]}"
            if not text:
                self.tried[name] = None
                return None
            assert response.content_type in content, f"{name}: {response.content_type}"
            if not response.content_type.endswith("json"):
                self.tried[name] = text
                return text
            answer = self.tried[name] = json.loads(text)
            shown_answers = examples(content[response.content_type])
            assert any(fits(shape(answer), shape(each)) for each in shown_answers), f"{name}: {text}"
            return answer


RULE = {
    "name": "Overheating", "device": "pump-*", "metric": "temperature", "webhooks": ["http://127.0.0.1:9/alerts"],
    "condition": {"type": "threshold", "levels": [{"severity": "critical", "above": 80, "clear": 75}]},
}  # fmt: skip


async def raise_alert(server: Server) -> dict[str, Any]:
    """Send until there is one: a worker knows a new rule within a second."""
    labels = {"site": "A"}
    async with asyncio.timeout(30):
        while True:
            reading = {"ts": time.time_ns() // 1_000_000, "metric": "temperature", "value": 81.5}
            assert (await server.write({"device": "pump-7", "labels": labels, "readings": [reading]}))[0] == 200
            _, answer = await server.call("GET", "/v1/alerts")
            if answer["items"]:
                alert: dict[str, Any] = answer["items"][0]
                return alert
            await asyncio.sleep(0.1)


async def test_a_server_answers_what_the_examples_show(server: Server, document: dict[str, Any]) -> None:
    reader = Reader(server, document)
    ask = reader.ask
    rule = await ask("post /v1/rules")
    assert (await server.call("PUT", f"/v1/rules/{rule['id']}", RULE))[0] == 200
    for kind in ("application/senml+json", "application/json"):  # ours last: it is what is asked for below
        await ask("post /v1/readings", kind=kind)
    alert = await raise_alert(server)
    await ask("post /v1/alerts/{alert_id}/ack", alert_id=alert["id"])
    soon_ms = time.time_ns() // 1_000_000 + 3_600_000
    silence = await ask("post /v1/silences", {"device": "pump-*", "until": soon_ms})
    key = await ask("post /v1/keys")
    login = await Login.begin(server)
    for name in (
        "get /v1/rules", "get /v1/alerts", "get /v1/alerts/events", "get /v1/silences", "get /v1/webhooks/deliveries",
        "get /v1/webhooks/key", "get /v1/devices", "get /v1/devices/{device}", "get /v1/devices/{device}/latest",
        "get /v1/readings", "get /v1/series", "get /v1/fleet", "get /v1/keys", "get /v1/audit", "get /v1/system",
        "get /healthz", "get /readyz", "get /metrics", "post /v1/tokens", "post /v1/session", "post /v1/dry-run",
        "post /v1/metrics",
        "get /ping", "get /health",
    ):  # fmt: skip
        await ask(name)
    for name in ("post /api/v2/write", "post /write"):
        await ask(name, precision="ms")
    for name in ("get /query", "post /query"):
        await ask(name, q="SHOW DATABASES")
    bound = await server.key("ingest", device_glob="pump-9")
    for name in ("post /api/v1/{key}/telemetry", "post /api/v1/{key}/attributes"):
        await ask(name, key=bound)
    await ask("post /api/v1/write", bytes(snappy.compress_raw(remote_write(SAMPLE))))
    preview = {"rule": RULE, "from": soon_ms - 7_200_000, "to": soon_ms}
    assert (await ask("post /v1/rules/preview", preview))["transitions"]
    await ask("get /v1/rules/{rule_id}", rule_id=rule["id"])
    await ask("get /v1/session", login=login)
    await ask("delete /v1/session", login=login)
    await server.fetch("UPDATE webhook_deliveries SET state = 'dead', held = false, done_at = now()")
    delivery = (await server.call("GET", "/v1/webhooks/deliveries"))[1]["items"][0]
    await ask("post /v1/webhooks/deliveries/{delivery_id}/retry", delivery_id=delivery["id"])
    await ask("put /v1/rules/{rule_id}", rule_id=rule["id"])
    await ask("delete /v1/silences/{silence_id}", silence_id=silence["id"])
    await ask("delete /v1/rules/{rule_id}", rule_id=rule["id"])
    await ask("delete /v1/keys/{key_id}", key_id=key["id"])
    await ask("delete /v1/devices/{device}")
    assert reader.tried.keys() == reader.operations.keys(), "an operation that nobody tried"


def test_shapes_are_told_apart() -> None:
    """Or the test above would find anything to fit."""
    shown = {"items": [{"id": 1, "at": "2026", "until": None}], "next": None}
    assert fits(shape({"items": [], "next": "x"}), shape(shown))
    assert fits(shape({"items": [{"id": 2, "at": "2027", "until": "2028"}], "next": None}), shape(shown))
    of_another_type = {"items": [{"id": "2", "at": "", "until": None}], "next": None}
    others: list[Any] = [{"items": []}, {"items": [{"id": 2}], "next": None}, of_another_type, [shown], "text"]
    for other in others:
        assert not fits(shape(other), shape(shown))
