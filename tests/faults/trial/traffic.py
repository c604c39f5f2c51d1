"""Everybody who uses the cluster while it is broken: devices, a pulse, an intruder, dashboards."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from websockets.exceptions import WebSocketException

from alerts.live.eventlog import HEAD
from tests.faults.trial.account import Account
from tests.faults.trial.cluster import Cluster
from tests.faults.trial.dashboards import Dashboard, ended, refused
from tests.faults.trial.devices import Courier, Device, Intruder, Pulse
from tests.faults.trial.scripts import Script
from tests.faults.trial.views import View

CHANNEL_REFUSED = 103


@dataclass(frozen=True, slots=True)
class Load:
    """How much is going on."""

    devices: int = 14
    pace_s: float = 0.03
    """Of one device, between an answer and its next request."""
    dashboards: int = 6


@dataclass
class Traffic:
    """Those who are at it."""

    cluster: Cluster
    prefix: str
    account: Account
    devices: list[Device]
    dashboards: list[Dashboard]
    views: list[View]
    courier: Courier
    stopping: asyncio.Event
    senders: list[asyncio.Task[None]] = field(default_factory=list)
    watchers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Of the devices."""
        return [device.script.device for device in self.devices]

    async def flows(self, count: int = 2, patience_s: float = 30.0) -> None:
        """Wait until every device was acknowledged so many batches more. Raises TimeoutError."""
        goals = [device.acknowledged + count for device in self.devices]
        async with asyncio.timeout(patience_s):
            while any(device.acknowledged < goal for device, goal in zip(self.devices, goals, strict=True)):
                for task in (*self.senders, *self.watchers):
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def stop(self, patience_s: float = 30.0) -> None:
        """Let everybody bring home what they hold, and send no more. Raises TimeoutError."""
        self.stopping.set()
        async with asyncio.timeout(patience_s):
            await asyncio.gather(*self.senders)

    async def abandon(self) -> None:
        """Send no more, whatever is held; what is under way then has an unknown end."""
        await ended(self.senders)

    def watch(self, dashboard: Dashboard) -> asyncio.Task[None]:
        """Have one more dashboard; it is checked like all others."""
        self.dashboards.append(dashboard)
        self.watchers.append(asyncio.create_task(dashboard.run()))
        return self.watchers[-1]


@asynccontextmanager
async def traffic(cluster: Cluster, prefix: str, chance: random.Random, load: Load) -> AsyncIterator[Traffic]:
    """Have them at it while it is entered."""
    account, stopping = Account(), asyncio.Event()
    writer, reader = await cluster.key("ingest"), await cluster.key("read")
    bound_reader = await cluster.key("read", device_glob=f"{prefix}-d01")
    (row,) = await cluster.fetch(HEAD)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        courier = Courier(session, cluster.url, writer, account)
        devices = [
            Device(
                courier,
                account,
                Script(f"{prefix}-d{number:02}", random.Random(chance.random()), number),
                random.Random(chance.random()),
                load.pace_s,
                stopping,
            )
            for number in range(load.devices)
        ]
        watching = [
            Dashboard(cluster.url, key, channel, row["last_offset"], row["epoch"], random.Random(chance.random()))
            for key, channel in (
                *[(reader, "alerts")] * (load.dashboards - 1),
                (bound_reader, f"alerts:{prefix}-d01"),
            )
        ]
        views = [
            View(cluster.url, key, f"{prefix}-d{number:02}", random.Random(chance.random()))
            for key, number in ((reader, 0), (bound_reader, 1), (reader, 2))
        ]
        bound_writer = await cluster.key("ingest", device_glob=f"{prefix}-d*")
        pulse = Pulse(courier, account, f"{prefix}-pulse", stopping)
        intruder = Intruder(courier, account, f"{prefix}-x", bound_writer, reader, stopping)
        if cluster.nodes:
            intruder.unclear |= {504}  # what nginx makes of a connection that breaks
        running = Traffic(cluster, prefix, account, devices, watching, views, courier, stopping)
        works = [each.run() for each in devices] + [pulse.run(), intruder.run()]
        works += [_knock(account, cluster.url, bound_reader, f"{prefix}-d02", stopping)]
        running.senders = [asyncio.create_task(work) for work in works]
        looking = [*(each.run() for each in watching), *(each.run() for each in views)]
        running.watchers = [asyncio.create_task(look) for look in looking]
        try:
            yield running
        finally:
            await ended([*running.senders, *running.watchers])


async def _knock(account: Account, url: str, key: str, device: str, stopping: asyncio.Event) -> None:
    """Ask for channels with a key that is bound to another device."""
    while not stopping.is_set():
        for channel in ("alerts", f"alerts:{device}"):
            try:
                code = await refused(url, key, channel)
            except (OSError, TimeoutError, WebSocketException, ValueError):
                continue
            if code not in (CHANNEL_REFUSED, 100):
                account.trouble.append(f"a bound key asked for the channel {channel} and was answered {code}")
        until = time.monotonic() + 0.5
        while time.monotonic() < until and not stopping.is_set():
            await asyncio.sleep(0.05)
