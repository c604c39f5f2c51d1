"""The audit log: who did what to what. A row is written in the transaction of the act it tells of.

Pure, so that every room may use it: ``await connection.execute(audit.INSERT, *audit.row(by, Act.RULE_DELETE, 7))``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from schemas.keys import Principal

INSERT = """
INSERT INTO audit (key_id, name, address, request_id, act, object, outcome, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


class Act(StrEnum):
    """What can be done that is written down."""

    KEY_CREATE = "key.create"
    KEY_REVOKE = "key.revoke"
    SESSION_BEGIN = "session.begin"
    SESSION_END = "session.end"
    RULE_CREATE = "rule.create"
    RULE_REPLACE = "rule.replace"
    RULE_DELETE = "rule.delete"
    ALERT_ACKNOWLEDGE = "alert.acknowledge"
    SILENCE_CREATE = "silence.create"
    SILENCE_END = "silence.end"
    DELIVERY_RETRY = "delivery.retry"
    DEVICE_DELETE = "device.delete"
    RETENTION_KEEP = "retention.keep"
    RETENTION_FORGET = "retention.forget"


class Outcome(StrEnum):
    """What came of it. What was refused is no act: it is counted in the metrics and has its line in the log."""

    DONE = "done"
    UNCHANGED = "unchanged"
    """It was so already."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and by which request."""

    key_id: str | None
    """None: no key was needed, as on the command line."""
    name: str
    address: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, principal: Principal, address: str | None, request_id: str | None) -> "Actor":
        """Who presents a key."""
        return cls(principal.key_id, principal.name, address, request_id)


SLUICE = Actor(None, "sluice")
"""The program itself: where nobody asked."""


def row(
    by: Actor,
    act: Act,
    thing: str | int,
    detail: Mapping[str, Any] | None = None,
    *,
    outcome: Outcome = Outcome.DONE,
) -> tuple[str | None, ...]:
    """The arguments of `INSERT`. `detail` is for JSON: a few short values, and never a secret."""
    text = json.dumps(detail or {}, ensure_ascii=False)
    return (by.key_id, by.name, by.address, by.request_id, act.value, str(thing), outcome.value, text)


class Entry(BaseModel):
    """A row, as it is listed."""

    id: int
    at: datetime
    key_id: str | None = Field(description="null: the command line")
    name: str = Field(description="of the key, as it was then; or 'cli:' and a user of the system")
    address: str | None
    request_id: str | None = Field(description="as in X-Request-Id and in the log")
    act: str = Field(examples=["key.create"])
    object: str = Field(description="an id, or the name of a device")
    outcome: Outcome
    detail: dict[str, Any]
