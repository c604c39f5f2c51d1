"""One connection to the broker: aiomqtt's, with what it keeps to itself: when a message is acknowledged, and whether
anything is read.

aiomqtt acknowledges what it has put into a queue. So the client of paho under it is asked for manual acknowledgements,
and hands messages to us: its own, documented interface, to which aiomqtt has no way yet but the attribute `_client`.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as Paho
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.mqtt.broker_settings import BrokerSettings

CONNECT_S = 10.0
REFUSED = 128  # reason codes from here on
DO_NOT_SEND_RETAINED = 2


class SubscriptionError(Exception):
    """The broker refuses a subscription."""


class Broker:
    """A connection that stands."""

    def __init__(self, client: aiomqtt.Client, take: Callable[[MQTTMessage], None]) -> None:
        self._client = client
        self._paho: Paho = client._client
        self._paho.manual_ack_set(True)
        self._paho.on_message = lambda _client, _userdata, message: take(message)
        self._paused = False
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def acknowledge(self, mid: int, qos: int) -> bool:
        """Whether the acknowledgement is on its way."""
        return self._paho.ack(mid, qos) == MQTTErrorCode.MQTT_ERR_SUCCESS

    def pause(self) -> bool:
        """Read nothing more: the broker's own bounds hold then. Whether that is new."""
        if self._paused or (sock := self._paho.socket()) is None:
            return False
        self._paused = True
        asyncio.get_running_loop().remove_reader(sock)
        return True

    def resume(self) -> None:
        """Read on."""
        if self._paused and (sock := self._paho.socket()) is not None:
            self._paused = False
            loop = asyncio.get_running_loop()
            loop.add_reader(sock, self._read)
            loop.call_soon(self._read)  # what TLS has decrypted already makes no socket readable

    def _read(self) -> None:
        if self._paused:
            return
        try:
            self._paho.loop_read()
            while isinstance(sock := self._paho.socket(), ssl.SSLSocket) and sock.pending() and not self._paused:
                self._paho.loop_read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the connection is done for
            if not self._broken.done():
                self._broken.set_exception(error)

    async def lost(self) -> None:
        """Returns, or raises, when the connection has ended."""

        async def iterated() -> None:
            async for _ in self._client.messages:  # there are none: all of them go to `take`
                pass

        task = asyncio.create_task(iterated(), name="connection")
        try:
            await asyncio.wait((task, self._broken), return_when=asyncio.FIRST_COMPLETED)
            await (self._broken if self._broken.done() else task)
        finally:
            task.cancel()


@asynccontextmanager
async def connected(
    settings: BrokerSettings, take: Callable[[MQTTMessage], None], began: Callable[[Broker, bool], None]
) -> AsyncIterator[Broker]:
    """A connection with its subscriptions. `began` hears of it, and whether the broker still had our session, before
    `take` hears of the first message. Raises aiomqtt.MqttError, OSError and SubscriptionError."""
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        identifier=settings.client_id,
        username=settings.username,
        password=settings.password,
        tls_context=settings.tls,
        keepalive=settings.keepalive_s,
        timeout=CONNECT_S,
        **_version(settings),
    )
    broker = Broker(client, take)
    paho: Paho = client._client
    on_connect: Any = paho.on_connect

    def noting_session(client: Any, userdata: Any, flags: Any, reason: Any, properties: Any = None) -> None:
        if not reason.is_failure:
            began(broker, bool(flags.session_present))
        on_connect(client, userdata, flags, reason, properties)

    paho.on_connect = noting_session
    try:
        async with client:
            await _subscribe(client, settings)
            yield broker
    finally:
        paho.on_message = None  # what is in its buffers would be taken for the next connection's


def _version(settings: BrokerSettings) -> dict[str, Any]:
    if not settings.is_version_5:
        return {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": not settings.session_s}
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = settings.receive_maximum
    properties.SessionExpiryInterval = settings.session_s
    properties.MaximumPacketSize = settings.max_packet_bytes
    return {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": False, "properties": properties}


async def _subscribe(client: aiomqtt.Client, settings: BrokerSettings) -> None:
    """Raises SubscriptionError."""
    for each in settings.filters:
        if settings.is_version_5:
            options = SubscribeOptions(qos=1, retainHandling=DO_NOT_SEND_RETAINED)
            codes: Sequence[Any] = await client.subscribe(each, options=options)
        else:
            codes = await client.subscribe(each, qos=1)
        for code in codes:
            if int(getattr(code, "value", code)) >= REFUSED:
                raise SubscriptionError(f"the broker refuses the subscription {each}: {code}")


async def until_lost(broker: Broker, stop: asyncio.Event) -> None:
    """Returns when `stop` is set. Raises when the connection is lost."""
    lost, stopped = asyncio.create_task(broker.lost()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((lost, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            await lost
            raise aiomqtt.MqttError("the broker closed the connection")
    finally:
        for task in (lost, stopped):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
