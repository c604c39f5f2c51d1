"""What the nodes tell each other on the bus: committed events, and how far the sender is. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from schemas.events import Event

MAX_EVENTS = 200
"""Events of one message, so that none is much larger than 200 KB."""


class _Wire(TypedDict):
    epoch: str
    position: int
    events: list[Event]


_WIRE: TypeAdapter[_Wire] = TypeAdapter(_Wire)


@dataclass(frozen=True, slots=True)
class Message:
    """Events of one epoch, none of them for a heartbeat."""

    epoch: str
    position: int
    """The last offset the sender has delivered to its own subscribers."""
    events: list[Event] = field(default_factory=list)

    def encode(self) -> bytes:
        """Encode for the bus."""
        return _WIRE.dump_json({"epoch": self.epoch, "position": self.position, "events": self.events})

    @classmethod
    def parse(cls, payload: bytes) -> "Message | None":
        """Decode; None for what another version, or somebody else, put on the bus."""
        try:
            wire = _WIRE.validate_json(payload)
        except ValidationError:
            return None
        return cls(wire["epoch"], wire["position"], wire["events"])

    @classmethod
    def split(cls, epoch: str, position: int, events: Sequence[Event]) -> Iterator["Message"]:
        """Spread events over messages of bounded size."""
        for start in range(0, len(events), MAX_EVENTS):
            yield cls(epoch, position, list(events[start : start + MAX_EVENTS]))
