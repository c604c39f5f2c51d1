"""A plan: which readings a run sends, in which order. Arithmetic alone, so that every side can say what they are."""

import random
from dataclasses import dataclass

import numpy as np

from load.batch import rfc3339
from schemas.columns import Float64s, Int64s

METRICS = ("temperature", "pressure", "humidity", "vibration", "current")
DEVICES = 1_000

# Two decimals, as sensors send; a fixed table, because a random number a reading would cost more than rendering it.
_random = random.Random(7)
VALUES = tuple(round(_random.uniform(0, 100), 2) for _ in range(4_096))
VALUE_TEXTS = tuple(map(str, VALUES))
_MASK = len(VALUES) - 1


def device_name(device: int) -> str:
    """What a device is called."""
    return f"bench-{device:04}"


def value_place(device: int, metric: int, tick: int) -> int:
    """Where in `VALUES` a reading finds its value."""
    return (device * 31 + metric * 7 + tick) & _MASK


@dataclass(frozen=True, slots=True)
class Plan:
    """`count` requests of `batch` readings. Request n is device n's (then begins anew), a tick is a millisecond.

    A batch of one goes through the metrics, any other holds all of them, `batch / 5` times.
    """

    batch: int
    count: int
    base_ms: int
    """When tick 0 was, ms since the epoch."""
    devices: int = DEVICES
    duplicates: int = 0
    """Per cent of the requests that repeat an earlier one."""
    lag: int = 128
    """How many requests earlier: far enough that it has been answered."""
    stride: int = 1
    """Devices follow each other so far apart; has no divisor in common with `devices`, so that each has its turn."""

    @property
    def ticks_per_request(self) -> int:
        """Times in one batch."""
        return max(1, self.batch // len(METRICS))

    @property
    def ticks(self) -> int:
        """Ticks from the first to the end of the last request."""
        if self.batch == 1:
            return -(-self.count // (self.devices * len(METRICS)))
        return -(-self.count // self.devices) * self.ticks_per_request

    def order(self) -> list[int]:
        """The requests in order of sending; one that stands here twice is sent twice."""
        if not self.duplicates:
            return list(range(self.count))
        every = 100 // self.duplicates
        order: list[int] = []
        fresh = 0
        for place in range(self.count):
            if place % every == every - 1:
                order.append(order[max(0, place - self.lag)])
            else:
                order.append(fresh)
                fresh += 1
        return order

    def of(self, request: int) -> tuple[int, range, range]:
        """A request's device, its metrics and its ticks."""
        turn, device = divmod(request, self.devices)
        device = device * self.stride % self.devices
        if self.batch == 1:
            tick, metric = divmod(turn, len(METRICS))
            return device, range(metric, metric + 1), range(tick, tick + 1)
        first = turn * self.ticks_per_request
        return device, range(len(METRICS)), range(first, first + self.ticks_per_request)

    def window(self, first: int, until: int) -> tuple[int, int]:
        """From when (µs) until before when the readings are that the requests first … until hold."""
        ticks = [self.of(request)[2] for request in (first, until - 1)]
        return (self.base_ms + ticks[0].start) * 1_000, (self.base_ms + ticks[1].stop) * 1_000

    def tick_texts(self) -> list[str]:
        """Each tick as RFC 3339 text in milliseconds."""
        texts = [rfc3339((self.base_ms + tick) * 1_000) for tick in range(self.ticks)]
        return [text.replace("000Z", "Z") for text in texts]

    def columns(self, first: int, until: int) -> tuple[Int64s, Int64s, Float64s]:
        """The readings sent for the first time in places first … until: series (device × 5 + metric), µs, value.

        In order of sending.
        """
        order = self.order()
        before = set(order[:first])
        requests = [request for request in dict.fromkeys(order[first:until]) if request not in before]
        device, metric, tick = [], [], []
        for request in requests:
            number, metrics, ticks = self.of(request)
            device.append(np.full(len(metrics) * len(ticks), number, np.int64))
            metric.append(np.tile(np.arange(metrics.start, metrics.stop), len(ticks)))
            tick.append(np.repeat(np.arange(ticks.start, ticks.stop), len(metrics)))
        devices, metrics_of, ticks_of = map(np.concatenate, (device, metric, tick))
        value = np.array(VALUES)[(devices * 31 + metrics_of * 7 + ticks_of) & _MASK]
        return devices * len(METRICS) + metrics_of, (ticks_of + self.base_ms) * 1_000, value
