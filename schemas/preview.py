"""The preview of a rule: what is asked, and what it would have told."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.conditions import Absent, Severity
from schemas.events import EventType
from schemas.moments import Moment
from schemas.rules import RuleRequest
from schemas.times import to_text

MAX_SPAN = timedelta(days=31)
MAX_TRANSITIONS = 1_000


class PreviewRequest(BaseModel):
    """A rule as it would be made, and the stored readings to run it over: `from` <= ts < `to`."""

    model_config = ConfigDict(extra="forbid")

    rule: RuleRequest
    since: Moment = Field(alias="from", examples=["2026-11-20T00:00:00Z"])
    until: Moment = Field(alias="to", examples=["2026-11-21T00:00:00Z"])
    limit: int = Field(default=MAX_TRANSITIONS, ge=1, le=MAX_TRANSITIONS, description="Of transitions.")

    @field_validator("rule")
    @classmethod
    def _of_readings(cls, rule: RuleRequest) -> RuleRequest:
        if isinstance(rule.condition, Absent):
            raise PydanticCustomError("preview_absent", "absent is judged by arrival, which is not stored")
        return rule

    @model_validator(mode="after")
    def _bounded(self) -> "PreviewRequest":
        if self.since >= self.until:
            raise PydanticCustomError("preview_span", "'from' must be before 'to'")
        if self.until - self.since > MAX_SPAN:
            raise PydanticCustomError("preview_span", "'from' and 'to' may be 31 days apart at most")
        return self


class PreviewTransition(BaseModel):
    """A transition that the rule would have made, with the words that its event would have."""

    event: EventType
    at: Annotated[datetime, PlainSerializer(to_text), WithJsonSchema({"type": "string", "format": "date-time"})]
    device: str
    metric: str
    labels: dict[str, Any]
    severity: Severity
    value: float
    threshold: float


class Lack(StrEnum):
    """Why a preview is not the whole of it; the weightiest one where there are several."""

    DEADLINE = "deadline"
    """It took too long: some series were not read, or not to their end."""
    READINGS = "readings"
    """There are too many readings: some series were not read, or not to their end."""
    SERIES = "series"
    """The rule watches too many series: the last ones by name were not read."""
    TRANSITIONS = "transitions"
    """There are more than `limit`; those shown are the first by time, none is missing before the last of them."""


class Preview(BaseModel):
    """What the rule would have told, in order of time, then of series."""

    series: int = Field(description="How many were to be read.")
    readings: int = Field(description="How many were judged.")
    transitions: list[PreviewTransition]
    truncated: bool
    truncated_by: Lack | None = Field(default=None, description="What was too much; null where nothing was.")
