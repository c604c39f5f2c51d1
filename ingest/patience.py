"""What a connection waits for, how long, and when it waits no more."""

from dataclasses import dataclass
from enum import IntEnum

from uvicorn.protocols.http.flow_control import FlowControl


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one connection may take for what, seconds."""

    head_s: float = 9.0
    """From its beginning, or the first byte of a request, to the end of a head: with a margin under 10 s."""
    body_s: float = 10.0
    """From the end of a head to the end of its body."""
    idle_s: float = 75.0
    """From an answer to the next request: many devices send once a minute."""


class Stage(IntEnum):
    """How far the request that arrives has come."""

    WHOLE = 0
    HEAD = 1
    BODY = 2


class Flow(FlowControl):
    """uvicorn reads on at every answer; this one does not while too much waits."""

    full = False

    def pause_reading(self) -> None:
        """Read no further. Who hung up is not read anyhow, and the transport would raise."""
        if not self._transport.is_closing():
            super().pause_reading()

    def fill(self) -> None:
        """Too much waits: read no further until `full` is taken back."""
        self.pause_reading()
        self.full = True

    def resume_reading(self) -> None:
        """Read on, unless too much waits."""
        if not self.full and not self._transport.is_closing():
            super().resume_reading()
