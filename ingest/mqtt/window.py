"""What came from the broker and is not settled yet: bounded, in order, and known again when it is delivered again."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

SHARES = 64
"""Of all microseconds: bridges that share a subscription take the times of their messages from a share each."""
HELD_BYTES = 600  # that a message takes besides its topic and payload


@dataclass(slots=True, eq=False)
class Held:
    """One message."""

    mid: int
    """The broker's number for it, while it is not acknowledged."""
    qos: int
    topic: str
    payload: bytes
    arrived_us: int
    """When it came first, microseconds since the Unix epoch, up to SHARES later; no two have the same."""
    since: float
    """The same by a clock that is never set, seconds."""
    connection: int
    """The one that it was delivered by last: an acknowledgement on another would name another message."""
    settled: bool = False

    @property
    def size(self) -> int:
        """Memory that it takes, bytes."""
        return HELD_BYTES + 2 * len(self.topic) + len(self.payload)


class Window:
    """Messages between their delivery and their acknowledgement.

    `name` is this client's. Two messages of one topic that two bridges get in the same microsecond would else be one
    reading to the server, and the second a duplicate.
    """

    def __init__(self, most: int, most_bytes: int, name: str = "") -> None:
        self._share = crc32(name.encode()) % SHARES
        self._most, self._most_bytes = most, most_bytes
        self._waiting: deque[Held] = deque()
        self._unacknowledged: dict[int, Held] = {}
        self._connection = 0
        self._last_us = 0
        self.bytes = 0
        """Of those that wait."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be read."""
        return len(self._waiting) >= self._most or self.bytes >= self._most_bytes

    @property
    def has_room(self) -> bool:
        """Whether to read on, after it was full."""
        return 2 * len(self._waiting) <= self._most and 2 * self.bytes <= self._most_bytes

    def connected(self, *, session_present: bool) -> None:
        """A new connection. Where the broker has forgotten the session, its numbers are given anew."""
        self._connection += 1
        if not session_present:
            self._unacknowledged.clear()

    def take(
        self, mid: int, qos: int, topic: str, payload: bytes, now_us: int, now: float, *, again: bool
    ) -> Held | None:
        """A message was delivered, perhaps `again` (MQTT's DUP); returns it, unless it waits already.

        What comes again after a cut, by a number that was not acknowledged, is one message, with the time that it had.
        Where the broker does not say so, the number is another's now, however much the messages look the same.
        """
        known = self._unacknowledged.get(mid) if qos and again else None
        if known is not None and (known.topic, known.payload) == (topic, payload):
            known.connection = self._connection
            return known if known.settled else None
        earliest_us = max(now_us, self._last_us + 1)
        self._last_us = earliest_us + (self._share - earliest_us) % SHARES
        held = Held(mid, qos, topic, payload, self._last_us, now, self._connection)
        if qos:
            self._unacknowledged[mid] = held
        self._waiting.append(held)
        self.bytes += held.size
        return held

    def settle(self, held: Held) -> bool:
        """It is stored, or refused for good. Returns whether it can be acknowledged now; else when it comes again."""
        if not held.settled:
            held.settled = True
            self._waiting.remove(held)  # the first, or near it
            self.bytes -= held.size
        return bool(held.qos) and held.connection == self._connection and self._unacknowledged.get(held.mid) is held

    def acknowledged(self, held: Held) -> None:
        """The acknowledgement is on its way: the number may soon mean another message."""
        self._unacknowledged.pop(held.mid, None)
