"""A running sender: a simulated device, or a gateway for several, that wakes by its own clock and posts what is due."""

import asyncio
import time
from collections.abc import Sequence

from load.batch import Batch
from load.device import Device
from load.fleet import SECOND, Member, ticks

MAX_READINGS = 5_000
"""In one request; the server takes twice as many."""

BACKLOG_S = 600
"""So much a sender remembers while the server is away; what is older is lost: a real device's memory is finite too."""


class Sender:
    """Posts the readings of its members, each reading once, in ascending time.

    It remembers how far it has been acknowledged, and takes from there whatever is due: a history of hours, what an
    outage held up, or the last second.
    """

    def __init__(self, members: Sequence[Member], device: Device, interval: int, history_s: float = 0) -> None:
        """`interval`: microseconds from one reading of a sensor to the next."""
        self.device = device
        self._members = members
        self._interval = interval
        # A sensor that is read faster than once a second is still sent once a second.
        self._period = max(SECOND, interval)
        self._backlog = int(max(BACKLOG_S, history_s) * SECOND)
        per_tick = sum(len(member.kind.signals) + (member.kind.switch is not None) for member in members)
        self._window = interval * max(1, MAX_READINGS // per_tick)
        self._done = now() - int(history_s * SECOND)

    async def run(self) -> None:
        """Send for ever; ends only by `KeyRefusedError` or cancellation."""
        while True:
            caught_up = now()
            while self._done < caught_up:
                await self._advance(caught_up)
            wake = now() + 1
            wake += (self._members[0].phase(self._period) - wake) % self._period
            await asyncio.sleep((wake - now()) / SECOND)

    async def _advance(self, until: int) -> None:
        """Send one request's worth of what is due."""
        after = max(self._done, until - self._backlog)
        until = min(until, after + self._window)
        if batches := self.sensed(after, until):
            await self.device.send(batches)
        self._done = until

    def sensed(self, after: int, until: int) -> list[Batch]:
        """What the members sensed in (after, until], µs; nothing of those whose clock did not tick."""
        moments = [
            (member, ticks(after, until, self._interval, member.phase(self._interval))) for member in self._members
        ]
        return [member.batch(ts) for member, ts in moments if len(ts)]


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000
