"""Users that listen: dashboards, dashboards that lose their sockets together, and whole crowds of them."""

import json
import os
import subprocess
import sys
import time
from typing import Any

from locust import User, task

from load.audience import TOKEN
from load.batch import microseconds
from load.scenarios.rules import RULE_NAMES
from load.scenarios.share import share_of
from load.scenarios.told import MOMENTS
from load.watcher import Place, Watcher

AGAIN_S = 0.5
"""Between two attempts to connect."""


class Listener(User):
    """Who listens for as long as the run lasts: its task has no end that could be waited for."""

    abstract = True

    def stop(self, force: bool = False) -> bool:
        """Leave at once: locust waited ten seconds for it at the end of every run."""
        return bool(super().stop(force=True))


class DashboardUser(Listener):
    """A dashboard: listens on `alerts`, comes back when it is cut off, and measures how late it hears of crossings."""

    measures = True
    watcher: Watcher | None = None
    place: Place | None = None
    lost_at: float | None = None

    def on_start(self) -> None:
        """Join the others."""
        self.share = share_of(self.environment)
        self.share.listeners.add(self)

    @property
    def sockets(self) -> int:
        """Whether it is connected."""
        return int(self.watcher is not None)

    @property
    def offset(self) -> int:
        """Of the last event it has."""
        return self.watcher.offset if self.watcher else self.place.offset if self.place else -1

    @task
    def watch(self) -> None:
        """Connect and listen until the connection ends."""
        began = time.perf_counter()
        try:
            self.watcher = Watcher(str(self.host), self.share.key, back_at=self.place)
        except Exception as error:  # noqa: BLE001  whatever keeps it out is this user's finding
            self._report("connect", (time.perf_counter() - began) * 1_000, error)
            time.sleep(AGAIN_S)
            return
        self._report("connect", (time.perf_counter() - began) * 1_000)
        if self.lost_at is not None:
            self.share.recorder.took("resume", (time.perf_counter() - self.lost_at) * 1_000)
            self.lost_at = None
        try:
            self.listen(self.watcher)
        except Exception as error:  # noqa: BLE001  and so is whatever ends the connection
            self.share.recorder.count("sockets lost")
            self._report("socket", 0, error)
        finally:
            self._leave()

    def listen(self, watcher: Watcher) -> None:
        """Hear every publication, for ever."""
        for data in watcher.publications():
            self.heard(data)

    def heard(self, data: dict[str, Any]) -> None:
        """Account for one publication."""
        self.share.recorder.count("events heard")
        moment = MOMENTS.get(data["event"])
        if self.measures and moment is not None and data["alert"]["rule"]["name"] in RULE_NAMES:
            ms = time.time() * 1_000 - microseconds(data["alert"][moment]) / 1_000
            self.share.recorder.took("alert", ms)
            self._fire("ALERT", data["event"], ms)

    def on_stop(self) -> None:
        """Leave."""
        self._leave()

    def _leave(self) -> None:
        """Keep what it has noticed, and where it was."""
        if self.watcher is None:
            return
        self.settle()
        watcher, self.watcher = self.watcher, None
        self.lost_at = time.perf_counter()
        self.place = watcher.place
        watcher.drop()

    def settle(self) -> None:
        """Enter in the share what was missed or doubled so far."""
        if self.watcher is not None:
            self.share.missed += self.watcher.missed
            self.share.repeated += self.watcher.repeated
            self.watcher.missed = self.watcher.repeated = 0

    def _report(self, name: str, took_ms: float, error: Exception | None = None) -> None:
        self.share.recorder.took("connect", took_ms) if error is None else None
        self._fire("WS", name, took_ms, error)

    def _fire(self, kind: str, name: str, took_ms: float, error: Exception | None = None) -> None:
        self.environment.events.request.fire(
            request_type=kind, name=name, response_time=took_ms, response_length=0, exception=error, context={}
        )


class ReturningUser(DashboardUser):
    """A dashboard that loses its socket whenever the clock's seconds are a multiple of fifteen, like all the others."""

    measures = False
    period_s = 15.0

    def listen(self, watcher: Watcher) -> None:
        """Hear publications until the next drop."""
        until = (time.time() // self.period_s + 1) * self.period_s
        while self.share.calm or time.time() < until:
            try:
                for data in watcher.publications(0.5 if self.share.calm else max(0.01, until - time.time())):
                    self.heard(data)
                    if not self.share.calm and time.time() >= until:
                        return
            except TimeoutError:
                continue


class CrowdUser(Listener):
    """A crowd of dashboards in a process of its own, so that to hold them takes nothing from those that send."""

    size = 500
    sockets = 0
    offset = -1
    process: "subprocess.Popen[bytes] | None" = None

    def on_start(self) -> None:
        """Join the others."""
        self.share = share_of(self.environment)
        self.share.listeners.add(self)

    @task
    def watch(self) -> None:
        """Be there until the run is over, or the crowd breaks up."""
        command = (sys.executable, "-m", "load.audience", str(self.host), str(self.size))
        environment = os.environ | {TOKEN: self.share.key}
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        began = time.perf_counter()
        assert self.process.stdout is not None  # noqa: S101 - for mypy: it is a pipe
        for text in self.process.stdout:
            line = json.loads(text)
            self.offset = max(self.offset, line["offset"])
            if "ready" in line:
                self.sockets = line["ready"]
                self.share.recorder.took("connect", (time.perf_counter() - began) * 1_000)
            elif line["age_ms"] is not None:
                self.share.recorder.took("crowd", line["age_ms"])
            if line["lost"] or line["skipped"]:
                self.share.missed += line["lost"] + line["skipped"]
                self.share.trouble(f"a crowd of {self.size} sockets is not whole: {line}")
                break
        self._left()
        self.share.trouble(f"a crowd of {self.size} sockets is gone: {self._last_words()}")
        time.sleep(5)

    def on_stop(self) -> None:
        """Leave."""
        self._left()

    def settle(self) -> None:
        """What a crowd misses is entered as it happens."""

    def _left(self) -> None:
        self.sockets = 0
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.terminate()

    def _last_words(self) -> str:
        text = self.process.stderr.read() if self.process and self.process.stderr else b""
        return (text.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1][:200]
