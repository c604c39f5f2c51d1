"""Who leads a run: prepares the target, follows the course, has everybody fall silent, and has the books looked at."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from locust import User
from locust.env import Environment
from locust.runners import MasterRunner
from websockets.exceptions import WebSocketException

from load.own import OwnError
from load.scenarios.api import Api, ApiError
from load.scenarios.catalogue import Scenario
from load.scenarios.courses import Climb, Course, Even, Window
from load.scenarios.outcome import Outcome
from load.scenarios.plot import clock
from load.scenarios.recorder import Recorder, quantile_ms
from load.scenarios.rules import make_rules
from load.scenarios.settling import Settling
from load.scenarios.target import Target
from load.watcher import RefusedError, Watcher

PROGRESS_S, LINES = 5.0, 240
"""Between two lines of progress at least, and about how many of them a long run has."""
BACK_S = 5.0
"""Under load after an outage, at least."""
OUTAGE_AT, OUTAGE_S = 0.4, 0.1
"""Shares of the run: when the target is stopped, and how long it is away besides its stopping and starting."""
REPORT_LAG_S = 3.5
"""Workers tell their master what they recorded every three seconds."""

Tick = tuple[int, float, list[type[User]]]


class Conductor:
    """One run of one scenario."""

    def __init__(
        self,
        environment: Environment,
        scenario: Scenario,
        target: Target,
        seconds: float,
        begin: Callable[[Recorder], None],
    ) -> None:
        """`begin` is told of the recorder when all is prepared."""
        self.environment = environment
        self.scenario = scenario
        self.target = target
        self.seconds = seconds
        self.recorder = Recorder.of(time.time(), seconds)
        self.settling = Settling(environment.runner, seconds, calm_s=self._options.calm_s, rest_s=self._options.rest_s)
        self.outcome: Outcome | None = None
        self._course: Course = scenario.ramp.course() if scenario.ramp else Even()
        self._begin = begin
        self._outage = gevent.Greenlet(self._interrupt)
        self._ready_again_s: float | None = None
        self._plan = self._steps()
        self._stage = "preparing"

    def tick(self) -> Tick | None:
        """What `LoadTestShape.tick` answers; whatever goes wrong ends the run with a sentence."""
        try:
            return next(self._plan, None)
        except (ApiError, OwnError) as error:
            say(f"the run ends early: {error}")
            self.settling.books.troubles.append(str(error))
        return None

    def _steps(self) -> Iterator[Tick]:
        api = Api(self.target.url, self.target.key)
        rules = make_rules(api, str(self._options.prefix))
        start = self._head()
        classes = self._classes()
        self.recorder = Recorder.of(time.time(), self.seconds)
        self._options.began = self.recorder.began  # which every worker is told with its first users
        self._begin(self.recorder)
        watch = gevent.spawn(self._watch)
        if self.scenario.outage:
            self._outage.start()
        self._stage, last = "loading", (self._fixed, 10.0, classes)
        say(f"{self.scenario.name}: {clock(self.seconds)} under load begin")
        while (users := self._users()) is not None:
            self.settling.note_processes()
            last = users, max(10.0, users / 3), classes
            yield last
        loaded_s = self._at_s  # everybody stays, since whoever listens has the last event still to hear
        self._stage = "falling silent"
        yield from self.settling.calm(last)
        gevent.sleep(REPORT_LAG_S if self._distributed else 0)
        self._stage = "looking up what was acknowledged"
        yield from self.settling.settle(last, api, start, rules, str(self._options.prefix))
        yield from self.settling.audit(last)
        watch.kill()
        for rule in rules:
            api.delete(f"/v1/rules/{rule}")
        for each in self.environment.runner.exceptions.values() if self.environment.runner else ():
            self.settling.books.troubles.append(f"{each['count']} × an exception in a user: {each['msg']}")
        self.outcome = Outcome(
            self.scenario,
            self.target.url,
            self.recorder,
            self.settling.books,
            loaded_s,
            self._course,
            self._ready_again_s,
            {f"{error.method} {error.name}: {error.error}": error.occurrences for error in self._errors()},
        )

    @property
    def _options(self) -> Any:
        return self.environment.parsed_options

    @property
    def _at_s(self) -> float:
        return time.time() - self.recorder.began

    @property
    def _fixed(self) -> int:
        return sum(self.scenario.everybody.values())

    def _errors(self) -> list[Any]:
        found = self.environment.stats.errors.values()
        return sorted(found, key=lambda error: -error.occurrences)[:20]

    def _head(self) -> int:
        """The offset of the newest event: what is later is of this run."""
        try:
            watcher = Watcher(self.target.url, self.target.key)
        except (RefusedError, OSError, WebSocketException) as error:
            raise ApiError(f"no dashboard gets in at {self.target.url}/ws: {error!r}") from error
        watcher.close()
        return watcher.offset

    def _classes(self) -> list[type[User]]:
        """The classes that take part; locust begins those of a fixed count first, then those that ramp."""
        known = {each.__name__: each for each in self.environment.user_classes}
        for name, count in self.scenario.everybody.items():
            known[name].fixed_count = count
        ramp = [self.scenario.ramp.user] if self.scenario.ramp else []
        return [known[name] for name in (*self.scenario.everybody, *ramp)]

    def _users(self) -> int | None:
        """How many users there are to be now; None where the load is over."""
        most, at_s = self.scenario.ramp.most if self.scenario.ramp else 0, self._at_s
        if self._outage.exception is not None:
            raise self._outage.exception
        if self.scenario.outage and not self._outage.ready():
            return self._fixed + (self._course.users(0.0, self.seconds, most) or 0)
        if isinstance(self._course, Climb) and self._course.due(at_s, self._step_seconds):
            window = self._window(self._course.step_s(self._step_seconds) / 2)
            self._course.saw(at_s, window, most)
            step = self._course.steps[-1]
            say(
                f"{clock(at_s)}  {step.users:>4} users: {window.intended:>9,.0f} readings/s intended, "
                f"{window.achieved:>9,.0f} stored, p99 {window.p99_ms:,.0f} ms, {'held' if step.held else 'BENT'}"
            )
        users = self._course.users(at_s, self.seconds, most)
        return None if users is None else self._fixed + users

    @property
    def _step_seconds(self) -> float:
        """The length by which a climb chooses its steps: where workers report, steps of eight seconds at least."""
        return max(self.seconds, 8 * 24) if self._distributed else self.seconds

    @property
    def _distributed(self) -> bool:
        return isinstance(self.environment.runner, MasterRunner)

    def _window(self, seconds: float) -> Window:
        """What was seen in the last so many seconds of which everything is known."""
        recorder = self.recorder
        until = recorder.slot() - (round(REPORT_LAG_S / recorder.width_s) if self._distributed else 0)
        since = max(0, until - max(1, round(seconds / recorder.width_s)))
        span_s = max(1, until - since) * recorder.width_s
        total = {
            name: recorder.total(name, since, until) for name in ("intended", "readings", "errors", "requests", "cpu")
        }
        return Window(
            total["intended"] / span_s,
            total["readings"] / span_s,
            quantile_ms(recorder.histogram("write", since, until), 0.99),
            total["errors"] / (total["requests"] or 1),
            total["cpu"] / span_s,
        )

    def _watch(self) -> None:
        """Note users and CPU once a second, and say how it goes now and then."""
        runner = self.environment.runner
        since, told = time.monotonic(), 0.0
        while runner is not None:
            gevent.sleep(1.0)
            passed, since = time.monotonic() - since, time.monotonic()
            workers = [each.cpu_usage for each in runner.clients.values()] if isinstance(runner, MasterRunner) else []
            self.recorder.count("users", passed * runner.user_count)
            self.recorder.count("cpu", passed * max([runner.current_cpu_usage, *workers]))
            if (
                self._stage == "loading"
                and self._at_s - told >= self._between_s
                and not isinstance(self._course, Climb)
            ):
                told = self._at_s
                say(self._progress())
            elif self._stage != "loading" and self._at_s - told >= PROGRESS_S:
                told = self._at_s
                count = round(self.recorder.total("series looked up"))
                say(f"{self._stage}{f', {count:,} series so far' if count else ''}")

    @property
    def _between_s(self) -> float:
        return max(PROGRESS_S, self.seconds / LINES)

    def _progress(self) -> str:
        window = self._window(self._between_s)
        recorder, until = self.recorder, self.recorder.slot()
        since = max(0, until - round(self._between_s / recorder.width_s) - 1)
        alert = quantile_ms(recorder.histogram("alert", since), 0.99)
        sockets = recorder.total("sockets", since, until) / max(1, until - since) / recorder.width_s
        users = self.environment.runner.user_count if self.environment.runner else 0
        return (
            f"{clock(self._at_s)} of {clock(self.seconds)}  {users} users, {sockets:,.0f} sockets · "
            f"{window.achieved:,.0f} of {window.intended:,.0f} readings/s · p99 {_ms(window.p99_ms)} · "
            f"alert p99 {_ms(alert)} · errors {window.error_share:.1%}"
        )

    def _interrupt(self) -> None:
        """Stop the target for a while; the run lasts until it has been back for a moment."""
        gevent.sleep(OUTAGE_AT * self.seconds)
        say(f"{clock(self._at_s)}  the target is stopped")
        self.target.stop()
        gevent.sleep(OUTAGE_S * self.seconds)
        self.target.start()
        self._ready_again_s = self._at_s
        say(f"{clock(self._at_s)}  the target is ready again")
        gevent.sleep(BACK_S)


def _ms(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.0f} ms"


def say(line: str) -> None:
    """A line for whoever waits."""
    print(f"load: {line}", file=sys.stderr, flush=True)
