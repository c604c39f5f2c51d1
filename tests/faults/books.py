"""Comparing the books: what is recorded of a device against what the machine makes of what it sent."""

from alerts.machine import Phase
from tests.faults.oracle import Commit, fold, is_legal, stored
from tests.faults.record import Recorded, Series
from tests.faults.rules import METRICS
from tests.faults.sender import Story
from tests.faults.timeline import difference, timeline


def audit(story: Story, recorded: Recorded) -> list[str]:
    """Return what is not as it has to be, after the story of the device; nothing where all is well."""
    faults = [f"  {fault}" for fault in story.trouble]
    faults += [f"  {series.metric} is stored twice: {us}" for series, us in recorded.doubled if _is_of(series, story)]
    for metric in METRICS:
        faults += _audit_series(story, recorded, Series(story.device, metric))
    return [timeline(story, recorded), *faults] if faults else []


def _audit_series(story: Story, recorded: Recorded, series: Series) -> list[str]:
    sent = _commits_sent(story, series.metric)
    # What an awaiting device sent says all; of the others only the database knows what came first.
    commits = sent if story.plan.awaits else recorded.commits.get(series, [])
    found = []
    values = recorded.values.get(series, {})
    offered = {point for commit in sent for point in commit.points}
    if values != stored(commits) or values.keys() != stored(sent).keys() or not offered >= set(values.items()):
        found.append(f"  {series.metric}: other readings are stored than were sent")
    for rule in story.watch.rules:
        if rule.metric not in (series.metric, "?"):
            continue
        pair = rule.id, series
        expected, outcome = fold(rule, commits, story.now_us), recorded.outcome(pair)
        if expected != outcome:
            found.append(difference(story, rule, series, expected, outcome))
        if not is_legal(outcome.told) or recorded.active[pair] != (outcome.state.phase is Phase.FIRING):
            found.append(f"  rule {rule.id} on {series.metric}: {recorded.active[pair]} active after {outcome.told}")
    return found


def _commits_sent(story: Story, metric: str) -> list[Commit]:
    """What each request brings of one series."""
    commits = []
    for number, request in enumerate(story.requests):
        points = [(each.ms * 1_000, each.value) for each in request.readings if each.metric == metric]
        if points:
            commits.append(Commit(points, request.replace, f"request {number}"))
    return commits


def _is_of(series: Series, story: Story) -> bool:
    return series.device == story.device
