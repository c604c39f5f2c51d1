"""The newest value of every series of one device, and frames of what changed. Pure."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from alerts.live import protocol
from schemas.times import to_datetime, to_text

MAX_SERIES = 1_000
"""Series held of one device. A new one takes the place of the one not heard of for longest."""

MAX_BYTES = 256 << 10
"""Text of those: bounds a frame, as names and labels may be long."""

MAX_FRAMES = 16
"""Kept until the next change: most subscriptions have seen the same, and want the same."""

VALUE_BYTES = 64
"""Of a time and a value as text, about."""


class Reading(NamedTuple):
    """A stored reading of the device whose board it goes to."""

    metric: str
    labels: str
    """Canonical JSON."""
    ts: int
    """Microseconds since the Unix epoch."""
    value: float


class Place:
    """A series on the board."""

    __slots__ = ("_head", "_text", "change", "metric", "size", "ts", "value")

    def __init__(self, reading: Reading) -> None:
        self.metric = reading.metric
        labels = protocol.encode(json.loads(reading.labels))
        self._head = f'{{"metric":{json.dumps(reading.metric)},"labels":{labels},"ts":"'
        self.size = len(self._head) + VALUE_BYTES

    def put(self, reading: Reading, change: int) -> None:
        """Take a newer value, which is the board's change of that number."""
        self.ts, self.value, self.change = reading.ts, reading.value, change
        self._text = ""

    @property
    def text(self) -> str:
        """The reading as the wire shows it, encoded once however many frames it is part of."""
        if not self._text:
            self._text = f'{self._head}{to_text(to_datetime(self.ts))}","value":{self.value!r}}}'
        return self._text


class Board:
    """Newest wins by the readings' own time: an older one changes nothing, whatever way it came."""

    def __init__(self, channel: str) -> None:
        self.change = 0
        """Counts the times something changed; what a subscription has seen is such a number."""
        self._channel = channel
        self._places: dict[tuple[str, str], Place] = {}
        """In order of their last change."""
        self._bytes = 0
        self._forgotten = -(1 << 63)  # the newest time of a series that had to make place
        self._frames: dict[tuple[int, frozenset[str] | None], str] = {}

    def __len__(self) -> int:
        return len(self._places)

    def offer(self, readings: Iterable[Reading]) -> set[str]:
        """Take readings; returns the metrics of those that are newer than what was there."""
        metrics: set[str] = set()
        change = self.change + 1
        for reading in readings:
            place = self._claim(reading)
            if place is not None:
                place.put(reading, change)
                metrics.add(reading.metric)
        if metrics:
            self.change = change
            self._frames.clear()
        return metrics

    def know(self, readings: Iterable[Reading]) -> None:
        """Take what is stored already, in order of time: it is shown to nobody, but nothing older is news after it.

        Whoever is told of changes must begin after this.
        """
        for reading in readings:
            place = self._claim(reading)
            if place is not None:
                place.put(reading, 0)

    def frame(self, since: int, metrics: frozenset[str] | None = None) -> str:
        """The push of what changed after the change `since`, of these metrics or of all; empty where nothing did."""
        key = (since, metrics)
        text = self._frames.get(key)
        if text is None:
            if len(self._frames) >= MAX_FRAMES:
                self._frames.clear()
            text = self._frames[key] = self._encode(since, metrics)
        return text

    def _encode(self, since: int, metrics: frozenset[str] | None) -> str:
        texts = []
        for place in reversed(self._places.values()):
            if place.change <= since:
                break
            if metrics is None or place.metric in metrics:
                texts.append(place.text)
        return protocol.push(self._channel, f'{{"data":{{"readings":[{",".join(texts)}]}}}}') if texts else ""

    def _claim(self, reading: Reading) -> Place | None:
        """The place of the reading's series, now the last one; None where the reading is not newer."""
        key = (reading.metric, reading.labels)
        place = self._places.get(key)
        if place is None:
            if reading.ts <= self._forgotten:
                return None
            place = self._places[key] = Place(reading)
            self._bytes += place.size
            self._make_room()
        elif reading.ts <= place.ts:
            return None
        else:
            del self._places[key]
            self._places[key] = place
        return place

    def _make_room(self) -> None:
        while len(self._places) > MAX_SERIES or (self._bytes > MAX_BYTES and len(self._places) > 1):
            gone = self._places.pop(next(iter(self._places)))
            self._bytes -= gone.size
            self._forgotten = max(self._forgotten, gone.ts)
