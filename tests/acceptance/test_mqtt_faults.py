"""The bridge from MQTT while everything around it fails, and it itself: nothing is lost, nothing doubled."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.mosquitto import BINARY, PATIENCE_S, Mosquitto, bridging, until
from tests.conftest import Server, StartServer
from tests.proxy import HOST, Proxy, through

pytestmark = pytest.mark.skipif(BINARY is None, reason="MOSQUITTO IS ABSENT: the bridge from MQTT was NOT tried")

FIRST_MS = time.time_ns() // 1_000_000 - 3_600_000
_numbers = itertools.count()
PADDING = "x" * 2_000  # so that few messages fill a bridge
AT_ONCE = 20  # messages that the publisher has under way


@pytest_asyncio.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    """What stands before PostgreSQL."""
    async with Proxy.to(database) as standing:
        yield standing


@pytest_asyncio.fixture
async def server(start_server: StartServer, database: str, proxy: Proxy) -> Server:
    """A server whose database can be taken away."""
    return await start_server(workers=1, database_url=through(database, proxy))


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """A broker that can be stopped."""
    async with Mosquitto(tmp_path) as running:
        yield running


class Sender:
    """Publishes at quality 1, and remembers what the broker took: numbers, each with a time of its own or without."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self._numbers = _numbers
        self.wanted = 0
        self.taken: dict[str, set[int]] = {"timed": set(), "plain": set()}

    async def run(self) -> None:
        """Until it is cancelled. While the broker is away, what it did not take is sent again."""
        waiting: list[int] = []
        while True:
            try:
                async with self._broker.client() as client:
                    while True:
                        waiting = waiting or list(itertools.islice(self._numbers, AT_ONCE))
                        await asyncio.gather(*(self._send(client, number) for number in waiting))
                        waiting = []
                        # Beyond what the test waits for, a trickle: all that the broker takes has to be stored.
                        await asyncio.sleep(0.01 if len(self.taken["plain"]) < self.wanted else 0.5)
            except Exception:  # noqa: BLE001 - the broker is away
                waiting = [number for number in waiting if number not in self.taken["timed"]]
                await asyncio.sleep(0.1)

    async def _send(self, client: object, number: int) -> None:
        payload = json.dumps({"ts": FIRST_MS + number, "value": number, "text": PADDING})
        await client.publish("sensors/timed/n", payload, qos=1)  # type: ignore[attr-defined]
        self.taken["timed"].add(number)
        await client.publish("sensors/plain/n", str(number), qos=1)  # type: ignore[attr-defined]
        self.taken["plain"].add(number)


@asynccontextmanager
async def sending(broker: Mosquitto) -> AsyncIterator[Sender]:
    """A sender that is at work, and ends with what it has under way."""
    sender = Sender(broker)
    task = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def more(sender: Sender, count: int = 200) -> None:
    """Wait until the broker took so many more."""
    sender.wanted = len(sender.taken["plain"]) + count

    async def taken() -> bool:
        return len(sender.taken["plain"]) >= sender.wanted

    await until(taken)


async def numbers(server: Server, device: str) -> Counter[int]:
    """What is stored, and how often."""
    records = await server.fetch("SELECT value::bigint FROM telemetry WHERE device = $1", device)
    return Counter(record[0] for record in records)


async def check(server: Server, sender: Sender, *, at_most: int) -> None:
    """Wait until all that the broker took is stored: what has its own time once, the rest at most so often."""
    missing: set[int] = set()
    for device in ("timed", "plain"):

        async def complete(device: str = device) -> bool:
            missing.clear()
            missing.update(sender.taken[device] - set(await numbers(server, device)))
            return not missing

        try:
            await until(complete)
        except AssertionError:
            raise AssertionError(f"{len(missing)} of {device} are missing, as {sorted(missing)[:5]}") from None
    found = await numbers(server, "timed")
    assert max(found.values()) == 1
    late = "SELECT 1 FROM telemetry WHERE device = 'timed' AND value <> extract(epoch FROM ts) * 1000 - $1::bigint"
    assert await server.fetch(late, FIRST_MS) == []
    doubled = [number for number, count in (await numbers(server, "plain")).items() if count > at_most]
    assert not doubled, doubled[:5]


async def hold(server: Server, proxy: Proxy, broker: Mosquitto, database: str, outage_s: float) -> None:
    """PostgreSQL goes while messages come; so does the broker meanwhile, which then delivers again what is held.

    The bridge lives and knows it again: nothing is there twice, whether it has its own time or not.
    """
    async with bridging(broker, server) as bridge:
        async with sending(broker) as sender:
            await more(sender)
            proxy.lead_to(HOST, 9)
            proxy.reset()
            began = time.monotonic()

            async def held_back() -> bool:
                refused = await bridge.told("posts_total", verdict="again") > 0
                return refused and time.monotonic() > began + outage_s

            await until(held_back, outage_s + PATIENCE_S)
            # The broker reads a packet of each client in turn: after so many of ours no acknowledgement waits unread,
            # which would be lost with its connection.
            await more(sender, 300)
            broker.stop()
            await broker.start()

            async def comes_again() -> bool:
                return await bridge.told("messages_redelivered_total") > 0

            await until(comes_again)
            proxy.lead_to_url(database)
            await more(sender)
        await check(server, sender, at_most=1)
        assert await bridge.told("connects_total") == 2


async def kill(server: Server, proxy: Proxy, broker: Mosquitto, database: str, times: int) -> None:
    """One of two bridges is killed while both hold messages that cannot be stored, as many as they may."""
    two = {"GROUP": "two", "QUEUE_BYTES": "65536", "URL": f"mqtts://{HOST}:{broker.tls_port}", "CA_FILE": "cert.pem"}
    async with (
        bridging(broker, server, "one", **two) as one,
        bridging(broker, server, "other", **two) as other,
    ):
        async with sending(broker) as sender:
            for _ in range(times):
                await more(sender)
                proxy.lead_to(HOST, 9)
                proxy.reset()
                await more(sender)

                async def is_full() -> bool:
                    return await other.told("pauses_total") > 0

                await until(is_full)
                one.kill()
                proxy.lead_to_url(database)
                await one.start()
            await more(sender)
        await check(server, sender, at_most=times + 1)
        for bridge in (one, other):
            assert await bridge.told("readings_stored_total") > 0
        assert await one.stop() == 0


async def test_an_outage_of_postgresql_and_of_the_broker_loses_and_doubles_nothing(
    server: Server, proxy: Proxy, broker: Mosquitto, database: str
) -> None:
    await hold(server, proxy, broker, database, 2.5)


@pytest.mark.long
async def test_half_a_minute_without_postgresql_loses_nothing(
    server: Server, proxy: Proxy, broker: Mosquitto, database: str
) -> None:
    await hold(server, proxy, broker, database, 30)


async def test_two_bridges_share_and_one_that_is_killed_loses_nothing(
    server: Server, proxy: Proxy, broker: Mosquitto, database: str
) -> None:
    await kill(server, proxy, broker, database, 1)


@pytest.mark.long
async def test_a_bridge_that_is_killed_five_times_loses_nothing(
    server: Server, proxy: Proxy, broker: Mosquitto, database: str
) -> None:
    await kill(server, proxy, broker, database, 5)
