"""A fleet that exists only as arithmetic: every value follows from (seed, device, time) and nothing else.

So a run can be repeated, a history can be told before its devices have lived it, and what is sent twice is the same.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from load.batch import Batch, Cell
from load.kinds import KINDS, Kind, Signal, Switch
from schemas.columns import Float64s, Int64s
from schemas.rules import RuleRequest

UInt64s = NDArray[np.uint64]

SECOND = 1_000_000
"""Microseconds."""
DAY_S = 86_400
DAY_PEAK_S = 15 * 3_600

FAULT_EVERY_S = 60
"""One device of the fleet has a fault in each such slot, however large the fleet is."""
FAULT_START_S = 15
"""A fault begins so late in its slot at most …"""
FAULT_S = (25, 75)
"""… and lasts so long: it may reach into the next slot, but never beyond (start + length < 2 slots)."""
FAULT_EDGE_S = 10
"""A fault comes and goes within so long: not a step, so that levels are crossed one after another."""

GATEWAY_SIZE = 4
"""So many devices send through one gateway."""


@dataclass(frozen=True, slots=True)
class Member:
    """One device of a fleet."""

    fleet: "Fleet"
    number: int
    """Its place in the fleet."""
    name: str
    kind: Kind

    def batch(self, ts: Int64s) -> Batch:
        """What its sensors say at these times (µs since the epoch)."""
        fault = self.fleet.fault(self.number, ts)
        values: dict[str, list[Cell]] = {}
        idle = np.zeros(len(ts), np.bool_)
        if switch := self.kind.switch:
            running = self._switched(switch, ts) | (fault > 0)
            idle = ~running
            values[switch.metric] = running.tolist()
        for signal in self.kind.signals:
            values[signal.metric] = self._sensed(signal, ts, fault, idle).tolist()
        return Batch(self.name, ts.tolist(), values, self.kind.labels)

    def phase(self, interval: int) -> int:
        """Where in each interval (µs) its clock ticks, on a whole millisecond: no two devices wake together."""
        return self._key("clock") % max(1, interval // 1_000) * 1_000

    def _switched(self, switch: Switch, ts: Int64s) -> NDArray[np.bool_]:
        offset = self._unit(switch.metric) * switch.period_s
        return ((ts / SECOND + offset) % switch.period_s) < switch.duty * switch.period_s

    def _sensed(self, signal: Signal, ts: Int64s, fault: Float64s, idle: NDArray[np.bool_]) -> Float64s:
        seconds = ts / SECOND
        place = self._unit(signal.metric)
        drift_period_s = 3_600 * (2 + 3 * place)  # its own for every signal, so that they do not sway together
        value: Float64s = (
            signal.base
            + signal.spread * (2 * place - 1)
            + signal.day * np.cos(2 * math.pi * (seconds - DAY_PEAK_S) / DAY_S)
            + signal.drift * np.sin(2 * math.pi * (seconds / drift_period_s + place))
            + signal.noise * _normal(self._key(signal.metric), ts)
            + signal.idle * idle
            + signal.fault * fault
        )
        # + 0.0 turns the -0.0 that rounding may leave into 0.0, which is what a sensor would print.
        return value.clip(signal.low, signal.high).round(signal.digits) + 0.0

    def _key(self, what: str) -> int:
        return _key(f"{self.fleet.seed}/{self.name}/{what}")

    def _unit(self, what: str) -> float:
        """A number in [0, 1) that is this device's own."""
        return self._key(what) / 2**64


class Fleet:
    """`size` devices of all kinds in turn, and the faults that befall them."""

    def __init__(self, size: int, seed: int = 1) -> None:
        self.seed = seed
        kinds = [KINDS[n % len(KINDS)] for n in range(size)]
        self.members = [Member(self, n, f"{kind.name}-{n // len(KINDS) + 1}", kind) for n, kind in enumerate(kinds)]

    @property
    def rules(self) -> list[RuleRequest]:
        """The rules that watch this fleet."""
        return list({member.kind.name: member.kind.rule for member in self.members}.values())

    def senders(self) -> Iterator[list[Member]]:
        """Who opens a connection: a device for itself, or a gateway for several of a kind."""
        for kind in KINDS:
            members = [member for member in self.members if member.kind is kind]
            size = GATEWAY_SIZE if kind.gateway else 1
            yield from (members[n : n + size] for n in range(0, len(members), size))

    def fault(self, number: int, ts: Int64s) -> Float64s:
        """How badly the device is in trouble at these times: 0 is well, 1 is the height of the fault."""
        height = np.zeros(len(ts))
        if not len(ts):
            return height
        seconds = ts / SECOND
        slots = int(seconds.min()) // FAULT_EVERY_S, int(seconds.max()) // FAULT_EVERY_S
        for slot in range(slots[0] - 1, slots[1] + 1):
            key = _key(f"{self.seed}/fault/{slot}")
            if key % len(self.members) != number:
                continue
            place = (key >> 32) / 2**32
            begin = slot * FAULT_EVERY_S + place * FAULT_START_S
            end = begin + FAULT_S[0] + place * (FAULT_S[1] - FAULT_S[0])
            edges = np.minimum(seconds - begin, end - seconds) / FAULT_EDGE_S
            height = np.maximum(height, np.clip(edges, 0, 1))
        return height


def ticks(after: int, until: int, interval: int, phase: int) -> Int64s:
    """The moments of a clock in (after, until], µs: the same ones in every run, wherever it begins."""
    first = (after - phase) // interval + 1
    last = (until - phase) // interval
    return np.arange(first, last + 1, dtype=np.int64) * interval + phase


def _key(text: str) -> int:
    """64 bits that depend on the text alone (`hash` differs between runs)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _normal(key: int, ts: Int64s) -> Float64s:
    """Noise of mean 0 and deviation 1 at each time: four 16-bit parts of a mixed word, summed (at most ±3.5)."""
    word = _mix(ts.astype(np.uint64) ^ np.uint64(key))
    parts = sum((word >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48))
    # The sum of four uniform numbers in [0, 1) has mean 2 and variance 4 / 12.
    return (np.asarray(parts, np.float64) / 2**16 - 2) * math.sqrt(3)


def _mix(word: UInt64s) -> UInt64s:
    """The finalizer of splitmix64: neighbouring times give unrelated words. Overflow is meant."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
