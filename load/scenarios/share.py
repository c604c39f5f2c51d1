"""A process's share of a run: what its users record while they run, and what is asked of it afterwards."""

import time
from dataclasses import dataclass, field
from typing import Protocol, cast

import gevent

from load.ledger import Ledger
from load.scenarios.recorder import Recorder
from load.scenarios.told import Crossing

SAMPLE_S = 0.25
TROUBLES = 20
"""So many are kept; the rest is only more of the same."""


class Intending(Protocol):
    """A user that means to send at an even rate."""

    @property
    def readings_per_s(self) -> float:
        """What it means to send."""


class Listening(Protocol):
    """A user that holds sockets on `alerts`."""

    @property
    def sockets(self) -> int:
        """Open ones, now."""

    @property
    def offset(self) -> int:
        """Of the last event that all of them have; -1: none was open yet."""

    def settle(self) -> None:
        """Enter in the share what they missed so far."""


@dataclass(slots=True)
class Share:
    """What the users of one process have in common."""

    url: str
    key: str
    prefix: str
    """Of the names of all devices."""
    recorder: Recorder
    ledger: Ledger = field(default_factory=Ledger)
    expected: list[Crossing] = field(default_factory=list)
    allowed: list[Crossing] = field(default_factory=list)
    senders: set[Intending] = field(default_factory=set)
    listeners: set[Listening] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    calm: bool = False
    """Nobody begins to send any more."""
    busy: int = 0
    """Batches whose fate is not known yet."""
    unknown: int = 0
    """Readings of requests that were given up without an answer: they may be stored or not."""
    missed: int = 0
    repeated: int = 0
    let_in: int = 0
    numbers: int = 0

    def number(self) -> int:
        """One that no other user of this process has."""
        self.numbers += 1
        return self.numbers

    def trouble(self, text: str) -> None:
        """Note what kept the run from being what it was meant to be."""
        if len(self.troubles) < TROUBLES and text not in self.troubles:
            self.troubles.append(text)

    def sample(self) -> None:
        """Now and then, for ever: how much is meant to be sent, and how many sockets are open."""
        since = time.monotonic()
        while True:
            gevent.sleep(SAMPLE_S)
            passed, since = time.monotonic() - since, time.monotonic()
            if not self.calm:
                self.recorder.count("intended", passed * sum(each.readings_per_s for each in self.senders))
            self.recorder.count("sockets", passed * sum(each.sockets for each in self.listeners))


def share_of(environment: object) -> Share:
    """The share of the process whose environment of locust this is."""
    return cast(Share, vars(environment)["share"])
