"""What a run must keep to, and whether it did: the checks that decide the exit code. Pure."""

import math
from dataclasses import dataclass, fields
from typing import Any

OPEN = math.inf
OPEN_SHARE = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on figures of a run; None: not judged. What is lost, missed or doubled is never allowed.

    `OPEN` (of a share to be reached `OPEN_SHARE`) says that a figure means nothing in this scenario, nor in a run that
    it is a part of.
    """

    p99_ms: float | None = None
    """Of requests that write."""
    error_share: float | None = None
    """Of those, answered with anything but success."""
    alert_p99_ms: float | None = None
    """From sending a reading to its alert on a dashboard's socket."""
    achieved_share: float | None = None
    """Of the readings that were meant to be stored."""
    resume_p99_ms: float | None = None
    """From losing a socket to being subscribed again, with all that was missed."""
    back_s: float | None = None
    """From the moment the target is ready again to the first batch it stores."""

    def beside(self, other: "Limits") -> "Limits":
        """For both scenarios at once: of two bounds the one that asks for less."""
        joined = {
            each.name: _looser(each.name, getattr(self, each.name), getattr(other, each.name)) for each in fields(self)
        }
        return Limits(**joined)

    def replaced(self, **given: float | None) -> "Limits":
        """With those that somebody has set by hand."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        return Limits(**(known | {name: value for name, value in given.items() if value is not None}))


def _looser(name: str, one: float | None, other: float | None) -> float | None:
    known = [bound for bound in (one, other) if bound is not None]
    return (min if name == "achieved_share" else max)(known, default=None)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a run was held to."""

    name: str
    found: float | None
    """None: there was nothing to measure, which fails as well."""
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """Whether it held."""
        if self.found is None or math.isnan(self.found):
            return False
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def __str__(self) -> str:
        found = "nothing measured" if self.found is None or math.isnan(self.found) else f"{self.found:,g}{self.unit}"
        bound = "at least" if self.at_least else "at most"
        return f"{'ok  ' if self.passed else 'FAIL'}  {self.name}: {found} ({bound} {self.limit:,g}{self.unit})"

    def document(self) -> dict[str, Any]:
        """For JSON."""
        found = None if self.found is None or math.isnan(self.found) else self.found
        return {"name": self.name, "found": found, "limit": self.limit, "unit": self.unit, "passed": self.passed}


@dataclass(frozen=True, slots=True)
class Figures:
    """What is judged."""

    p99_ms: float = math.nan
    error_share: float = math.nan
    alert_p99_ms: float = math.nan
    achieved_share: float = math.nan
    resume_p99_ms: float = math.nan
    back_s: float = math.nan


@dataclass(frozen=True, slots=True)
class Losses:
    """What may not be: each has to be 0."""

    lost: int = 0
    """Readings that were acknowledged and are not stored, or are stored otherwise."""
    doubled: int = 0
    """Readings that are stored twice, and answers that count other readings than were sent."""
    invented: int | None = 0
    """Stored, though nobody sent them or they were refused; None: not judged."""
    alerts_missing: int = 0
    """Transitions that are not in the record of events."""
    alerts_doubled: int = 0
    """Transitions that are there twice, or that no reading caused."""
    missed: int = 0
    """Publications that a dashboard did not get."""
    repeated: int = 0
    """Publications that a dashboard got again."""
    let_in: int = 0
    """Requests for which a key had no right, and that were not refused."""
    troubles: int = 0
    """What kept the run from being what it was meant to be."""


NAMES = {
    "lost": "readings lost",
    "doubled": "readings doubled",
    "invented": "readings that nobody sent",
    "alerts_missing": "alerts missing",
    "alerts_doubled": "alerts doubled or without cause",
    "missed": "publications missed",
    "repeated": "publications doubled",
    "let_in": "requests let in without a right",
    "troubles": "troubles of the run itself",
}


def checks(limits: Limits, figures: Figures, losses: Losses) -> list[Check]:
    """Everything the run is held to."""
    bounds: list[tuple[str, float, float | None, str, bool]] = [
        ("p99 of writing", figures.p99_ms, limits.p99_ms, " ms", False),
        ("requests with an error", figures.error_share * 100, _percent(limits.error_share), " %", False),
        ("achieved of the intended rate", figures.achieved_share * 100, _percent(limits.achieved_share), " %", True),
        ("p99 from reading to alert", figures.alert_p99_ms, limits.alert_p99_ms, " ms", False),
        ("p99 of coming back", figures.resume_p99_ms, limits.resume_p99_ms, " ms", False),
        ("first batch after the outage", figures.back_s, limits.back_s, " s", False),
    ]
    judged = [
        Check(name, round(found, 3), limit, unit, at_least)
        for name, found, limit, unit, at_least in bounds
        if limit is not None and limit != (OPEN_SHARE if at_least else OPEN)
    ]
    counted = [(NAMES[each.name], getattr(losses, each.name)) for each in fields(losses)]
    return judged + [Check(name, count, 0) for name, count in counted if count is not None]


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100
