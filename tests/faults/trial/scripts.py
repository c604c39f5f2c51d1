"""What a device does next, drawn from a seed: batches that go on, come again, overlap, replace, are partly bad …"""

import random
import time
from collections.abc import Iterator
from dataclasses import replace as altered
from typing import Any

from load.batch import Batch, Cell, Layout, wire_time
from schemas.columns import SeriesKey
from tests.acceptance.traffic import any_float
from tests.faults.trial.account import Reading, Request

ALERTING = "heat"
"""The metric that a rule watches; crossing its limits often."""
PLAIN = ("vibration", "running")
WEIGHTS = {
    "new": 50,
    "again": 8,
    "twins": 6,
    "overlap": 8,
    "replace": 8,
    "partial": 6,
    "refused": 6,
    "late": 5,
    "series": 3,
}
"""How often what is done."""
LATE_US = 30_000_000
STALE_US = 2 * 86_400_000_000


class Script:
    """One device's story, request by request; times ascend, so that what is newest is known."""

    def __init__(self, device: str, chance: random.Random, number: int, skew_us: int = 0) -> None:
        self.device = device
        self._chance = chance
        self._labels = {"line": f"Süd {number % 3}"} if number % 4 == 0 else {}
        self._layout = list(Layout)[number % 2]
        self._grain = 1_001 if number % 2 else 1_000  # every other device to the microsecond, the rest whole ms
        self._skew_us = skew_us
        self._clock = 0
        self._late = 0
        self._hot = False
        self._count = 0
        self._last: list[Batch] = []
        self._extra = 0

    def requests(self) -> Iterator[list[Request]]:
        """For ever: one request, or several that go out at once."""
        while True:
            yield self.next(self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])

    def next(self, kind: str) -> list[Request]:
        """The next of this kind; `new` where there is nothing yet that it could refer to."""
        if not self._last and kind in ("again", "overlap", "replace"):
            kind = "new"
        match kind:
            case "again":
                return [self._request(kind, self._last[-1])]
            case "twins":
                batch = self._fresh()
                return [self._request(kind, batch), self._request(kind, batch)]
            case "overlap":
                return [self._request(kind, self._overlapping())]
            case "replace":
                other = self._revalued(self._chance.choice(self._last))
                return [self._request(kind, other, on_conflict="replace")]
            case "partial":
                return [self._spoilt(self._request(kind, self._fresh(), partial="true"))]
            case "refused":
                request = self._spoilt(self._request(kind, self._fresh(remember=False)))
                return [request]
            case "late":
                return [self._request(kind, self._earlier())]
            case "series":
                self._extra += 1
                return [self._request(kind, self._fresh(metric=f"extra {self._extra}"))]
        return [self._request(kind, self._fresh())]

    def _fresh(self, metric: str | None = None, *, remember: bool = True) -> Batch:
        now_us = time.time_ns() // 1_000 + self._skew_us
        start = max(self._clock + self._grain, now_us // 1_000 * 1_000)
        count = self._chance.choice((1, 1, 2, 5, 9))
        times = range(start, start + count * self._grain, self._grain)
        self._clock = times[-1]
        values: dict[str, list[Cell]] = {ALERTING: [self._heat() for _ in times]}
        for name in (*PLAIN, *([metric] if metric else [])):
            if metric is not None or self._chance.random() < 0.7:
                values[name] = [any_float(self._chance) for _ in times]
        batch = Batch(self.device, times, values, self._labels)
        if remember:
            self._last = [*self._last[-4:], batch]
        return batch

    def _heat(self) -> float:
        if self._chance.random() < 0.06:
            self._hot = not self._hot
        return float(self._chance.randint(81, 120) if self._hot else self._chance.randint(0, 60))

    def _overlapping(self) -> Batch:
        """The second half of the last batch with other values, which must not win, and new readings behind it."""
        old, new = self._last[-1], self._fresh()
        half = old.ts[len(old.ts) // 2 :]
        times = [*half, *new.ts]
        values: dict[str, list[Cell]] = {
            name: [*([any_float(self._chance) for _ in half] if name != ALERTING else [0.0] * len(half)), *cells]
            for name, cells in new.values.items()
        }
        return Batch(self.device, times, values, self._labels)

    def _revalued(self, batch: Batch) -> Batch:
        values: dict[str, list[Cell]] = {
            name: [float(self._chance.randint(0, 60)) if name == ALERTING else any_float(self._chance) for _ in cells]
            for name, cells in batch.values.items()
        }
        return altered(batch, values=values)

    def _earlier(self) -> Batch:
        """Readings before the newest: seconds ago, or days; new ones, that no rule may step."""
        back = self._chance.choice((LATE_US, STALE_US))
        self._late += 1
        start = (time.time_ns() // 1_000 - back) // 1_000_000 * 1_000_000 + self._late * 100_000 + self._count % 97
        times = range(start, start + 5 * self._grain, self._grain)
        values: dict[str, list[Cell]] = {ALERTING: [999.0] * 5, PLAIN[0]: [any_float(self._chance) for _ in times]}
        if not self._last:  # there has to be something newer, or these would be stepped
            values = {PLAIN[0]: values[PLAIN[0]]}
        return Batch(self.device, times, values, self._labels)

    def _request(self, kind: str, batch: Batch, **params: str) -> Request:
        self._count += 1
        readings = [Reading(*each) for each in batch.readings()]
        return Request(self.device, self._count, kind, readings, batch.document(self._layout), params)

    def _spoilt(self, request: Request) -> Request:
        """Add a reading that is invalid; whole batches are refused for it, of partial ones the others stay."""
        document: Any = request.document
        now_us = time.time_ns() // 1_000
        if "readings" in document:
            document["readings"].append({"ts": wire_time(now_us), "metric": PLAIN[0], "value": "21.5"})
        else:
            document["ts"] = [*document["ts"], (now_us + 3_600_000_000) // 1_000]
            document["values"] = {name: [*cells, 666.0] for name, cells in document["values"].items()}
        return request


def single(device: str, number: int, us: int, value: float, kind: str = "pulse", metric: str = "beat") -> Request:
    """A request with one reading."""
    reading = Reading(SeriesKey(device, metric, "{}"), us, value)
    document = {"device": device, "readings": [{"ts": wire_time(us), "metric": metric, "value": value}]}
    return Request(device, number, kind, [reading], document)
