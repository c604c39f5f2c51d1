"""What `sluice doctor` says of MQTT: what the bridge would ask for and how it would read, and whether it could."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import aiomqtt

from ingest.mqtt.broker import connected
from ingest.mqtt.broker_settings import BrokerSettings
from server.findings import Finding
from server.settings import Settings

PATIENCE_S = 3.0


async def mqtt_findings(settings: Settings) -> AsyncIterator[Finding]:
    """Nothing is subscribed to in the bridge's name, and nothing stored."""
    if not settings.mqtt_url:
        yield Finding(True, "MQTT: no broker is set; `sluice mqtt` needs SLUICE_MQTT_URL")
        return
    yield Finding(True, settings.topics.describe())
    try:
        broker = settings.broker(settings.max_body_bytes)
    except (OSError, ValueError) as error:
        yield Finding(False, f"MQTT: {error}; check SLUICE_MQTT_CA_FILE, _CERT_FILE, _KEY_FILE")
        return
    kept = f"a session of {broker.session_s} s" if broker.is_version_5 else "a session that the broker keeps"
    asked = ", ".join(broker.filters)
    yield Finding(
        True,
        f"MQTT: as '{broker.client_id}' by MQTT {settings.mqtt_version}, {kept}, at most {broker.receive_maximum}"
        f" messages in flight, asks {settings.mqtt_url} for {asked}",
    )
    yield await _broker(broker)
    yield await _server(settings)


async def _broker(settings: BrokerSettings) -> Finding:
    """Whether it lets us in, for a session that ends with this question."""
    once = replace(settings, client_id=f"sluice-doctor-{secrets.token_hex(4)}", session_s=0, filters=())
    try:
        async with asyncio.timeout(PATIENCE_S), connected(once, lambda _: None, lambda *_: None):
            return Finding(True, "the broker lets us in")
    except (aiomqtt.MqttError, OSError, TimeoutError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
        return Finding(False, f"the broker does not let us in: {told}; check SLUICE_MQTT_URL, _USERNAME and _PASSWORD")


async def _server(settings: Settings) -> Finding:
    """Whether the key may write: a batch of nothing stores nothing."""
    if settings.mqtt_key is None:
        return Finding(False, "SLUICE_MQTT_KEY is not set: `sluice key create mqtt --scope ingest` prints one")
    headers = {"Authorization": f"Bearer {settings.mqtt_key.get_secret_value()}"}
    url = f"{settings.mqtt_server_url.rstrip('/')}/v1/readings"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session,
            session.post(url, json=[], headers=headers) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Finding(False, f"{settings.mqtt_server_url} does not answer: {type(error).__name__}: {error}")
    meaning = {
        200: "the bridge's key may write",
        401: "the bridge's key is not valid",
        403: "the bridge's key may not write",
    }
    return Finding(status == 200, f"{settings.mqtt_server_url}: {meaning.get(status, f'status {status}')}")
