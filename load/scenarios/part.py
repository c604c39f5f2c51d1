"""What every process that holds users does for a run: opens its share, falls silent, and looks things up."""

import time
from dataclasses import asdict
from typing import Any, cast

import gevent
from locust.env import Environment

from load.scenarios.lookup import LONG_S, Lookup
from load.scenarios.recorder import Recorder
from load.scenarios.share import Share, share_of

HEARD_S = 15.0
"""For dashboards to hear the last event."""
LOOK_S = 0.1


class Part:
    """One process's part in the run."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._runner = cast(Any, environment.runner)
        self._lookup: Lookup | None = None
        self._greenlets: list[gevent.Greenlet] = []
        self._runner.register_message("calm", self._calm)
        self._runner.register_message("audit", self._audit)

    def begin(self, recorder: Recorder, seconds: float) -> None:
        """Open this process's share, before its first user."""
        options: Any = self._environment.parsed_options
        share = Share(str(self._environment.host), options.key, options.prefix, recorder)
        vars(self._environment)["share"] = share
        self._lookup = Lookup(share)
        self._greenlets = [gevent.spawn(share.sample)]
        if seconds > LONG_S:
            self._greenlets.append(gevent.spawn(self._lookup.roll))

    def take(self) -> list[list[Any]]:
        """What was recorded since the last time."""
        share: Share | None = vars(self._environment).get("share")
        return share.recorder.take() if share else []

    def _calm(self, environment: Environment, msg: Any) -> None:
        gevent.spawn(self._fall_silent, share_of(environment), float(msg.data["within_s"]))

    def _fall_silent(self, share: Share, within_s: float) -> None:
        share.calm = True
        deadline = time.monotonic() + within_s
        while share.busy and time.monotonic() < deadline:
            gevent.sleep(LOOK_S)
        answer = {"unknown": share.unknown, "expected": share.expected, "allowed": share.allowed}
        self._runner.send_message("calmed", answer)

    def _audit(self, environment: Environment, msg: Any) -> None:
        gevent.spawn(self._look_up, share_of(environment), int(msg.data["head"]))

    def _look_up(self, share: Share, head: int) -> None:
        lookup = self._lookup or Lookup(share)
        deadline = time.monotonic() + HEARD_S
        while any(each.offset < head for each in share.listeners) and time.monotonic() < deadline:
            gevent.sleep(LOOK_S)
        late = [each for each in share.listeners if each.offset < head]
        if late:
            share.missed += len(late)
            share.trouble(f"{len(late)} dashboards did not hear the last event ({head}) within {HEARD_S:g} s")
        for each in list(share.listeners):
            each.settle()
        gevent.killall(self._greenlets)
        lookup.finish()
        answer = {
            "findings": asdict(lookup.found),
            "rolled": lookup.rolled,
            "missed": share.missed,
            "repeated": share.repeated,
            "let_in": share.let_in,
            "troubles": share.troubles,
        }
        self._runner.send_message("audited", answer)
