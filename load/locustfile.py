"""Devices and dashboards for locust, and the time from a crossing reading to its alert on a dashboard's screen.

`SLUICE_KEY=slk_… locust -f load/locustfile.py --headless -u 50 -r 10 -t 30s --host http://127.0.0.1:8000`

The key needs the scope `admin`, for one rule is created. Every answer but 200, every connection that broke, every alert
missed or doubled counts as a failure, and any failure makes the exit code 1; what was refused is all the same handled
as the contract asks. Locust has made `time.sleep` and sockets cooperative before this file is read.
"""

import itertools
import logging
import os
import time
from collections.abc import Sequence
from typing import Any

from locust import FastHttpUser, User, constant_throughput, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import WorkerRunner

from load.batch import Batch, Layout, encode, halves, microseconds
from load.device import PATH
from load.verdict import Backoff, Verdict, retry_after_s, verdict
from load.watcher import Watcher
from schemas.conditions import Level, Severity, Threshold
from schemas.rules import RuleRequest

KEY = os.environ.get("SLUICE_KEY", "")
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}

SAMPLES = 5
"""Times in a batch; with four metrics that makes 20 readings."""
METRICS = ("vibration_x", "vibration_y", "temperature", "pressure")

LIMIT = 50.0
RULE = RuleRequest(
    name="Load test crossing",
    device="load-crossing-*",
    metric="level",
    condition=Threshold(type="threshold", levels=(Level(severity=Severity.INFO, above=LIMIT),)),
)
RULE_SETTLES_S = 3
"""A new rule reaches every worker within so long; what crosses before may raise no alert."""

numbers = itertools.count(1)
"""One for each device user of this process."""


class Posting(FastHttpUser):
    """A user that posts batches and keeps to the status table."""

    abstract = True

    def deliver(self, batches: Sequence[Batch]) -> None:
        """Send until the answer is final. Each attempt is an event of its own, so that no wait hides in a mean."""
        backoff = Backoff()
        body = encode(batches, Layout.COLUMNS).decode()
        while True:
            with self.client.post(PATH, data=body, headers=HEADERS, catch_response=True, name=PATH) as response:
                status = int(response.status_code or 0)
                if status == 200:
                    return
                response.failure(f"{status or response.error}: {(response.text or '')[:120]}")
                # Status 0 is a broken connection: like 504, nobody knows what was stored.
                act = verdict(status) if status else Verdict.RETRY
                asked_s = retry_after_s(response.headers or {})
            if act is Verdict.STOP:
                raise StopUser
            if act is Verdict.SPLIT and len(parts := halves(batches)) > 1:
                for part in parts:
                    self.deliver(part)
                return
            if act is not Verdict.RETRY:
                return
            time.sleep(backoff.pause_s(asked_s))

    def device_name(self, role: str) -> str:
        """A name that no other user of this run has, and the next run will use again: series are for ever."""
        worker = getattr(self.environment.runner, "worker_index", 0)
        return f"load-{role}-{max(worker, 0)}-{next(numbers)}"


