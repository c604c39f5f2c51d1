"""Alert rules: which series they watch, and when they fire."""

from datetime import datetime
from typing import Self

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, field_validator, model_validator

from schemas.conditions import MAX_DURATION_S, Absent, Condition
from schemas.names import MAX_NAME_CHARS, is_storable, name_fault

MAX_URL_CHARS = 1_024  # an index holds them
MAX_PAIRS_CHARS = 16_384
MASK = "/***"
"""What is shown of a webhook's URL behind its host to who may not administer: it may hold a secret."""


class RuleRequest(BaseModel):
    """What a rule shall be."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS, examples=["Overheating"])
    device: str = Field(default="*", min_length=1, max_length=MAX_NAME_CHARS, examples=["pump-*"])
    metric: str = Field(min_length=1, max_length=MAX_NAME_CHARS, examples=["temperature"])
    labels: dict[str, str] = Field(default_factory=dict, max_length=32)
    enabled: bool = True
    condition: Condition
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

    @model_validator(mode="after")
    def _of_readings(self) -> "RuleRequest":
        if isinstance(self.condition, Absent) and (self.for_s or self.keep_firing_for_s):
            raise ValueError("an 'absent' rule has 'after_s' instead of 'for_s' and 'keep_firing_for_s'")
        return self

    @field_validator("webhooks")
    @classmethod
    def _reachable(cls, urls: list[AnyHttpUrl]) -> list[AnyHttpUrl]:
        if any(len(str(url)) > MAX_URL_CHARS for url in urls):
            raise ValueError(f"a webhook has at most {MAX_URL_CHARS} characters")
        return list(dict.fromkeys(urls))  # two spellings of one are one

    @field_validator("labels", "annotations")
    @classmethod
    def _storable(cls, pairs: dict[str, str]) -> dict[str, str]:
        if not all(is_storable(text) for pair in pairs.items() for text in pair):
            raise ValueError("NUL and lone surrogates cannot be stored")
        if sum(map(len, pairs)) + sum(map(len, pairs.values())) > MAX_PAIRS_CHARS:
            raise ValueError(f"they have at most {MAX_PAIRS_CHARS} characters together")
        return pairs

    @property
    def is_masked(self) -> bool:
        """Whether a webhook of it is a mask, and leads nowhere."""
        return any(url.path == MASK for url in self.webhooks)

    def masked(self) -> Self:
        """The rule as it is shown to who may only read."""
        return self.model_copy(update={"webhooks": [_masked(url) for url in self.webhooks]})


def _masked(url: AnyHttpUrl) -> AnyHttpUrl:
    return AnyHttpUrl.build(scheme=url.scheme, host=url.host or "", port=url.port, path=MASK.removeprefix("/"))


class Rule(RuleRequest):
    """A rule as it is stored. `revision` grows with every change, so that a worker notices that it has an old one."""

    id: int
    revision: int
    created_at: datetime
    updated_at: datetime
