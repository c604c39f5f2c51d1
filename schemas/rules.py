"""Alert rules: which series they watch, and when they fire."""

import math
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, field_validator, model_validator

from schemas.names import MAX_NAME_CHARS, is_storable, name_fault

MAX_LEVELS = 8
MAX_DURATION_S = 7 * 86_400

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


class Threshold(BaseModel):
    """Fires where a value is beyond one of the levels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["threshold"]
    levels: tuple[Level, ...] = Field(min_length=1, max_length=MAX_LEVELS)

    @model_validator(mode="after")
    def _ascending(self) -> "Threshold":
        for side in ("above", "below"):
            levels = sorted(
                (level for level in self.levels if getattr(level, side) is not None),
                key=lambda level: SEVERITY_RANK[level.severity],
            )
            for lower, higher in pairwise(levels):
                if lower.severity == higher.severity:
                    raise ValueError(f"two levels '{side}' have the severity {lower.severity.value}")
                beyond = higher.limit > lower.limit if side == "above" else higher.limit < lower.limit
                if not beyond:
                    raise ValueError(f"the {higher.severity.value} level must lie beyond {lower.severity.value}")
        return self


class RuleRequest(BaseModel):
    """What a rule shall be."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS, examples=["Overheating"])
    device: str = Field(default="*", min_length=1, max_length=MAX_NAME_CHARS, examples=["pump-*"])
    metric: str = Field(min_length=1, max_length=MAX_NAME_CHARS, examples=["temperature"])
    labels: dict[str, str] = Field(default_factory=dict, max_length=32)
    enabled: bool = True
    condition: Threshold
    for_s: float = Field(default=0, ge=0, le=MAX_DURATION_S, allow_inf_nan=False)
    keep_firing_for_s: float = Field(default=0, ge=0, le=MAX_DURATION_S, allow_inf_nan=False)
    annotations: dict[str, str] = Field(default_factory=dict, max_length=32)
    webhooks: list[AnyHttpUrl] = Field(default_factory=list, max_length=8)

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if fault := name_fault(name):
            raise ValueError(fault)
        return name

    @field_validator("device", "metric")
    @classmethod
    def _globbed(cls, glob: str) -> str:
        if fault := name_fault(glob.replace("*", "x").replace("?", "x")):
            raise ValueError(fault)
        return glob

    @field_validator("labels", "annotations")
    @classmethod
    def _storable(cls, pairs: dict[str, str]) -> dict[str, str]:
        if not all(is_storable(text) for pair in pairs.items() for text in pair):
            raise ValueError("NUL and lone surrogates cannot be stored")
        return pairs


class Rule(RuleRequest):
    """A rule as it is stored. `revision` grows with every change, so that a worker notices that it has an old one."""

    id: int
    revision: int
    created_at: datetime
    updated_at: datetime
