"""What locust loads: the users, the shape, and where they are joined. `sluice load NAME` is the short way here.

`locust -f load/scenarios/locustfile.py --headless --scenario steady --minutes 2 --host http://…` with the key in
SLUICE_KEY; with `--master` and `--worker` on several machines, whose clocks have to agree for the latency of alerts.
Locust has made `time.sleep`, sockets and processes cooperative before this file is read.
"""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from locust import LoadTestShape, User, events, runners
from locust.env import Environment
from locust.runners import WorkerRunner

from load.own import OwnError
from load.scenarios.catalogue import SCENARIOS, Scenario, ScenarioError, compose, refuse
from load.scenarios.conductor import Conductor, say
from load.scenarios.crossers import CrossingUser, StormUser
from load.scenarios.devices import BurstUser, ClimbingUser, DeviceUser, ForeignUser, GatewayUser
from load.scenarios.listeners import CrowdUser, DashboardUser, ReturningUser
from load.scenarios.part import Part
from load.scenarios.recorder import Recorder
from load.scenarios.report import summary, write
from load.scenarios.settling import CALM_S, REST_S
from load.scenarios.target import OwnTarget, Target
from load.scenarios.trespassers import TrespasserUser

__all__ = [
    "BurstUser",
    "ClimbingUser",
    "CrossingUser",
    "CrowdUser",
    "DashboardUser",
    "DeviceUser",
    "ForeignUser",
    "GatewayUser",
    "ReturningUser",
    "StormUser",
    "TrespasserUser",
]

runners.HEARTBEAT_LIVENESS = 30
"""Seconds of silence after which locust gives a worker up: with its three, a busy machine ended the whole run."""
STOP_S = 10
"""For a user that a ramp takes away to finish its request."""


class Shape(LoadTestShape):
    """Follows the conductor."""

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        """What the conductor says."""
        conductor = conductor_of(self.runner.environment) if self.runner else None
        return conductor.tick() if conductor else None


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: Any, **_: object) -> None:
    """Options of our own, beside locust's; each may come from the environment."""
    add, known = parser.add_argument, ", ".join(SCENARIOS)
    add("--scenario", env_var="SLUICE_SCENARIO", default="steady", help=f"{known}; several with +")
    add("--minutes", type=float, env_var="SLUICE_MINUTES", help="Under load; 0: as the scenario says.")
    add("--scale", type=float, env_var="SLUICE_SCALE", default=1.0, help="Times as many users.")
    add("--report", env_var="SLUICE_REPORT", default="artifacts/load", help="Folder of the report.")
    add("--prefix", env_var="SLUICE_PREFIX", default="load", help="Of all devices' names.")
    add("--p99-ms", type=float, help="Bound on writing, instead of the scenario's.")
    add("--alert-p99-ms", type=float, help="Bound on alerts, instead of the scenario's.")
    add("--error-share", type=float, help="Bound on requests with an error (0 to 1).")
    add("--achieved-share", type=float, help="Bound on the achieved of the intended rate (0 to 1).")
    add("--calm-s", type=float, default=CALM_S, help="For the last batches to be answered for good.")
    add("--rest-s", type=float, default=REST_S, help="For the last alerts to be recorded.")
    add("--key", env_var="SLUICE_KEY", default="", include_in_web_ui=False, help="Scope admin.")


@events.init.add_listener  # type: ignore[untyped-decorator]
def join(environment: Environment, **_: object) -> None:
    """Make this process's part, and where it leads the run, the conductor."""
    logging.getLogger("locust.stats_logger").disabled = True  # ours says it shorter
    environment.stop_timeout = STOP_S
    options: Any = environment.parsed_options
    if isinstance(environment.runner, WorkerRunner):
        part = Part(environment)
        events.test_start.add_listener(  # type: ignore[no-untyped-call]
            lambda **_: part.begin(Recorder.of(options.began, options.minutes * 60), options.minutes * 60)
        )
        events.report_to_master.add_listener(lambda data, **_: data.update(load=part.take()))  # type: ignore[no-untyped-call]
        environment.process_exit_code = 0  # it is the leader who judges
        return
    part_here = None if options.master else Part(environment)
    try:
        scenario = _scenario(options)
        target = _target(environment, scenario)
    except (ScenarioError, OwnError) as error:
        raise SystemExit(f"load: {error}") from error
    options.minutes = options.minutes or scenario.minutes
    seconds = options.minutes * 60

    def begin(recorder: Recorder) -> None:
        if part_here is not None:
            part_here.begin(recorder, seconds)

    conductor = Conductor(environment, scenario, target, seconds, begin)
    vars(environment)["conductor"] = conductor
    events.worker_report.add_listener(lambda data, **_: conductor.recorder.merge(data.get("load", [])))  # type: ignore[no-untyped-call]


def _scenario(options: Any) -> Scenario:
    scenario = compose(options.scenario).scaled(options.scale)
    refuse(scenario, options.host, options.key)
    bounds = ("p99_ms", "alert_p99_ms", "error_share", "achieved_share")
    limits = scenario.limits.replaced(**{name: getattr(options, name) for name in bounds})
    return replace(scenario, limits=limits)


def _target(environment: Environment, scenario: Scenario) -> Target:
    """What `--host` names, or a server of our own."""
    options: Any = environment.parsed_options
    if options.host:
        return Target(options.host, options.key)
    target = OwnTarget()
    events.quit.add_listener(lambda **_: target.close())  # type: ignore[no-untyped-call]
    say(f"starting a server of its own for {scenario.name}")
    began = time.monotonic()
    try:
        target.start()
    except OwnError:
        target.close()
        raise
    say(f"{target.url} is ready, {time.monotonic() - began:.1f} s")
    environment.host, options.key = target.url, target.key
    return target


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def tell(environment: Environment, **_: object) -> None:
    """Write the report, and decide the exit code."""
    conductor = conductor_of(environment)
    if conductor is None:
        return
    environment.process_exit_code = 1
    if conductor.outcome is None:
        say("not judged: the run was stopped, or lost its workers; --loglevel INFO has locust say more")
        return
    outcome, options = conductor.outcome, vars(environment)["parsed_options"]
    print(summary(outcome))
    try:
        path = write(outcome, Path(options.report))
        print(f"report  {path} (and {path.with_suffix('.json').name})")
    except OSError as error:
        say(f"no report: {error}; --report names a folder that can be written to")
    print(f"{outcome.scenario.name}: {'passed' if outcome.passed else 'FAILED'}", flush=True)
    environment.process_exit_code = 0 if outcome.passed else 1


def conductor_of(environment: Environment) -> Conductor | None:
    """Who leads, where this process does."""
    found: Conductor | None = vars(environment).get("conductor")
    return found
