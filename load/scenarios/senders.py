"""Users that write: devices, gateways, devices of other protocols, and those that cross limits."""

import gzip
import random
import time
from collections.abc import Sequence
from typing import Any

from locust import FastHttpUser, constant_throughput, task
from locust.exception import StopUser

from load.batch import Batch, Cell, halves
from load.device import NOTHING, RECEIPT
from load.scenarios.dialects import FOREIGN, NATIVE, Dialect
from load.scenarios.rules import LIMIT
from load.scenarios.share import share_of
from load.scenarios.told import Crossing
from load.verdict import Backoff, Verdict, retry_after_s, verdict
from schemas.columns import Receipt

MS = 1_000
"""Microseconds."""
MOST_PAUSE_S = 5.0
"""Between two attempts, besides what the server asks for."""
AGAIN = 0.05
"""So often a device sends its last batch once more with the next one, as one does that missed the answer."""


class Sender(FastHttpUser):
    """A user that posts batches and keeps to the status table."""

    abstract = True
    role = ""
    per_s = 1.0
    dialect: Dialect = NATIVE
    compress = False
    readings = 0
    """In each request."""
    network_timeout = 30.0
    connection_timeout = 5.0

    @property
    def readings_per_s(self) -> float:
        """What it means to send."""
        return self.readings * self.per_s

    def on_start(self) -> None:
        """Take a name; begin somewhere in the first period, for a fleet does not march in step."""
        self.share = share_of(self.environment)
        worker = max(getattr(self.environment.runner, "worker_index", 0), 0)
        self.device = f"{self.share.prefix}-{self.role}-{worker}-{self.share.number()}"
        time.sleep(random.random() / self.per_s)
        self.done = now() // MS * MS
        self.share.senders.add(self)

    def on_stop(self) -> None:
        """Mean to send nothing any more."""
        self.share.senders.discard(self)

    @task
    def work(self) -> None:
        """Send what is due, unless the run is over."""
        if self.share.calm:
            time.sleep(0.2)
        else:
            self.send()

    def send(self) -> None:
        """One period's work."""
        raise NotImplementedError

    def sensed(self, device: str, ts: Sequence[int], metrics: int) -> Batch:
        """Values that follow from the time: a reading that is sent twice says the same twice."""
        values: dict[str, list[Cell]] = {
            f"m{metric}": [(at // MS + metric) % 100_003 / 1_000 for at in ts] for metric in range(metrics)
        }
        return Batch(device, ts, values)

    def due(self, samples: int) -> list[int]:
        """So many moments since the last time, on whole milliseconds."""
        until = max(now(), self.done + samples * MS)
        step = (until - self.done) // samples // MS * MS
        moments = [self.done + step * n for n in range(1, samples + 1)]
        self.done = moments[-1]
        return moments

    def deliver(self, batches: Sequence[Batch], known: int = 0) -> bool:
        """Send until the answer is final; whether all of it is stored. What is cut off meanwhile stays unknown.

        `known` readings were sent before, and so are none of those that are meant to be sent.
        """
        readings = sum(map(len, batches))
        self.share.busy += 1
        self.share.unknown += readings
        try:
            stored = self._deliver(batches)
        finally:
            self.share.busy -= 1
        self.share.unknown -= readings
        self.share.recorder.count("readings", readings - known if stored else 0)
        return stored

    def _deliver(self, batches: Sequence[Batch]) -> bool:
        body = self.dialect.encode(batches)
        backoff = Backoff(most_s=MOST_PAUSE_S)
        while True:
            act, asked_s, receipt = self._attempt(gzip.compress(body, 1) if self.compress else body, batches)
            if act is Verdict.DONE:
                self.share.ledger.note(batches, receipt)
                return True
            if act is Verdict.STOP:
                raise StopUser
            if act is Verdict.SPLIT and len(parts := halves(batches)) > 1:
                stored = [self._deliver(part) for part in parts]  # each of them, whatever became of another
                return all(stored)
            if act is not Verdict.RETRY:
                self.share.trouble(f"a batch of {self.device} was refused for good; see the errors")
                return False
            time.sleep(backoff.pause_s(asked_s))

    def _attempt(self, body: bytes, batches: Sequence[Batch]) -> tuple[Verdict, float, Receipt]:
        """Send once. Each attempt is an event of its own, so that no wait hides in a mean."""
        headers = {"Authorization": f"Bearer {self.share.key}", **self.dialect.headers}
        if self.compress:
            headers["Content-Encoding"] = "gzip"
        began = time.perf_counter()
        with self.client.post(
            self.dialect.path,
            data=body,  # type: ignore[arg-type]  # it takes bytes, and says so in its documentation
            headers=headers,
            catch_response=True,
            name=self.dialect.name,
        ) as response:
            self.share.recorder.count("requests")
            self.share.recorder.took("write", (time.perf_counter() - began) * 1_000)
            status = int(response.status_code or 0)
            if status == self.dialect.success:
                return Verdict.DONE, 0.0, self._receipt(response.text or "", batches)
            response.failure(f"{status or response.error}: {(response.text or '')[:120]}")
            self.share.recorder.count("errors")
            if status in (401, 403):
                self.share.trouble(f"{status}: the key was refused in mid-run")
            # Status 0 is a broken connection: like 504, nobody knows what was stored.
            act = verdict(status) if status else Verdict.RETRY
            return act, retry_after_s(response.headers or {}), NOTHING

    def _receipt(self, text: str, batches: Sequence[Batch]) -> Receipt:
        """What the server says it took; of protocols that do not say it, everything."""
        return RECEIPT.validate_json(text) if self.dialect.receipt else Receipt(sum(map(len, batches)), 0)


class DeviceUser(Sender):
    """A device: once a second what its four sensors sensed, five times each."""

    role, samples, metrics = "device", 5, 4
    readings = samples * metrics
    wait_time = constant_throughput(Sender.per_s)
    before: Batch | None = None

    def send(self) -> None:
        """Send the last second; now and then with the one before it."""
        batch = self.sensed(self.device, self.due(self.samples), self.metrics)
        again = [self.before] if self.before is not None and random.random() < AGAIN else []
        self.deliver([*again, batch], known=sum(map(len, again)))
        self.before = batch


class BurstUser(DeviceUser):
    """A device that was away, and has more to say."""

    role, samples = "burst", 25
    readings = samples * DeviceUser.metrics


class ForeignUser(Sender):
    """A device that speaks another protocol, each the next one."""

    role, samples, metrics = "foreign", 5, 4
    readings = samples * metrics
    wait_time = constant_throughput(Sender.per_s)

    def on_start(self) -> None:
        """Choose the protocol."""
        super().on_start()
        self.dialect = FOREIGN[self.share.number() % len(FOREIGN)]

    def send(self) -> None:
        """Send the last second."""
        self.deliver([self.sensed(self.device, self.due(self.samples), self.metrics)])


class GatewayUser(Sender):
    """A gateway: once a second a request with the readings of its fifty devices."""

    role, devices, samples, metrics = "gateway", 50, 5, 4
    readings = devices * samples * metrics
    compress = True
    wait_time = constant_throughput(Sender.per_s)

    def send(self) -> None:
        """Send the last second of all of them."""
        moments = self.due(self.samples)
        self.deliver([self.sensed(f"{self.device}-{n}", moments, self.metrics) for n in range(self.devices)])


class ClimbingUser(Sender):
    """One of those by whose number the knee is found."""

    role, samples, metrics, per_s = "climb", 100, 5, 2.0
    readings = samples * metrics
    wait_time = constant_throughput(per_s)

    def send(self) -> None:
        """Send the last half second of a fast machine."""
        self.deliver([self.sensed(self.device, self.due(self.samples), self.metrics)])


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
        stored = self.deliver([Batch(name, [at], values) for name in names], known=0 if known else self.readings)
        crossings = [Crossing(name, metric, at, event) for name in names for metric in values]
        (self.share.expected if stored and known else self.share.allowed).extend(crossings)


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000
