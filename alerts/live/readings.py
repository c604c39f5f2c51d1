"""`readings:<device>`: from COMMIT on any node to whoever watches the device, newest values only.

What nobody watches costs one look into a set a request. Nothing is promised but that newer values win: what Redis
loses is made up for by the next reading.
"""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated

import asyncpg
import numpy as np
import structlog
from pydantic import AllowInfNan, Field, TypeAdapter
from typing_extensions import TypedDict

from alerts.live.board import MAX_SERIES, Reading
from alerts.live.bus import Bus
from alerts.live.connection import Connection
from alerts.live.interest import Interest
from alerts.live.known import Known
from alerts.live.viewer import ViewedDevice, Viewer
from schemas.columns import Columns

log = structlog.get_logger(__name__)

READINGS = "readings:"
TOPIC = "readings"
MAX_DEVICES = 10_000
"""Watched on one node."""

MESSAGE_READINGS = 200
"""Of one message to the other nodes."""

LAST_US = 253_402_300_799_999_999  # the last microsecond of the year 9999


class _Wire(TypedDict):
    device: str
    readings: Sequence[tuple[str, str, Annotated[int, Field(ge=0, le=LAST_US)], Annotated[float, AllowInfNan(False)]]]


_WIRE: TypeAdapter[_Wire] = TypeAdapter(_Wire)


class Readings:
    """The devices watched on this node, what is newest of them, and the way there from the other nodes."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool) -> None:
        self.interest = Interest(bus)
        self._bus = bus
        self._known = Known(pool)
        self._devices: dict[str, ViewedDevice] = {}
        bus.listen(TOPIC, self._hear)

    @property
    def watched(self) -> AbstractSet[str]:
        """Devices somebody watches, on whatever node: always the same set."""
        return self.interest.watched

    def __len__(self) -> int:
        """How many devices are watched here."""
        return len(self._devices)

    def watch(
        self, connection: Connection, device: str, interval_s: float, metrics: frozenset[str] | None
    ) -> Viewer | None:
        """Watch a device for a connection; None where too many are watched here. First `ready`, then `begin`."""
        watched = self._devices.get(device)
        if watched is None:
            if len(self._devices) >= MAX_DEVICES:
                return None
            watched = self._devices[device] = ViewedDevice(device, READINGS + device)
            watched.ready = asyncio.create_task(self._learn(watched))
            self.interest.begin(device)
        viewer = Viewer(connection, watched, interval_s, metrics)
        watched.viewers.add(viewer)
        return viewer

    async def ready(self, viewer: Viewer) -> None:
        """Wait until it is known what is stored of the device, a second at most: then the viewer may begin."""
        if viewer.device is not None and viewer.device.ready is not None:
            await asyncio.shield(viewer.device.ready)

    async def _learn(self, device: ViewedDevice) -> None:
        device.board.know(await self._known.of(device.name))

    def end(self, viewer: Viewer) -> None:
        """Tell a connection no more."""
        device = viewer.device
        if device is None:
            return
        device.remove(viewer)
        if not device.viewers:
            del self._devices[device.name]
            self.interest.end(device.name)

    def stored(self, columns: Columns) -> None:
        """Take what was committed here, some of it of watched devices. Never raises: it is stored, and that counts."""
        try:
            for device, readings in newest(columns, self.watched).items():
                if (here := self._devices.get(device)) is not None:
                    here.offer(readings)
                if self.interest.elsewhere(device):
                    self._publish(device, readings)
        except Exception:
            log.exception("live readings broke")

    async def run(self) -> None:
        """Tell the other nodes what is watched here, for ever. Ends only by being cancelled."""
        await self.interest.run()

    def _publish(self, device: str, readings: list[Reading]) -> None:
        for start in range(0, len(readings), MESSAGE_READINGS):
            part = readings[start : start + MESSAGE_READINGS]
            self._bus.publish(_WIRE.dump_json({"device": device, "readings": part}), TOPIC)

    def _hear(self, payload: bytes) -> None:
        try:
            message = _WIRE.validate_json(payload)
            if (here := self._devices.get(message["device"])) is not None:
                here.offer([Reading(*each) for each in message["readings"]])
        except ValueError:  # another version, or somebody else on the bus
            log.debug("message_ignored", topic=TOPIC)


def newest(columns: Columns, devices: AbstractSet[str]) -> dict[str, list[Reading]]:
    """The newest reading of each series of these devices, at most `MAX_SERIES` a device; of equal times the first."""
    codes, ts = columns.codes, columns.ts
    if len(ts) == 1:
        places = [0]
    else:
        order = np.lexsort((-np.arange(len(ts)), ts, codes))
        last = np.append(codes[order][1:] != codes[order][:-1], True)
        places = order[last].tolist()
    found: dict[str, list[Reading]] = {}
    for place in places:
        series = columns.series[codes[place]]
        if series.device in devices:
            found.setdefault(series.device, []).append(
                Reading(series.metric, series.labels, int(ts[place]), float(columns.value[place]))
            )
    return {device: readings[:MAX_SERIES] for device, readings in found.items()}
