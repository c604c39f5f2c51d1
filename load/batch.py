"""What a device sends: readings that were taken together, and the two layouts of the wire (contract §3)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from schemas.columns import SeriesKey

Cell = float | bool | None

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Layout(StrEnum):
    """How a batch is written down."""

    ROWS = "rows"
    """One object a reading."""
    COLUMNS = "columns"
    """The times once, then a list of values for each metric."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings of one device: n times and, for each metric, n values, or None where there is no reading."""

    device: str
    ts: Sequence[int]
    """Microseconds since the Unix epoch, ascending."""
    values: dict[str, list[Cell]]
    labels: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many readings these are."""
        return sum(len(cells) - cells.count(None) for cells in self.values.values())

    def readings(self) -> Iterator[tuple[SeriesKey, int, float]]:
        """Every reading as it is stored: its series, µs since the epoch, its value (a boolean is 1 or 0)."""
        labels = canonical(self.labels)
        for metric, cells in self.values.items():
            series = SeriesKey(self.device, metric, labels)
            for ts, cell in zip(self.ts, cells, strict=True):
                if cell is not None:
                    yield series, ts, float(cell)

    def document(self, layout: Layout) -> dict[str, Any]:
        """The batch as JSON will show it."""
        head: dict[str, Any] = {"device": self.device} | ({"labels": self.labels} if self.labels else {})
        times = [wire_time(ts) for ts in self.ts]
        if layout is Layout.COLUMNS:
            return head | {"ts": times, "values": self.values}
        rows = [
            {"ts": times[n], "metric": metric, "value": cells[n]}
            for n in range(len(times))
            for metric, cells in self.values.items()
            if cells[n] is not None
        ]
        return head | {"readings": rows}

    def split(self) -> list["Batch"]:
        """Two halves: of the times or, where there is only one time, of the metrics. One metric is left as it is."""
        half = len(self.ts) // 2
        if half:
            return [self._times(slice(None, half)), self._times(slice(half, None))]
        metrics = list(self.values)
        half = len(metrics) // 2
        if half:
            return [self._metrics(metrics[:half]), self._metrics(metrics[half:])]
        return [self]

    def since(self, place: int) -> "Batch":
        """What was taken at its nth time and later."""
        return self._times(slice(place, None))

    def _times(self, part: slice) -> "Batch":
        values = {metric: cells[part] for metric, cells in self.values.items()}
        return Batch(self.device, self.ts[part], values, self.labels)

    def _metrics(self, metrics: list[str]) -> "Batch":
        return Batch(self.device, self.ts, {metric: self.values[metric] for metric in metrics}, self.labels)


def halves(batches: Sequence[Batch]) -> list[Sequence[Batch]]:
    """Divide a request in two; a single reading comes back alone, because it cannot be divided."""
    if len(batches) > 1:
        half = len(batches) // 2
        return [batches[:half], batches[half:]]
    return [[part] for batch in batches for part in batch.split()]


def encode(batches: Sequence[Batch], layout: Layout) -> bytes:
    """Write the body of a request: an object for one batch, an array for several."""
    documents = [batch.document(layout) for batch in batches]
    return json.dumps(documents[0] if len(documents) == 1 else documents, separators=(",", ":")).encode()


def wire_time(ts: int) -> int | str:
    """Milliseconds where microseconds would say no more, else RFC 3339 to the microsecond."""
    return ts // 1_000 if ts % 1_000 == 0 else rfc3339(ts)


def rfc3339(ts: int) -> str:
    """Write microseconds since the epoch as text in UTC, exactly (a float of seconds would round)."""
    return (EPOCH + timedelta(microseconds=ts)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def microseconds(text: str) -> int:
    """Read RFC 3339 text as microseconds since the epoch, exactly."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def canonical(labels: dict[str, str]) -> str:
    """Labels as the text that `SeriesKey` holds: equal labels are equal text."""
    return json.dumps(labels, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
