"""An alert: one stretch during which one rule fired for one series."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from alerts.machine import Transition
from alerts.matching import WatchingRule
from schemas.columns import SeriesKey
from schemas.events import EventType
from schemas.times import to_datetime, to_text

Acknowledgement = tuple[datetime | None, str | None]
"""When, and by whose key; Nones: not yet."""


@dataclass(frozen=True, slots=True)
class Alert:
    """As the table `alerts` holds it."""

    id: int
    rule_id: int
    series_id: int
    rule_name: str
    device: str
    metric: str
    labels: str
    severity: str
    state: str
    value: float
    threshold: float
    started_at: datetime
    fired_at: datetime
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As `/ws`, the event log and the list of alerts show it (contract §7)."""
        return {
            "id": self.id,
            "rule": {"id": self.rule_id, "name": self.rule_name},
            "device": self.device,
            "metric": self.metric,
            "labels": json.loads(self.labels),
            "severity": self.severity,
            "state": self.state,
            "value": self.value,
            "threshold": self.threshold,
            "started_at": to_text(self.started_at),
            "fired_at": to_text(self.fired_at),
            "resolved_at": to_text(self.resolved_at) if self.resolved_at else None,
            "acknowledged_at": to_text(self.acknowledged_at) if self.acknowledged_at else None,
            "acknowledged_by": self.acknowledged_by,
        }

    def event(self, event: EventType, at: datetime) -> dict[str, Any]:
        """The payload of an event that leaves the alert like this."""
        return {"event": event.value, "at": to_text(at), "alert": self.as_json()}

    def acknowledged(self, acknowledgement: "Acknowledgement") -> "Alert":
        """The alert with what the table says of its acknowledgement."""
        if acknowledgement == (self.acknowledged_at, self.acknowledged_by):  # to copy one costs 5 µs
            return self
        return replace(self, acknowledged_at=acknowledgement[0], acknowledged_by=acknowledgement[1])

    def moved(self, rule: WatchingRule, transition: Transition) -> "Alert":
        """The alert after a transition."""
        level = rule.condition.levels[transition.level]
        resolved = transition.event is EventType.RESOLVED
        return replace(
            self,
            severity=level.severity.value,
            threshold=level.limit,
            value=transition.value,
            state="resolved" if resolved else "firing",
            resolved_at=to_datetime(transition.ts) if resolved else None,
        )

    def ended(self, at: datetime) -> "Alert":
        """The alert resolved by something else than a reading: its rule is gone or another."""
        return replace(self, state="resolved", resolved_at=at)


def raised(alert_id: int, rule: WatchingRule, series_id: int, key: SeriesKey, transition: Transition) -> Alert:
    """The alert that a rule raises by beginning to fire."""
    level = rule.condition.levels[transition.level]
    return Alert(
        id=alert_id,
        rule_id=rule.id,
        series_id=series_id,
        rule_name=rule.name,
        device=key.device,
        metric=key.metric,
        labels=key.labels,
        severity=level.severity.value,
        state="firing",
        value=transition.value,
        threshold=level.limit,
        started_at=to_datetime(transition.started),
        fired_at=to_datetime(transition.ts),
    )
