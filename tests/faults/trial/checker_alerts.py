"""The checker's other half: transitions against the pure machine (I5), and what subscribers were told (I6, I8)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from alerts.machine import Phase
from alerts.matching import WatchingRule
from tests.faults.oracle import Commit, Told, fold
from tests.faults.record import ACTIVE, EVENTS, Recorded, Series, codecs, offsets_have_no_gap, take_event
from tests.faults.trial import dashboards
from tests.faults.trial.account import Account
from tests.faults.trial.checker import Finding
from tests.faults.trial.dashboards import Dashboard
from tests.faults.trial.scripts import ALERTING

TABLE = """
SELECT "offset", device, data->>'event' AS event, (data->'alert'->>'id')::bigint AS alert
FROM alert_events WHERE "offset" > $1 ORDER BY "offset"
"""


@dataclass(frozen=True, slots=True)
class AlertChecker:
    """Compares what is recorded of alerts."""

    url: str
    rule: WatchingRule

    async def check(self, account: Account, devices: Sequence[str], watching: Sequence[Dashboard]) -> list[Finding]:
        """Everything about alerts of these devices, and about these dashboards."""
        async with asyncpg.create_pool(self.url, min_size=0, max_size=2, init=codecs) as pool:
            findings = await self._check_transitions(pool, account, devices)
            if not await offsets_have_no_gap(pool):
                findings.append(Finding("I5", "the offsets are not 1, 2, 3 … up to the last one given out"))
            start = min((each.position for each in watching), default=0)
            table = [
                dashboards.Told(row["offset"], row["event"], row["alert"], row["device"], 0.0)
                for row in await pool.fetch(TABLE, start)
            ]
        for each in watching:
            findings += check_dashboard(each, table)
        return findings

    async def _check_transitions(self, pool: asyncpg.Pool, account: Account, devices: Sequence[str]) -> list[Finding]:
        recorded = Recorded()
        for row in await pool.fetch(EVENTS, devices):
            take_event(recorded, row["device"], row["data"])
        for row in await pool.fetch(ACTIVE, devices):
            recorded.active[row["rule_id"], Series(row["device"], row["metric"])] += 1
        commits = _commits(account, devices)
        findings = []
        for device in devices:
            pair = self.rule.id, Series(device, ALERTING)
            expected, told = fold(self.rule, commits[device], now_us=0), recorded.told.get(pair, [])
            if expected.told != told:
                findings.append(Finding("I5", f"{device}: {_difference(expected.told, told)}", device))
            if recorded.active[pair] != (expected.state.phase is Phase.FIRING):
                findings.append(Finding("I5", f"{device}: {recorded.active[pair]} active alerts", device))
        return findings


def _commits(account: Account, devices: Sequence[str]) -> dict[str, list[Commit]]:
    """What each acknowledged request brought of the series that the rule watches."""
    commits: dict[str, list[Commit]] = {device: [] for device in devices}
    for request in account.requests:
        if request.acknowledged and request.device in commits:
            points = [(each.us, each.value) for each in request.readings if each.series.metric == ALERTING]
            if points:
                commits[request.device].append(Commit(points, request.replaces, str(request.number)))
    return commits


def _difference(expected: list[Told], told: list[Told]) -> str:
    same = 0
    while same < min(len(expected), len(told)) and expected[same] == told[same]:
        same += 1
    return (
        f"after {same} transitions {json.dumps(expected[same : same + 2])} has to be recorded, "
        f"{json.dumps(told[same : same + 2])} is; {len(expected)} and {len(told)} in all"
    )


def check_dashboard(dashboard: Dashboard, table: Sequence[dashboards.Told]) -> list[Finding]:
    """Whether it was told everything behind its position once, in order, as it stands in the table.

    Where it was answered `recovered: false`, that has to be so up to there, and behind the offset it was given.
    """
    name = f"a dashboard on {dashboard.channel} from offset {dashboard.position}"
    findings = [Finding("I6", f"{name}: {text}") for text in dashboard.trouble]
    device = dashboard.channel.removeprefix("alerts:") if ":" in dashboard.channel else None
    if device is not None and (strays := [told for told in dashboard.told if told.device != device]):
        findings.append(Finding("I8", f"{name} was told of other devices: {strays[:3]}"))
    starts = [(0, dashboard.position), *dashboard.forgotten]
    ends = [place for place, _ in dashboard.forgotten]
    for (first, position), end in zip(starts, [*ends, None], strict=True):
        told = [each._replace(at=0.0) for each in dashboard.told[first:end]]
        wanted = [row for row in table if row.offset > position and device in (None, row.device)]
        if end is not None:
            wanted = wanted[: len(told)]
        if told != wanted:
            place = next((n for n, pair in enumerate(zip(told, wanted, strict=False)) if pair[0] != pair[1]), None)
            place = min(len(told), len(wanted)) if place is None else place
            should, was = (some[place] if place < len(some) else None for some in (wanted, told))
            findings.append(Finding("I6", f"{name}: publication {first + place + 1} should be {should}, was {was}"))
    return findings
