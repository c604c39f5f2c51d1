"""The scenarios by name: who takes part, by which course, and what has to hold. Pure: users are named, not imported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil

from load.scenarios.courses import Bursts, Climb, Course, Stairs
from load.scenarios.limits import OPEN, OPEN_SHARE, Limits

WATCHED = {"CrossingUser": 2, "DashboardUser": 2, "TrespasserUser": 1}
"""In every scenario: who raises alerts, who waits for them, and who tries what he may not."""
USUAL = Limits(p99_ms=500, error_share=0.001, alert_p99_ms=1_000, achieved_share=0.95)
KNEE_P99_MS = 500.0


@dataclass(frozen=True, slots=True)
class Ramp:
    """Users whose number changes in the course of the run."""

    user: str
    most: int
    course: Callable[[], Course]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load test."""

    name: str
    about: str
    users: Mapping[str, int] = field(default_factory=dict)
    """How many of which class there are all the time, besides those in `WATCHED`."""
    ramp: Ramp | None = None
    limits: Limits = USUAL
    minutes: float = 2.0
    """How long it runs where nobody says otherwise."""
    outage: bool = False
    """Whether the target is stopped in the middle, and comes back."""

    def scaled(self, factor: float) -> "Scenario":
        """The same with more or fewer users; at least one of each."""
        users = {name: max(1, ceil(count * factor)) for name, count in self.users.items()}
        ramp = self.ramp and replace(self.ramp, most=max(1, ceil(self.ramp.most * factor)))
        return replace(self, users=users, ramp=ramp)

    @property
    def everybody(self) -> dict[str, int]:
        """Who is there all the time."""
        return {**WATCHED, **self.users}


class ScenarioError(ValueError):
    """There is no such scenario; the message says which there are."""


_ALL = (
    Scenario("steady", "a fleet on a quiet day: 100 devices, each 20 readings a second", {"DeviceUser": 100}),
    Scenario(
        "knee",
        "gateways of 500 readings, twice a second each, more and more of them, until the target bends",
        ramp=Ramp("ClimbingUser", 400, lambda: Climb(KNEE_P99_MS)),
        # Beyond the knee all of this is bad, which is what the scenario is looking for.
        limits=Limits(p99_ms=OPEN, error_share=OPEN, alert_p99_ms=OPEN, achieved_share=OPEN_SHARE),
    ),
    Scenario(
        "burst",
        "50 devices, and twice 200 more for a sixth of the time, as after a power cut",
        {"DeviceUser": 50},
        Ramp("BurstUser", 200, Bursts),
        Limits(p99_ms=1_500, error_share=0.02, alert_p99_ms=2_500, achieved_share=0.8),
    ),
    Scenario(
        "storm",
        "5,000 series break within a second, and are well again ten seconds later, beside 20 devices",
        {"DeviceUser": 20, "StormUser": 50},
        limits=Limits(p99_ms=3_000, error_share=0.01, alert_p99_ms=6_000, achieved_share=0.8),
    ),
    Scenario(
        "watchers",
        "up to 10,000 dashboards on /ws, in ten steps, beside 10 devices",
        {"DeviceUser": 10},
        Ramp("CrowdUser", 20, Stairs),
        Limits(p99_ms=1_500, error_share=0.01, alert_p99_ms=4_000, achieved_share=0.9),
    ),
    Scenario(
        "reconnect",
        "300 dashboards that all lose their socket every 15 seconds, and come back for what they missed",
        {"DeviceUser": 20, "ReturningUser": 300},
        limits=Limits(p99_ms=3_000, error_share=0.01, alert_p99_ms=OPEN, achieved_share=0.8, resume_p99_ms=10_000),
    ),
    Scenario(
        "gateway",
        "10 gateways, each 1,000 readings of 50 devices a second, gzip",
        {"GatewayUser": 10},
        limits=Limits(p99_ms=1_000, error_share=0.001, alert_p99_ms=1_000, achieved_share=0.95),
    ),
    Scenario("mixed", "20 devices of each protocol there is", {"DeviceUser": 20, "ForeignUser": 100}),
    Scenario(
        "outage",
        "50 devices, and in the middle the target is stopped and started again",
        {"DeviceUser": 50},
        limits=Limits(p99_ms=OPEN, error_share=OPEN, alert_p99_ms=OPEN, achieved_share=OPEN_SHARE, back_s=15),
        outage=True,
    ),
    Scenario("soak", "the steady fleet for eight hours, looked up as it goes", {"DeviceUser": 100}, minutes=480),
)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}


def refuse(scenario: Scenario, url: str | None, key: str | None) -> None:
    """Raise `ScenarioError` where the scenario cannot be run against this target, saying what to do."""
    if url and not url.startswith(("http://", "https://")):
        raise ScenarioError("the target's URL begins with http:// or https://")
    if url and scenario.outage:
        raise ScenarioError("an outage stops its target, which is done only to one that was started for it: no --url")
    if url and not key:
        raise ScenarioError("a key is needed, with the scope admin: SLUICE_KEY or --key-file hands it over")


def compose(names: str) -> Scenario:
    """One scenario of several (`steady+storm`): everybody takes part, and of two bounds the looser one holds.

    Raises `ScenarioError`.
    """
    parts = []
    for name in names.split("+"):
        if name not in SCENARIOS:
            raise ScenarioError(f"no scenario is called {name!r}; there are {', '.join(SCENARIOS)}")
        parts.append(SCENARIOS[name])
    whole = parts[0]
    for part in parts[1:]:
        if whole.ramp and part.ramp:
            raise ScenarioError(
                f"{whole.name} and {part.name} each have a course of their own: run one after the other"
            )
        users = {user: whole.users.get(user, 0) + part.users.get(user, 0) for user in {**whole.users, **part.users}}
        whole = Scenario(
            f"{whole.name}+{part.name}",
            f"{whole.about}; {part.about}",
            users,
            whole.ramp or part.ramp,
            whole.limits.beside(part.limits),
            min(whole.minutes, part.minutes),
            whole.outage or part.outage,
        )
    return whole
