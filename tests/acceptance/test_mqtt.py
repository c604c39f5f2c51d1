"""`sluice mqtt` between a real Mosquitto and a real server: what is stored, what refused, and both settled."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.mosquitto import BINARY, PASSWORD, Mosquitto, bridging, until
from tests.acceptance.sluice import sluice
from tests.conftest import HOST, Server, StartServer

pytestmark = pytest.mark.skipif(BINARY is None, reason="MOSQUITTO IS ABSENT: the bridge from MQTT was NOT tried")

TOPICS = "sensors/{device}/{metric},tele/{device}/SENSOR,plants/{site}/{device}/#"
NOW_MS = time.time_ns() // 1_000_000 - 60_000
TASMOTA = {
    "Time": "2026-11-20T10:00:00",
    "DS18B20": {"Id": "01131B123456", "Temperature": 20.6},
    "ENERGY": {"Power": 5, "Today": 0.012, "Period": [1, 2]},
    "TempUnit": "C",
}


@pytest_asyncio.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mosquitto]:
    """One for the file."""
    async with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def server(start_shared_server: StartServer) -> Server:
    """One worker."""
    return await start_shared_server(workers=1)


async def stored(server: Server, device: str) -> dict[tuple[str, str], list[float]]:
    """Values of a device by metric and labels, in order of time."""
    records = await server.fetch(
        "SELECT metric, labels::text, value FROM telemetry WHERE device = $1 ORDER BY ts", device
    )
    found: dict[tuple[str, str], list[float]] = {}
    for metric, labels, value in records:
        found.setdefault((metric, labels), []).append(value)
    return found


async def test_good_messages_are_stored_bad_ones_refused_and_all_are_acknowledged(
    broker: Mosquitto, server: Server
) -> None:
    key = await server.key("ingest", device_glob="*mp-*")
    more = {"TOPICS": TOPICS, "GROUP": "some", "TIME_ZONE": "Europe/Berlin", "URL": f"mqtts://{HOST}:{broker.tls_port}"}
    async with bridging(broker, server, CA_FILE="cert.pem", KEY=key, **more) as bridge:
        await broker.publish("sensors/pump-7/temperature", "21.5")
        await broker.publish("sensors/pump-7/running", "ON")
        await broker.publish("sensors/pump-7/state", "online")
        await broker.publish("tele/lamp-1/SENSOR", json.dumps(TASMOTA))
        await broker.publish("plants/A/pump-8/whatever/else", json.dumps({"flow": 1, "deep": {"er": [True, None, 2]}}))
        reading = {"ts": NOW_MS, "metric": "temperature", "value": 3}
        await broker.publish("sensors/pump-9/anything", json.dumps(reading))
        await broker.publish("sensors/pump-9/anything", json.dumps([reading | {"ts": NOW_MS + n} for n in range(3)]))
        await broker.publish("sensors/pump-9/batch", json.dumps({"ts": [NOW_MS + 9], "values": {"x": [0.1]}}))
        bad: list[tuple[str, Any, str]] = [
            ("sensors/pump-7/x", "{not JSON", "malformed"),
            ("sensors/pump-7/x", {"ts": NOW_MS + 86_400_000 * 400, "v": 1}, "ts_in_future"),
            ("sensors/pump-7/x", {"ts": NOW_MS // 1_000, "v": 1}, "ts_unit"),
            ("sensors/pump-7/x", {"device": "other", "readings": []}, "device_mismatch"),
            ("sensors/another/x", "1", "forbidden"),
            ("sensors//x", "1", "device_missing"),
        ]
        for topic, payload, _ in bad:
            await broker.publish(topic, payload if isinstance(payload, str) else json.dumps(payload))
        await broker.publish("sensors/pump-7/temperature", "22.5")

        async def settled() -> bool:
            return await bridge.told("messages_acknowledged_total") == 9 + len(bad)

        await until(settled)
        assert await stored(server, "pump-7") == {("temperature", "{}"): [21.5, 22.5], ("running", "{}"): [1.0]}
        assert await stored(server, "pump-8") == {
            (metric, '{"site": "A"}'): [value] for metric, value in (("flow", 1), ("deep.er.0", 1), ("deep.er.2", 2))
        }
        assert await stored(server, "pump-9") == {("temperature", "{}"): [3.0, 3.0, 3.0], ("x", "{}"): [0.1]}
        assert await bridge.told("readings_duplicate_total") == 1
        for _, _, reason in bad:
            refused = await bridge.told("messages_refused_total", reason=reason)
            left_out = await bridge.told("readings_refused_total", reason=reason)
            assert refused + left_out == 1, reason
            assert f'"{reason}"' in bridge.text
        assert PASSWORD not in bridge.text
        assert key not in bridge.text
        assert await bridge.stop() == 0
        await bridge.start()  # nothing comes again: the bad ones were acknowledged, too
        await broker.publish("sensors/pump-7/temperature", "23.5")
        await until(lambda: _is(bridge.told("messages_acknowledged_total"), 1))
        assert await bridge.told("messages_received_total") == 1


async def _is(figure: Any, wanted: float) -> bool:
    return bool(await figure == wanted)


async def test_version_3_ignores_what_was_retained_and_waits_for_its_quota(broker: Mosquitto, server: Server) -> None:
    await broker.publish("old/pump-1/level", "1", "-r")
    more = {
        "VERSION": "3.1.1",
        "TOPICS": "old/{device}/{metric}",
        "KEY": await server.key("ingest", quota_readings_per_s=1),
    }
    async with bridging(broker, server, "old", **more) as bridge:
        for value in ("2", "3", "4"):
            await broker.publish("old/pump-1/level", value)
        await until(lambda: _is(bridge.told("messages_acknowledged_total"), 4))
        assert await bridge.told("posts_total", verdict="again") > 0
        assert await bridge.told("messages_refused_total", reason="retained") == 1
        assert await stored(server, "pump-1") == {("level", "{}"): [2.0, 3.0, 4.0]}


async def test_a_key_that_may_not_write_acknowledges_nothing_and_loses_nothing(
    broker: Mosquitto, server: Server
) -> None:
    more = {"TOPICS": "keys/{device}/{metric}"}
    async with bridging(broker, server, "keys", KEY=await server.key("read"), **more) as bridge:
        await broker.publish("keys/pump-2/level", "7")

        async def refused() -> bool:
            return await bridge.told("posts_total", verdict="split") > 0 and "SLUICE_MQTT_KEY" in bridge.text

        await until(refused)
        assert await bridge.told("messages_refused_total") + await bridge.told("messages_acknowledged_total") == 0
    async with bridging(broker, server, "keys", **more) as bridge:
        await until(lambda: _is(bridge.told("messages_acknowledged_total"), 1))
    assert await stored(server, "pump-2") == {("level", "{}"): [7.0]}


async def test_a_dry_run_says_how_a_message_would_be_read(server: Server) -> None:
    async def tried(payload: str, **query: str) -> tuple[int, Any]:
        url, params = f"{server.url}/v1/dry-run", {"format": "mqtt"} | query
        async with server.http.post(url, data=payload, params=params, headers=server.headers()) as response:
            return response.status, await response.json()

    status, said = await tried(json.dumps({"ts": NOW_MS, "a": {"b": 1}}), topic="sensors/p/m")
    assert (status, said["count"]) == (200, 1)
    assert (said["readings"][0]["device"], said["readings"][0]["metric"]) == ("p", "m.a.b")
    status, said = await tried("2", topic="x/p", template="x/{device}")
    assert said["readings"][0]["metric"] == "value"
    assert (await tried("2"))[0] == (await tried("2", topic="x", template="a{b}"))[0] == 400
    assert (await tried("2", topic="no/template"))[0] == 422


async def test_doctor_says_what_the_bridge_would_do(broker: Mosquitto, server: Server) -> None:
    said = {"URL": f"mqtt://{HOST}:{broker.port}", "USERNAME": "line-3", "PASSWORD": PASSWORD, "SERVER_URL": server.url}
    said |= {"KEY": await server.key("ingest"), "TOPICS": TOPICS, "GROUP": "some"}
    variables = {f"SLUICE_MQTT_{name}": value for name, value in said.items()}
    done = await sluice(broker.folder, "doctor", **variables)
    for words in ("$share/some/sensors/+/+", "the broker lets us in", "the bridge's key may write", "plants/{site}"):
        assert words in done.out
    assert PASSWORD not in done.out + done.err
    done = await sluice(broker.folder, "doctor", **variables | {"SLUICE_MQTT_PASSWORD": "wrong-password"})
    assert done.code == 1
    assert "does not let us in" in done.out


@pytest.mark.long
async def test_what_a_message_costs_is_measured() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "load.messages", "--count", "1000"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["payload"] for line in lines] == ["number", "object", "batch"]
    assert all(line["messages_per_s"] > 0 for line in lines)
