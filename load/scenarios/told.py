"""What had to be told beside what was recorded: each crossing is one event, and no event is without one. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from load.batch import microseconds, rfc3339

EXAMPLES = 10
MOMENTS = {"firing": "fired_at", "resolved": "resolved_at"}
"""Events that a crossing causes, and where they say of which reading they are."""


class Crossing(NamedTuple):
    """A reading on the other side of the limit than the one before it."""

    device: str
    metric: str
    ts: int
    """Microseconds."""
    event: str


@dataclass(slots=True)
class Told:
    """What the comparison found."""

    expected: int = 0
    missing: int = 0
    doubled: int = 0
    """Or without a crossing."""
    examples: list[str] = field(default_factory=list)


def crossing_of(event: Mapping[str, Any]) -> Crossing | None:
    """What a recorded event is about; None where it is of another kind (an acknowledgement, flapping)."""
    alert = event["alert"]
    if (moment := MOMENTS.get(event["event"])) is None:
        return None
    return Crossing(alert["device"], alert["metric"], microseconds(alert[moment]), event["event"])


def compare(expected: Iterable[Crossing], allowed: Iterable[Crossing], recorded: Iterable[Crossing]) -> Told:
    """Hold the record against what was acknowledged; `allowed` are crossings of which nobody knows (a first reading,
    which may end what an earlier run has left; one whose answer never came)."""
    due, free, found = Counter(expected), set(allowed), Counter(recorded)
    told = Told(due.total())
    for crossing in due:
        if not found[crossing] and crossing not in free:
            told.missing += 1
            _show(told, "missing", crossing)
    for crossing, count in found.items():
        if (more := count - (1 if crossing in due or crossing in free else 0)) > 0:
            told.doubled += more
            _show(told, "doubled" if crossing in due else "without cause", crossing)
    return told


def _show(told: Told, kind: str, crossing: Crossing) -> None:
    if len(told.examples) < EXAMPLES:
        where = f"{crossing.device} {crossing.metric} at {rfc3339(crossing.ts)}"
        told.examples.append(f"{kind}: {crossing.event} of {where}")
