"""How a device's story is told where it did not end as it had to."""

import json
from collections.abc import Iterator

from alerts.matching import WatchingRule
from tests.faults.oracle import Outcome
from tests.faults.record import Recorded, Series
from tests.faults.sender import Story


def timeline(story: Story, recorded: Recorded) -> str:
    """What was sent when and answered what; which transaction brought what; times in seconds since the first."""
    return "\n".join(_lines(story, recorded))


def _lines(story: Story, recorded: Recorded) -> Iterator[str]:
    awaits = "awaits each answer" if story.plan.awaits else "has all requests under way at once"
    yield f"{story.device} {awaits}"
    for rule, document in zip(story.watch.rules, story.watch.documents, strict=True):
        yield f"  rule {rule.id}: {json.dumps(document)}"
    base_us = base(story)
    for number, request in enumerate(story.requests):
        readings = ", ".join(
            f"{reading.metric} {second(reading.ms * 1_000, base_us)}: {reading.value:g}" for reading in request.readings
        )
        where = "on a connection of its own" if request.fresh else "on a kept connection"
        yield f"  request {number} ({request.kind}, {where}): {readings}"
    for attempt in story.attempts:
        span = f"{attempt.sent_s * 1_000:.1f}…{attempt.answered_s * 1_000:.1f} ms"
        yield f"  {span} request {attempt.number}: {attempt.status} {attempt.text}"
    for series, commits in recorded.commits.items():
        if series.device == story.device:
            for commit in commits:
                points = ", ".join(f"{second(us, base_us)}: {value:g}" for us, value in commit.points)
                yield f"  transaction {commit.name} stored {series.metric} {points}"


def difference(story: Story, rule: WatchingRule, series: Series, expected: Outcome, found: Outcome) -> str:
    """What had to be recorded of a (rule, series), and what is."""
    base_us = base(story)
    lines = [f"  rule {rule.id} on {series.metric}:"]
    for name, outcome in (("expected", expected), ("recorded", found)):
        state = outcome.state
        times = (None if us is None else second(us, base_us) for us in (state.since, state.clear_since, state.last_ts))
        words = ", ".join(
            f"{event} {severity} {second(us, base_us)}: {value:g}" for event, severity, us, value in outcome.told
        )
        lines.append(f"    {name}: {words or 'nothing'}")
        flaps = ", ".join(f"{event} {second(us, base_us)}" for event, us in outcome.flaps)
        lines.append(f"      {flaps or 'no flapping'}; history {outcome.flapping.history:020b}")
        lines.append(
            f"      state: {state.phase}, level {state.level}, since, clear since, last: {', '.join(map(str, times))}"
        )
    return "\n".join(lines)


def base(story: Story) -> int:
    """The time all others are told by, microseconds."""
    return min((reading.ms for request in story.requests for reading in request.readings), default=0) * 1_000


def second(us: int, base_us: int) -> str:
    """A time in short."""
    return f"{(us - base_us) / 1e6:+.6g}"
