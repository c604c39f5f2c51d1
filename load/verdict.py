"""The contract's status table as a device reads it: what to do after an answer, and how long to wait before it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random

MAX_RETRY_AFTER_S = 300
"""A `Retry-After` beyond this is taken for a mistake: no server of ours asks a device to be silent for longer."""


class Verdict(Enum):
    """What a device does with the batch it has just sent."""

    DONE = auto()
    """It is stored durably: forget it."""
    RETRY = auto()
    """It may or may not be stored: send the very same batch again, after a pause."""
    SPLIT = auto()
    """It is too large: send it in two halves."""
    DROP = auto()
    """It will never be taken: report it, go on with the next one."""
    STOP = auto()
    """The key is not good for this: send nothing more, raise an alarm."""


def verdict(status: int) -> Verdict:
    """Say what the answer's status asks of the device.

    Statuses that only a proxy would send are read by their class: any 5xx passes, any other refusal stays.
    """
    match status:
        case 200:
            return Verdict.DONE
        case 401 | 403:
            return Verdict.STOP
        case 413:
            return Verdict.SPLIT
        case 408 | 429:
            return Verdict.RETRY
        case _:
            return Verdict.RETRY if status >= 500 else Verdict.DROP


def retry_after_s(headers: Mapping[str, str]) -> int:
    """Read `Retry-After`, in whole seconds; 0 where the server did not say, or said it as a date."""
    text = headers.get("Retry-After", "").strip()
    return min(int(text), MAX_RETRY_AFTER_S) if text.isascii() and text.isdecimal() else 0


@dataclass(slots=True)
class Backoff:
    """Pauses that double from `first_s` to `most_s`, each shortened at random: a fleet must not march in step."""

    first_s: float = 0.2
    most_s: float = 15.0
    random: Random = field(default_factory=Random)
    attempts: int = 0

    def pause_s(self, asked_s: float = 0) -> float:
        """Seconds to wait before the next attempt: never less than the server asked for."""
        # The exponent is bounded, because 2.0 ** 1024 is no float any more, and an outage may be long.
        ceiling = min(self.most_s, self.first_s * 2.0 ** min(self.attempts, 32))
        self.attempts += 1
        return asked_s + ceiling * self.random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin anew: the server has answered."""
        self.attempts = 0
