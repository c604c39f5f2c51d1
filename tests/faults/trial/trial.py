"""One trial: traffic, something broken and healed, rest, and the checker's findings."""

import asyncio
import random
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from alerts.matching import WatchingRule, ready
from schemas.rules import Rule
from tests.faults.rules import PROBE, known_everywhere
from tests.faults.trial.account import Account
from tests.faults.trial.checker import Finding, check_readings, stored_rows
from tests.faults.trial.checker_alerts import AlertChecker
from tests.faults.trial.chronicle import Chronicle
from tests.faults.trial.cluster import Cluster
from tests.faults.trial.scripts import ALERTING
from tests.faults.trial.traffic import Load, Traffic, traffic
from tests.faults.trial.views import check_views

SHORT = {"deadline_s": 3.5}
"""Settings of a cluster for short trials."""
RULE = {
    "name": "Heat",
    "device": "e*-d*",
    "metric": ALERTING,
    "condition": {
        "type": "threshold",
        "levels": [
            {"severity": "warning", "above": 80, "clear": 70},
            {"severity": "critical", "above": 110, "clear": 100},
        ],
    },
}


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured, and what it may be at most."""

    name: str
    value: float
    limit: float | None


@dataclass
class Stage:
    """What a kind of fault gets to act on."""

    cluster: Cluster
    traffic: Traffic
    chronicle: Chronicle
    chance: random.Random
    long: bool
    """Whether there is time for the seconds that guarantees.md names, or only for a taste of them."""
    figures: list[Figure] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def account(self) -> Account:
        """Of what was sent."""
        return self.traffic.account

    def note(self, text: str) -> float:
        """Enter an act in the chronicle; gives its time."""
        return self.chronicle.note(text)

    def measured(self, name: str, value: float, limit: float | None = None) -> None:
        """Enter a figure, seconds unless its name says otherwise."""
        self.figures.append(Figure(name, round(value, 3), limit))
        self.note(f"{name}: {value:.3f}" + (f" (at most {limit})" if limit is not None else ""))

    def promise(self, kept: bool, text: str) -> None:
        """Enter a finding unless it was kept."""
        if not kept:
            self.findings.append(Finding("F", text))
            self.note(f"BROKEN: {text}")

    @asynccontextmanager
    async def patience(self, seconds: float, text: str) -> AsyncIterator[None]:
        """Give what is in the block so many seconds; a finding where they are over."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            self.promise(False, f"{text} after {seconds:g} s")

    async def pause(self) -> None:
        """Between two looks at something that tells nobody."""
        await asyncio.sleep(0.02)

    async def first_success(self, since: float, name: str, limit: float | None, patience_s: float = 20.0) -> None:
        """Wait for the first 200 after a moment, and enter how long that took."""
        deadline = time.monotonic() + patience_s
        while (at := self.account.first_success(since)) is None:
            if time.monotonic() > deadline:
                self.promise(False, f"no 200 in {patience_s} s after {name}")
                return
            await asyncio.sleep(0.01)
        self.measured(name, at - since, limit)


