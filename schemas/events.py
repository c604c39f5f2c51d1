"""Alert events: what a transition looks like on `/ws` and in the event log."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """What happened to an alert."""

    FIRING = "firing"
    ESCALATED = "escalated"
    DEESCALATED = "deescalated"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    UNSILENCED = "unsilenced"
    FLAPPING_STARTED = "flapping_started"
    FLAPPING_STOPPED = "flapping_stopped"


@dataclass(frozen=True, slots=True)
class Event:
    """A committed event: its place in the one sequence of all events, and its payload."""

    offset: int
    """1, 2, 3 … without gaps, in commit order."""
    device: str
    data: dict[str, Any]
    """`{"event", "at", "alert": {…}}`, ready to be encoded (contract §7)."""
