"""What people say about alerts: that somebody looks at one, and that some shall not page for a while."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.moments import Moment
from schemas.names import MAX_NAME_CHARS, is_storable, name_fault

MAX_COMMENT_CHARS = 1_000
MAX_RULE_ID = 2**31 - 1


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("NUL and lone surrogates cannot be stored")
    return text


def _glob(glob: str) -> str:
    # Whatever is left of a glob without its wildcards has to be part of a possible name.
    if fault := name_fault(glob.replace("*", "x").replace("?", "x")):
        raise ValueError(fault)
    return glob


Comment = Annotated[str, Field(max_length=MAX_COMMENT_CHARS), AfterValidator(_storable)]
Glob = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_glob)]


class AckRequest(BaseModel):
    """That somebody looks at an alert."""

    model_config = ConfigDict(extra="forbid")

    comment: Comment = ""


class SilenceRequest(BaseModel):
    """Which alerts shall not page, and until when."""

    model_config = ConfigDict(extra="forbid")

    device: Glob = Field(default="*", examples=["pump-*"])
    metric: Glob = Field(default="*", examples=["temperature"])
    rule: Annotated[int, Field(strict=True, ge=1, le=MAX_RULE_ID)] | None = None
    until: Moment = Field(examples=["2026-11-20T18:00:00Z"])
    comment: Comment = ""
