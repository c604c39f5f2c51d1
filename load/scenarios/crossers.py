"""Users whose readings cross limits: what they send is also what every alert is held against."""

import random
import time
from typing import Any

from locust import constant_throughput

from load.batch import Batch
from load.scenarios.rules import LIMIT
from load.scenarios.sender import MS, Sender, now
from load.scenarios.told import Crossing


class CrossingUser(Sender):
    """A device that crosses a limit with each reading, above, below, above …, twice a second.

    Its readings carry as `ts` the moment they were sent at, which is how a dashboard, in whatever process, knows it.
    """

    role, per_s, readings = "crossing", 2.0, 1
    wait_time = constant_throughput(per_s)

    def on_start(self) -> None:
        """Begin below: that may end what an earlier run has left."""
        super().on_start()
        self.above = True
        self._cross()

    def send(self) -> None:
        """Send one reading from the other side of the limit."""
        self._cross()

    def _cross(self) -> None:
        first = not hasattr(self, "crossed")
        self.above, self.crossed = not self.above, True
        event = "firing" if self.above else "resolved"
        crossing = Crossing(self.device, "level", now(), event)
        stored = self.deliver(
            [Batch(self.device, [crossing.ts], {"level": [LIMIT + 10 if self.above else LIMIT - 10]})]
        )
        (self.share.expected if stored and not first else self.share.allowed).append(crossing)


class StormUser(Sender):
    """A gateway all of whose series cross the limit at the same moment as everybody else's, and ten seconds later back.

    The waves begin when the clock's seconds are a multiple of ten, in whatever process: nobody has to tell anybody.
    """

    role, devices, metrics, period_s = "storm", 10, 10, 10.0
    readings, per_s = devices * metrics, 1 / period_s
    wave = 0

    def wait_time(self) -> float:
        """Until the next wave, and a part of its first second."""
        return self.period_s - time.time() % self.period_s + random.random()

    def on_start(self) -> None:
        """Begin below the limit."""
        self.per_s = 1.0  # somewhere in the first second
        super().on_start()
        self.per_s = 1 / self.period_s
        self.share.senders.discard(self)
        self._send(above=False, known=False)
        time.sleep(self.wait_time())
        self.share.senders.add(self)

    def send(self) -> None:
        """Rise with the odd waves, fall with the even ones."""
        self.wave += 1
        self._send(above=self.wave % 2 == 1, known=True)

    def _send(self, *, above: bool, known: bool) -> None:
        at, event = now() // MS * MS, "firing" if above else "resolved"
        names = [f"{self.device}-{n}" for n in range(self.devices)]
        values: dict[str, list[Any]] = {
            f"m{metric}": [LIMIT + 10 if above else LIMIT - 10] for metric in range(self.metrics)
        }
        stored = self.deliver([Batch(name, [at], values) for name in names], counted=known)
        crossings = [Crossing(name, metric, at, event) for name in names for metric in values]
        (self.share.expected if stored and known else self.share.allowed).extend(crossings)
