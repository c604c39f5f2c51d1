"""The checker: reads the database after things have healed, and holds the account against it. I1 to I3 are here."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

import asyncpg

from schemas.columns import SeriesKey
from schemas.times import to_micros
from tests.faults.trial.account import Account, Request

NEVER = frozenset({"refused", "forbidden", "poison"})
"""Kinds of requests of which nothing may be stored, whatever was answered."""
EXAMPLES = 8
"""Of each invariant so many findings are told in full."""
STORED = "SELECT device, metric, labels::text, ts, value FROM telemetry WHERE starts_with(device, $1)"

Identity = tuple[SeriesKey, int]
Bits = bytes
"""A float64, bit by bit."""


class Finding(NamedTuple):
    """A broken promise."""

    invariant: str
    text: str
    device: str = ""

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


class Presence(Enum):
    """What the answers say of one identity."""

    NO = auto()
    MAYBE = auto()
    YES = auto()


@dataclass(slots=True)
class Fate:
    """What has to be found of one identity, after its requests in the order in which they were sent."""

    presence: Presence = Presence.NO
    values: set[Bits] = field(default_factory=set)
    """Any of these."""
    late: set[Bits] = field(default_factory=set)
    """Of replacements of which an attempt went unanswered: it may have been stored after what was sent later."""

    def send(self, request: Request, value: float) -> None:
        """Go on by one request."""
        bits = struct.pack("<d", value)
        if request.replaces and request.uncertain:
            self.late.add(bits)
        if request.acknowledged:
            if request.replaces:
                self.values = {bits}
            elif self.presence is not Presence.YES:
                self.values.add(bits)
            self.presence = Presence.YES
        elif request.uncertain and request.kind not in NEVER:
            if self.presence is not Presence.YES or request.replaces:
                self.values.add(bits)
            if self.presence is Presence.NO:
                self.presence = Presence.MAYBE


async def stored_rows(url: str, prefix: str) -> dict[Identity, list[float]]:
    """Everything stored of devices whose names begin so; more than one value where it is there more than once."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(STORED, prefix)
    finally:
        await connection.close()
    return collect((row[0], row[1], row[2], to_micros(row[3]), row[4]) for row in rows)


def collect(rows: Iterable[tuple[str, str, str, int, float]]) -> dict[Identity, list[float]]:
    """Rows by identity. Labels of one pair at most: their text is then the same on both sides but for spaces."""
    found: dict[Identity, list[float]] = defaultdict(list)
    for device, metric, labels, us, value in rows:
        found[SeriesKey(device, metric, labels.replace('": "', '":"')), us].append(value)
    return found


def check_readings(account: Account, stored: dict[Identity, list[float]]) -> list[Finding]:
    """Hold what was acknowledged, refused or left open against what is stored."""
    fates: dict[Identity, Fate] = defaultdict(Fate)
    findings = list(_check_receipts(account.requests, fates))
    for (series, us), fate in fates.items():
        name = f"{series.device} {series.metric} {series.labels} at {us}"
        rows = stored.get((series, us), [])
        if len(rows) > 1:
            findings.append(Finding("I1", f"{name} is stored {len(rows)} times", series.device))
        if fate.presence is Presence.YES and not rows:
            findings.append(Finding("I1", f"{name} was acknowledged and is not stored", series.device))
        elif fate.presence is Presence.NO and rows:
            findings.append(Finding("I3", f"{name} is stored, though every answer said no", series.device))
        elif rows and struct.pack("<d", rows[0]) not in fate.values | fate.late:
            wanted = [struct.unpack("<d", bits)[0] for bits in fate.values | fate.late]
            findings.append(Finding("I1", f"{name} holds {rows[0]!r}, not {wanted}", series.device))
    for (series, us), _ in ((key, rows) for key, rows in stored.items() if key not in fates):
        findings.append(Finding("I3", f"{series} at {us} is stored, and nobody sent it", series.device))
    return findings + _check_atomicity(account.requests, stored)


def _check_receipts(requests: Sequence[Request], fates: dict[Identity, Fate]) -> Iterable[Finding]:
    """Step the fates through all requests, and see whether each receipt counts what it must."""
    twin: Request | None = None
    for request in requests:
        states = [fates[reading.series, reading.us] for reading in request.readings]
        before = [fate.presence for fate in states]
        for fate, reading in zip(states, request.readings, strict=True):
            fate.send(request, reading.value)
        receipt = request.receipt
        if receipt is None:
            continue
        if request.kind in NEVER:
            yield Finding("I8" if request.kind == "forbidden" else "I3", f"{request} was acknowledged", request.device)
        if receipt.accepted + receipt.duplicates != len(request.readings):
            yield Finding("I1", f"{request}: the receipt says {receipt}", request.device)
        if request.kind == "twins":
            twin, other = (None, twin) if twin is not None else (request, None)
            if other is not None and other.receipt is not None and not (request.uncertain or other.uncertain):
                both = receipt.accepted + other.receipt.accepted
                if both != len(request.readings):
                    yield Finding("I1", f"{other} and its twin: {both} accepted in all", request.device)
            continue
        least = before.count(Presence.NO)
        most = least + before.count(Presence.MAYBE)
        if not (least <= receipt.accepted <= most or (request.uncertain and receipt.accepted == 0)):
            yield Finding("I1", f"{request}: {receipt}, but {least} to {most} of them are new", request.device)


def _check_atomicity(requests: Sequence[Request], stored: dict[Identity, list[float]]) -> list[Finding]:
    """Of a batch that was given up, all is there or nothing."""
    senders: dict[Identity, int] = defaultdict(int)
    for request in requests:
        for reading in request.readings:
            senders[reading.series, reading.us] += 1
    findings = []
    for request in requests:
        if request.acknowledged or "partial" in request.params:
            continue
        own = [(reading.series, reading.us) for reading in request.readings]
        there = [identity in stored for identity in own if senders[identity] == 1]
        if any(there) and not all(there):
            text = f"of {request} {sum(there)} of {len(there)} readings are stored"
            findings.append(Finding("I2", text, request.device))
    return findings


def shortened(findings: Sequence[Finding]) -> list[str]:
    """A few of each invariant, and how many there are."""
    by_invariant: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_invariant[finding.invariant].append(finding)
    lines = []
    for name, some in sorted(by_invariant.items()):
        lines += [str(finding) for finding in some[:EXAMPLES]]
        if len(some) > EXAMPLES:
            lines.append(f"{name}: {len(some) - EXAMPLES} more")
    return lines
