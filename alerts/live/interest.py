"""Which devices somebody watches, on any node: each tells the others, and is forgotten when it falls silent."""

import asyncio
import time

from pydantic import TypeAdapter, ValidationError

from alerts.live.bus import Bus
from schemas.names import MAX_NAME_CHARS

TOPIC = "watching"
TELL_S = 3.0
"""Between two times that a node tells of everything it watches; of a new device it tells at once."""

FORGET_S = 10.0
"""Without being told of: longer than three tellings, and so short that what a killed node watched ends within 12 s."""

SWEEP_S = 1.0

NAMES = 500
"""Devices of one message, so that none is much larger than 64 KB."""

MAX_OTHERS = 100_000
"""Devices watched by other nodes that are known here; what is watched beyond that gets its own node's readings only."""

_NAMES: TypeAdapter[list[str]] = TypeAdapter(list[str])


class Interest:
    """The devices watched here, and those watched elsewhere."""

    def __init__(self, bus: Bus) -> None:
        self.watched: set[str] = set()
        """All of them: always this same set, so that who holds it needs one look per request."""
        self._bus = bus
        self._own: set[str] = set()
        self._others: dict[str, float] = {}
        """Until when, monotonic seconds."""
        self._untold: list[str] = []
        bus.listen(TOPIC, self._hear)

    def elsewhere(self, device: str) -> bool:
        """Whether another node watches the device."""
        return device in self._others

    def begin(self, device: str) -> None:
        """Somebody here watches the device from now on."""
        self._own.add(device)
        self.watched.add(device)
        if not self._untold:  # one message for all that begin in this round of the loop
            asyncio.get_running_loop().call_soon(self._tell_new)
        self._untold.append(device)

    def end(self, device: str) -> None:
        """Nobody here does any more; the others find out by not being told again."""
        self._own.discard(device)
        if device not in self._others:
            self.watched.discard(device)

    async def run(self) -> None:
        """Tell and forget, for ever. Ends only by being cancelled."""
        due = 0.0
        while True:
            now = time.monotonic()
            self.forget(now)
            if now >= due:
                self._tell(list(self._own))
                due = now + TELL_S
            await asyncio.sleep(SWEEP_S)

    def forget(self, now: float) -> None:
        """Forget what no other node has told of lately."""
        for device in [device for device, until in self._others.items() if until <= now]:
            del self._others[device]
            if device not in self._own:
                self.watched.discard(device)

    def _tell_new(self) -> None:
        devices, self._untold = self._untold, []
        self._tell(devices)

    def _tell(self, devices: list[str]) -> None:
        for start in range(0, len(devices), NAMES):
            self._bus.publish(_NAMES.dump_json(devices[start : start + NAMES]), TOPIC)

    def _hear(self, payload: bytes) -> None:
        try:
            devices = _NAMES.validate_json(payload)
        except ValidationError:  # another version, or somebody else on the bus
            return
        until = time.monotonic() + FORGET_S
        for device in devices:
            known = device in self._others
            if known or (len(self._others) < MAX_OTHERS and len(device) <= MAX_NAME_CHARS):
                self._others[device] = until
                self.watched.add(device)