USUAL = Load()
Strike = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: its number in guarantees.md, and how it is brought about, measured and healed."""

    name: str
    title: str
    strike: Strike
    answers: frozenset[int]
    """What senders may be answered meanwhile, besides 200; 0: a connection may break."""
    obstacle: Callable[[Cluster], str] = lambda _: ""
    """Why it cannot be tried here."""
    load: Load = USUAL
    forgets: bool = False
    """Whether dashboards may be told `recovered: false`: another timeline of PostgreSQL is another epoch."""
    patience_s: float = 30.0
    """For everybody to be served again."""
    rest_s: float = 12.0
    """After the last write, for what was told to be complete; the contract says 10."""


@dataclass
class Outcome:
    """How a trial ended."""

    kind: str
    seed: str
    prefix: str
    seconds: float = 0.0
    batches: int = 0
    """Acknowledged and checked."""
    readings: int = 0
    events: int = 0
    shown: int = 0
    """Values on dashboards."""
    statuses: Mapping[int, int] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    timeline: str = ""


async def make_rule(cluster: Cluster) -> WatchingRule:
    """Make the rule, and wait until every worker knows it."""
    bodies: list[Any] = []
    for rule in (RULE, PROBE):
        status, body = await cluster.server.call("POST", "/v1/rules", rule)
        assert status == 201, body
        bodies.append(body)
    for server in [each.server for each in cluster.nodes] or [cluster.server]:
        await known_everywhere(server)
    return ready(Rule.model_validate(bodies[0]))


async def run_trial(
    cluster: Cluster, rule: WatchingRule, kind: Kind, seed: str, number: int, *, long: bool = False
) -> Outcome:
    """Break it in this way once. What a run does, as far as it is ours to say, is drawn from the seed."""
    chance, began = random.Random(f"{seed} {kind.name}"), time.monotonic()
    prefix, chronicle = f"e{number:05}", Chronicle()
    outcome = Outcome(kind.name, seed, prefix)
    async with traffic(cluster, prefix, chance, kind.load) as running:
        stage = Stage(cluster, running, chronicle, chance, long)
        try:
            await running.flows(2, kind.patience_s)
            chronicle.note(f"{kind.name} begins: {kind.title}")
            await _strike(kind, stage)
            chronicle.note("healed; waiting for the flow")
            await running.flows(2, kind.patience_s)
            await running.stop(kind.patience_s)
            chronicle.note("everybody has stopped")
        except TimeoutError as error:
            stage.findings.append(Finding("F", f"the flow did not come back: {running.account.statuses} {error!r}"))
            await running.abandon()
        checker = AlertChecker(cluster.postgres.url, rule)
        outcome.findings += stage.findings + await _settled(cluster, checker, running, kind.rest_s)
        stored = await stored_rows(cluster.postgres.url, prefix)
        account = running.account
        outcome.findings += check_readings(account, stored) + check_views(account, running.views)
        outcome.findings += [Finding("contract", text) for text in account.trouble]
        outcome.findings += _unexpected(account, kind)
        if not kind.forgets and any(each.forgotten for each in running.dashboards):
            outcome.findings.append(Finding("I6", "a dashboard was answered recovered: false"))
        outcome.shown = sum(len(each.shown) for each in running.views)
        outcome.events = sum(len(each.told) for each in running.dashboards)
    outcome.batches, outcome.readings = account.acknowledged(), sum(map(len, stored.values()))
    outcome.statuses, outcome.figures = dict(account.statuses), stage.figures
    outcome.seconds = round(time.monotonic() - began, 1)
    if outcome.findings:
        suspects = frozenset(finding.device for finding in outcome.findings[:50] if finding.device)
        outcome.timeline = chronicle.timeline(account, suspects)
    return outcome


async def _strike(kind: Kind, stage: Stage) -> None:
    """Have the kind do its work. Where that breaks itself, a run of many trials goes on, and says so."""
    try:
        await kind.strike(stage)
    except TimeoutError:
        raise
    except Exception:  # noqa: BLE001 - whatever it is, it is a finding
        stage.findings.append(Finding("trial", f"the trial itself broke: {traceback.format_exc(limit=-4)}"))


async def _settled(cluster: Cluster, checker: AlertChecker, running: Traffic, rest_s: float) -> list[Finding]:
    """What is wrong about alerts once everything is at rest; returns as soon as nothing is."""
    deadline = time.monotonic() + rest_s
    while True:
        try:
            findings = await checker.check(running.account, running.names, running.dashboards)
        except (OSError, asyncpg.PostgresError) as error:
            findings = [Finding("F", f"the database cannot be read: {error!r}")]
        if not findings or time.monotonic() > deadline:
            return findings
        await asyncio.sleep(0.1)


def _unexpected(account: Account, kind: Kind) -> list[Finding]:
    allowed = {200} | kind.answers
    good = {"refused": {422}, "forbidden": {403}, "poison": {422}}
    return [
        Finding("F", f"{request} was answered {attempt.status}: {attempt.text[:160]}", request.device)
        for request, attempt in account.attempts()
        if attempt.status not in allowed | good.get(request.kind, set())
    ]
