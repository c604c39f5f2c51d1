"""What a run of many trials amounts to: for each kind how often, how long it took to recover, what was broken."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.trial.checker import shortened
from tests.faults.trial.trial import Outcome


@dataclass
class Report:
    """Sums outcomes up."""

    seed: str
    outcomes: list[Outcome] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """Trials that could not be tried, by kind and reason."""
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> str:
        """Take one more; gives a line about it."""
        self.outcomes.append(outcome)
        figures = ", ".join(f"{figure.name} {figure.value:g}" for figure in outcome.figures)
        verdict = f"BROKEN, {len(outcome.findings)} findings" if outcome.findings else "ok"
        return (
            f"{outcome.kind:4} {verdict:6} {outcome.seconds:5.1f} s  {outcome.batches:6,} batches  "
            f"{_statuses(outcome)}  {figures}"
        )

    @property
    def broken(self) -> list[Outcome]:
        """Those that found something."""
        return [outcome for outcome in self.outcomes if outcome.findings]

    def late(self) -> list[str]:
        """Recoveries whose median is beyond what is promised."""
        return [
            f"{kind}: {name}: median {figure['median']} is more than {figure['limit']}"
            for kind, summary in self.kinds().items()
            for name, figure in summary["figures"].items()
            if figure["limit"] is not None and figure["median"] > figure["limit"]
        ]

    def kinds(self) -> dict[str, dict[str, Any]]:
        """For each kind its runs and figures."""
        by_kind: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in self.outcomes:
            by_kind[outcome.kind].append(outcome)
        return {
            kind: {
                "runs": len(some),
                "broken": sum(bool(outcome.findings) for outcome in some),
                "batches": sum(outcome.batches for outcome in some),
                "figures": _figures(some),
            }
            for kind, some in sorted(by_kind.items(), key=lambda item: (item[0][0], int(item[0][1:])))
        }

    def document(self) -> dict[str, Any]:
        """All of it, as JSON will show it."""
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "trials": len(self.outcomes),
            "broken": len(self.broken),
            "skipped": dict(self.skipped),
            "batches_acknowledged_and_checked": sum(outcome.batches for outcome in self.outcomes),
            "readings_stored_and_checked": sum(outcome.readings for outcome in self.outcomes),
            "publications_checked": sum(outcome.events for outcome in self.outcomes),
            "kinds": self.kinds(),
            "late": self.late(),
            "findings": [
                {"kind": outcome.kind, "seed": outcome.seed, "findings": shortened(outcome.findings)}
                for outcome in self.broken
            ],
        }


def _statuses(outcome: Outcome) -> str:
    return " ".join(f"{status or 'broken'}×{count}" for status, count in sorted(outcome.statuses.items()))


def _figures(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float | None]]:
    values: dict[str, list[float]] = defaultdict(list)
    limits: dict[str, float | None] = {}
    for outcome in outcomes:
        for figure in outcome.figures:
            values[figure.name].append(figure.value)
            limits[figure.name] = figure.limit
    return {
        name: {
            "least": min(some),
            "median": round(statistics.median(some), 3),
            "most": max(some),
            "limit": limits[name],
        }
        for name, some in values.items()
    }
