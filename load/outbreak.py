"""Devices whose series all break at once, rendered beforehand: what a storm of alerts is made of."""

import json
import time
from dataclasses import dataclass

from load.bench.body import Door

PREFIX = "storm-"
LIMIT = 80.0
EACH = 10  # series of a device, which come in one batch


@dataclass(frozen=True, slots=True)
class Outbreak:
    """Some devices, and what they send."""

    name: str
    devices: int
    door: Door

    @property
    def series(self) -> int:
        """How many series they have together."""
        return self.devices * EACH

    def requests(self, value: float) -> list[bytes]:
        """One request a device, with one reading of each of its series, all of this value and of now."""
        ms = time.time_ns() // 1_000_000
        readings = [{"ts": ms, "metric": f"m{metric}", "value": value} for metric in range(EACH)]
        return [
            self.door.request(json.dumps({"device": f"{PREFIX}{self.name}-{device}", "readings": readings}).encode())
            for device in range(self.devices)
        ]
