"""What a rule fires on: a value beyond a level, a rate of change, a value out of range, or a device that is silent."""

import math
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_LEVELS = 8
MAX_DURATION_S = 7 * 86_400
MAX_WINDOW_S = 3_600  # of a rate: its readings are read again with every group

Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class Severity(StrEnum):
    """How bad it is; `SEVERITY_RANK` orders them."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


SEVERITY_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class Level(BaseModel):
    """A limit, the severity of crossing it, and where it is left again (`clear`: hysteresis)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    severity: Severity
    above: Finite | None = None
    below: Finite | None = None
    clear: Finite | None = None

    @model_validator(mode="after")
    def _one_sided(self) -> "Level":
        if (self.above is None) == (self.below is None):
            raise ValueError("a level has either 'above' or 'below'")
        if self.clear is not None and self.above is not None and self.clear > self.above:
            raise ValueError("'clear' of a level 'above' must not be greater than its limit")
        if self.clear is not None and self.below is not None and self.clear < self.below:
            raise ValueError("'clear' of a level 'below' must not be less than its limit")
        return self

    @property
    def limit(self) -> float:
        """The value whose crossing makes the level hold."""
        limit = self.above if self.above is not None else self.below
        return math.nan if limit is None else limit

    def holds(self, value: float) -> bool:
        """Whether the value is beyond the limit."""
        return value > self.limit if self.above is not None else value < self.limit

    def stays(self, value: float) -> bool:
        """Whether the value has not come back as far as `clear` (without one: the limit itself)."""
        clear = self.limit if self.clear is None else self.clear
        return value > clear if self.above is not None else value < clear


def _ascending(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    for side in ("above", "below"):
        ordered = sorted(
            (level for level in levels if getattr(level, side) is not None),
            key=lambda level: SEVERITY_RANK[level.severity],
        )
        for lower, higher in pairwise(ordered):
            if lower.severity == higher.severity:
                raise ValueError(f"two levels '{side}' have the severity {lower.severity.value}")
            beyond = higher.limit > lower.limit if side == "above" else higher.limit < lower.limit
            if not beyond:
                raise ValueError(f"the {higher.severity.value} level must lie beyond {lower.severity.value}")
    return levels


Levels = Annotated[tuple[Level, ...], Field(min_length=1, max_length=MAX_LEVELS), AfterValidator(_ascending)]


class Threshold(BaseModel):
    """Fires where a value is beyond one of the levels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["threshold"]
    levels: Levels


class Rate(BaseModel):
    """Fires where the change per second is beyond one of the levels.

    The change is that since the oldest reading at most `window_s` before; without one nothing is judged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["rate"]
    levels: Levels
    window_s: Annotated[float, Field(gt=0, le=MAX_WINDOW_S, allow_inf_nan=False)]


class Range(BaseModel):
    """Fires where a value is outside of two bounds; the bounds themselves are inside."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["range"]
    outside: tuple[Finite, Finite]
    severity: Severity

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.outside[0] > self.outside[1]:
            raise ValueError("'outside' is [lowest, highest]: the first must not be greater than the second")
        return self

    @property
    def levels(self) -> tuple[Level, ...]:
        """The range as levels of one severity, one on each side."""
        lowest, highest = self.outside
        return (Level(severity=self.severity, below=lowest), Level(severity=self.severity, above=highest))


class Policy(StrEnum):
    """What becomes of a silent device's other alerts; that it is silent is an alert in any case."""

    ALERT = "alert"
    """They stay as they are, and nothing more is said: the default."""
    KEEP = "keep"
    """The same, said on purpose."""
    RESOLVE = "resolve"
    """They are resolved."""


class Absent(BaseModel):
    """Fires where a device of the registry has sent nothing for so long, by the time of arrival.

    Backfill is nothing: a batch counts if one of its readings was not late.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["absent"]
    after_s: Annotated[float, Field(ge=1, le=MAX_DURATION_S, allow_inf_nan=False)]
    severity: Severity
    policy: Policy = Policy.ALERT


Condition = Annotated[Threshold | Rate | Range | Absent, Field(discriminator="type")]
