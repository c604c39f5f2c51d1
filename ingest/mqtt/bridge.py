"""`sluice mqtt`: takes messages, brings them to the server, acknowledges them. Each is settled once it is stored or
refused for good; nothing else is ever acknowledged."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import aiomqtt
import structlog
from paho.mqtt.client import MQTTMessage

from ingest.formats.mapping import Mapping
from ingest.mqtt.batch import Message, is_full, read
from ingest.mqtt.broker import Broker, SubscriptionError, connected, until_lost
from ingest.mqtt.broker_settings import BrokerSettings
from ingest.mqtt.courier import TIMEOUT_S, Courier, backoff_s
from ingest.mqtt.metrics import BridgeMetrics, reason
from ingest.mqtt.notes import Notes
from ingest.mqtt.window import Held, Window
from schemas.errors import Fault

log = structlog.get_logger(__name__)

DRAIN_S = 7.0  # at the end, for what is held; the rest comes again
LOOK_S = 1.0  # between two looks at the lag


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """What a bridge needs to know."""

    broker: BrokerSettings
    server_url: str
    key: str
    mapping: Mapping
    queue_bytes: int
    max_readings: int


class Bridge:
    """One process's way from a broker to a server."""

    def __init__(self, settings: BridgeSettings, metrics: BridgeMetrics, clock_us: Callable[[], int]) -> None:
        self._settings, self._metrics, self._clock_us = settings, metrics, clock_us
        # Twice what the broker may have in flight at quality 1: while the server is away, pings are still answered.
        self._window = Window(2 * settings.broker.receive_maximum, settings.queue_bytes, settings.broker.client_id)
        self._notes = Notes(time.monotonic)
        self._broker: Broker | None = None
        self._arrived = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then settle what is held, if the server takes it in time."""
        limits = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=limits) as session:
            courier = Courier(session, self._settings.server_url, self._settings.key, self._metrics, self._settled)
            tasks: list[asyncio.Task[Any]] = [
                asyncio.create_task(self._listen(stop), name="listen"),
                asyncio.create_task(self._deliver(courier), name="deliver"),
                asyncio.create_task(self._look(), name="look"),
            ]
            stopped = asyncio.create_task(stop.wait(), name="stop")
            try:
                await asyncio.wait((stopped, *tasks), return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()  # one that broke ends the process, which says why
                await asyncio.wait(tasks[:1], timeout=DRAIN_S + 1)
            finally:
                for task in (stopped, *tasks):
                    task.cancel()
                await asyncio.gather(stopped, *tasks, return_exceptions=True)

    async def _listen(self, stop: asyncio.Event) -> None:
        """Be connected, again and again; at the end, until what is held was settled."""
        attempt = 0
        while not stop.is_set():
            try:
                async with connected(self._settings.broker, self._take, self._began) as broker:
                    attempt = 0
                    await until_lost(broker, stop)
                    broker.pause()
                    await self._drain()
            except (aiomqtt.MqttError, SubscriptionError, OSError, ValueError) as error:
                self._notes.note("no connection to the broker", "connection", why=f"{type(error).__name__}: {error}")
            finally:
                self._broker = None
                self._metrics.connected.set(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), backoff_s(attempt))
            attempt += 1

    async def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_S
        while len(self._window) and time.monotonic() < deadline:  # noqa: ASYNC110 - once in a process's life
            await asyncio.sleep(0.01)
        log.info("stopped", left_to_the_broker=len(self._window))

    def _began(self, broker: Broker, session_present: bool) -> None:
        self._broker = broker
        self._window.connected(session_present=session_present)
        self._metrics.connects.inc()
        self._metrics.connected.set(1)
        log.info(
            "connected to the broker", session_present=session_present, filters=list(self._settings.broker.filters)
        )

    def _take(self, message: MQTTMessage) -> None:
        """A message was delivered."""
        self._metrics.received.labels(message.qos).inc()
        if not message.qos and self._window.is_full:  # which promises nothing, and cannot be asked for again
            self._metrics.dropped.inc()
            self._notes.note("messages of quality 0 are dropped", "dropped", why="too much waits for the server")
            return
        try:
            topic, fault = message.topic, None
        except UnicodeDecodeError:
            topic, fault = "?", Fault((), "topic", "the topic is not UTF-8")
        if message.retain:
            fault = Fault((), "retained", "kept by the broker from before: its age is not known")
        held = self._window.take(
            message.mid,
            message.qos,
            topic,
            bytes(message.payload),
            self._clock_us(),
            time.monotonic(),
            again=message.dup,
        )
        if held is None:
            self._metrics.redelivered.inc()
        elif held.settled:
            self._metrics.redelivered.inc()
            self._acknowledge(held)
        elif fault is not None:
            self._settled(Message(held), fault)
        else:
            self._arrived.set()
            if self._window.is_full and self._broker is not None and self._broker.pause():
                self._metrics.pauses.inc()

    async def _deliver(self, courier: Courier) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while batch := self._batch():
                await courier.deliver(batch)

    def _batch(self) -> list[Message]:
        """The next messages, in order; what of them holds no reading is settled at once."""
        batch: list[Message] = []
        readings = size = 0
        for held in list(self._window):
            began = time.perf_counter()
            message = read(held, self._settings.mapping, self._settings.max_readings)
            self._metrics.decoding.inc(time.perf_counter() - began)
            self._metrics.skipped.inc(message.skipped)
            if message.defect is not None:
                self._notes.note("a message met a defect of Sluice", "defect", message.defect, topic=held.topic)
            for fault in message.faults if message.readings else ():
                self._left_out(held, fault)
            if not message.readings:
                self._settled(message, message.faults[0] if message.faults else None)
                continue
            batch.append(message)
            readings, size = readings + message.readings, size + sum(map(len, message.parts))
            if is_full(readings, size):
                break
        return batch

    def _left_out(self, held: Held, fault: Fault) -> None:
        self._metrics.rejected.labels(reason(fault.code)).inc()
        self._notes.note("a reading was left out", fault.code, topic=held.topic, why=fault.message)

    def _settled(self, message: Message, fault: Fault | None) -> None:
        """A message is stored, or refused for good: nobody needs it any more."""
        held = message.held
        if fault is not None:
            self._metrics.refused.labels(reason(fault.code)).inc()
            self._notes.note("a message was refused", fault.code, topic=held.topic, why=fault.message)
        if self._window.settle(held):
            self._acknowledge(held)
        if self._broker is not None and self._window.has_room:
            self._broker.resume()

    def _acknowledge(self, held: Held) -> None:
        if self._broker is not None and self._broker.acknowledge(held.mid, held.qos):
            self._window.acknowledged(held)
            self._metrics.acknowledged.inc()
            self._metrics.took.observe(time.monotonic() - held.since)

    async def _look(self) -> None:
        while True:
            oldest = next(iter(self._window), None)
            self._metrics.lag.set(time.monotonic() - oldest.since if oldest else 0)
            self._metrics.held.set(len(self._window))
            self._metrics.held_bytes.set(self._window.bytes)
            await asyncio.sleep(LOOK_S)