class DeviceUser(Posting):
    """A device: once a second a batch of what its sensors sensed meanwhile."""

    weight = 9
    wait_time = constant_throughput(1)

    def on_start(self) -> None:
        """Take a name, and a clock that no other device shares."""
        self.device = self.device_name("device")
        self.done = now()

    @task
    def post(self) -> None:
        """Send the last second."""
        until = now()
        step = max(1, (until - self.done) // SAMPLES)
        ts = [self.done + step * n for n in range(1, SAMPLES + 1)]
        self.done = ts[-1]
        # The values follow from the time: a reading that is sent twice says the same twice.
        values: dict[str, list[Any]] = {metric: [at % 100_003 / 1_000 for at in ts] for metric in METRICS}
        self.deliver([Batch(self.device, ts, values)])


class CrossingUser(Posting):
    """The one device that crosses the rule's limit: above, below, above … twice a second.

    Its readings carry as `ts` the moment they were sent at, which is how a dashboard, in whatever process, knows it.
    """

    fixed_count = 1
    wait_time = constant_throughput(2)

    def on_start(self) -> None:
        """Take a name."""
        self.device = self.device_name("crossing")
        self.above = False
        self.watched = False

    @task
    def cross(self) -> None:
        """Send one reading from the other side of the limit, once there is a rule that watches it."""
        if not self.watched:
            self.watched = self._rule_exists() or self._create_rule()
            return
        self.above = not self.above
        self.deliver([Batch(self.device, [now()], {"level": [LIMIT + 10 if self.above else LIMIT - 10]})])

    def _rule_exists(self) -> bool:
        """Whether an earlier run has left the rule."""
        with self.client.get("/v1/rules", headers=HEADERS, catch_response=True) as response:
            if response.status_code == 200:
                return any(rule["name"] == RULE.name for rule in response.json()["items"])
            response.failure(f"{response.status_code or response.error}: the rule cannot be looked up")
        return False

    def _create_rule(self) -> bool:
        document = RULE.model_dump(mode="json", exclude_none=True)
        created = self.client.post("/v1/rules", json=document, headers=HEADERS).status_code == 201
        time.sleep(RULE_SETTLES_S if created else 1)
        return created

    def on_stop(self) -> None:
        """Leave no alert behind."""
        if self.above:
            self.cross()


class DashboardUser(User):
    """A dashboard: listens on `alerts`, comes back when it is cut off, and measures what the crossing device raises."""

    weight = 1
    watcher: Watcher | None = None

    @task
    def watch(self) -> None:
        """Connect and listen until the connection ends."""
        began = time.perf_counter()
        try:
            self.watcher = Watcher(str(self.host), KEY)
            self._report("WS", "connect", (time.perf_counter() - began) * 1_000)
            for data in self.watcher.publications():
                self._heard(data)
        except Exception as error:  # noqa: BLE001  whatever ends a connection is this user's finding
            self._report("WS", "connection", 0, error)
            time.sleep(1)
        finally:
            self.on_stop()

    def on_stop(self) -> None:
        """Leave."""
        if self.watcher is not None:
            self.watcher.close()
            self.watcher = None

    def _heard(self, data: dict[str, Any]) -> None:
        """Account for one publication."""
        if self.watcher is not None and self.watcher.skipped:
            error = RuntimeError(f"{self.watcher.skipped} publications missed or doubled")
            self.watcher.skipped = 0
            self._report("ALERT", "order", 0, error)
        alert = data["alert"]
        moment = {"firing": "fired_at", "resolved": "resolved_at"}.get(data["event"])
        if alert["rule"]["name"] == RULE.name and moment is not None:
            self._report("ALERT", data["event"], (now() - microseconds(alert[moment])) / 1_000)

    def _report(self, kind: str, name: str, took_ms: float, error: Exception | None = None) -> None:
        self.environment.events.request.fire(
            request_type=kind, name=name, response_time=took_ms, response_length=0, exception=error, context={}
        )


@events.init.add_listener  # type: ignore[untyped-decorator]
def check_key(environment: Environment, **_: object) -> None:
    """Refuse to start without a key, rather than report a thousand times 401."""
    if not KEY:
        raise SystemExit("SLUICE_KEY is not set: it holds an API key with the scope admin")


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def check_heard(environment: Environment, **_: object) -> None:
    """A run in which somebody crossed, somebody listened and nobody heard anything has failed."""
    if not {CrossingUser, DashboardUser} <= set(environment.user_classes) or isinstance(
        environment.runner, WorkerRunner
    ):
        return
    if not any(kind == "ALERT" and entry.num_requests for (_name, kind), entry in environment.stats.entries.items()):
        logging.getLogger(__name__).error("no dashboard heard any alert")
        environment.process_exit_code = 1


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000
