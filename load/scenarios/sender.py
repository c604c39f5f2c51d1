"""A user that writes: keeps to the status table, and enters what it was answered."""

import gzip
import random
import time
from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

from locust import FastHttpUser, task
from locust.exception import StopUser
from locust.user.users import UserMeta

from load.batch import Batch, Cell, halves
from load.device import NOTHING, RECEIPT
from load.scenarios.dialects import NATIVE, Dialect
from load.scenarios.share import share_of
from load.verdict import Backoff, Verdict, retry_after_s, verdict
from schemas.columns import Receipt

MS = 1_000
"""Microseconds."""
MOST_PAUSE_S = 5.0
"""Between two attempts, besides what the server asks for."""


class Kind(ABCMeta, UserMeta):
    """Of users some of whose methods are abstract: who lacks one is refused where it would begin."""


class Sender(FastHttpUser, metaclass=Kind):
    """A user that posts batches and keeps to the status table."""

    abstract = True  # to locust, which would begin it, too
    role = ""
    per_s = 1.0
    dialect: Dialect = NATIVE
    compress = False
    key = ""
    """Of its own, where the run's does not do."""
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

    @abstractmethod
    def send(self) -> None:
        """One period's work."""

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

    def deliver(self, batches: Sequence[Batch], known: int = 0, *, counted: bool = True) -> bool:
        """Send until the answer is final; whether all of it is stored. What is cut off meanwhile stays unknown.

        `known` readings are stored already: they have to come back as duplicates, and are none of those that are meant
        to be sent. Nor are those that are not `counted`.
        """
        readings = sum(map(len, batches))
        self.share.busy += 1
        self.share.unknown += readings
        try:
            stored = self._deliver(batches, known)
        finally:
            self.share.busy -= 1
        self.share.unknown -= readings
        self.share.recorder.count("readings", readings - known if stored and counted else 0)
        return stored

    def _deliver(self, batches: Sequence[Batch], known: int | None) -> bool:
        body = self.dialect.encode(batches)
        backoff = Backoff(most_s=MOST_PAUSE_S)
        while True:
            act, asked_s, receipt = self._attempt(gzip.compress(body, 1) if self.compress else body, batches)
            if act is Verdict.DONE:
                self.share.ledger.note(batches, receipt)
                if self.dialect.receipt and backoff.attempts == 0 and known is not None:
                    # Nobody but us sends these: what is a duplicate is known, unless an attempt went unanswered.
                    self.share.ledger.miscounted += receipt.duplicates != known
                return True
            if act is Verdict.STOP:
                raise StopUser
            if act is Verdict.SPLIT and len(parts := halves(batches)) > 1:
                stored = [self._deliver(part, None) for part in parts]  # each of them, whatever became of another
                return all(stored)
            if act is not Verdict.RETRY:
                self.share.trouble(f"a batch of {self.device} was refused for good; see the errors")
                return False
            time.sleep(backoff.pause_s(asked_s))

    def _attempt(self, body: bytes, batches: Sequence[Batch]) -> tuple[Verdict, float, Receipt]:
        """Send once. Each attempt is an event of its own, so that no wait hides in a mean."""
        key = self.key or self.share.key
        headers = dict(self.dialect.headers)
        if (path := self.dialect.path.format(key=key)) == self.dialect.path:
            headers["Authorization"] = f"Bearer {key}"
        if self.compress:
            headers["Content-Encoding"] = "gzip"
        began = time.perf_counter()
        with self.client.post(
            path,
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


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000
