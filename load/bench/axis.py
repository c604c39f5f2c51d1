"""The axes along which the cost of a reading is followed, and the points on each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from load.bench.case import Case
from load.bench.plan import DEVICES, METRICS
from load.bench.sluice import RULES

REPRESENTATIVE = (Case(100), Case(1))
"""What every axis but `batch` measures: a gateway's batch, and a sensor that sends each reading alone."""

SERIES = DEVICES * len(METRICS)
"""Where that is not what is varied."""

STRIDE = 7_919
"""Between devices that send one after the other: a prime, and larger than what one group holds."""

QUICK_SERIES = 100_000
QUICK_STORED = 10_000_000


class Axis(StrEnum):
    """What is varied."""

    BATCH = "batch"
    SERIES = "series"
    TABLE = "table"
    WORKERS = "workers"
    RULES = "rules"


UNITS = {
    Axis.BATCH: "readings in one request",
    Axis.SERIES: "series, five a device; half: the cache holds half of them",
    Axis.TABLE: "readings stored before",
    Axis.WORKERS: "workers, not pinned",
    Axis.RULES: f"rules over {SERIES:,} series",
}


@dataclass(frozen=True, slots=True)
class Point:
    """A place on an axis: a server on a folder of its own, with this before the clock starts."""

    axis: Axis
    at: int
    cases: tuple[Case, ...] = REPRESENTATIVE
    series: int = SERIES
    stored: int = 0
    """Readings that are in the table already."""
    rules: int = RULES
    workers: int = 1
    settings: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def devices(self) -> int:
        """Whose series they are."""
        return self.series // len(METRICS)

    @property
    def stride(self) -> int:
        """Many devices send in no order of their names, nor of their series' ids."""
        return STRIDE if self.devices > DEVICES else 1

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.axis.value} {self.at:,}" + (f" ({self.note})" if self.note else "")


def points(axis: Axis, *, quick: bool) -> list[Point]:
    """What is measured of an axis, ascending."""
    match axis:
        case Axis.BATCH:
            return [Point(axis, batch, cases=(Case(batch),)) for batch in (1, 10, 100, 1_000, 10_000)]
        case Axis.SERIES:
            return _series([10**power for power in range(2, 7) if not quick or 10**power <= QUICK_SERIES])
        case Axis.TABLE:
            sizes = (0, 10_000_000, 100_000_000)
            return [Point(axis, size, stored=size) for size in sizes if not quick or size <= QUICK_STORED]
        case Axis.WORKERS:
            return [
                Point(axis, count, tuple(Case(case.batch, workers=count) for case in REPRESENTATIVE), workers=count)
                for count in (1, 2)
            ]
        case Axis.RULES:
            return [Point(axis, count, rules=count) for count in (0, 100, 1_000, 10_000, 100_000)]


def _series(counts: Sequence[int]) -> list[Point]:
    """Each count with a cache that holds all, and the largest once more with one that holds half of them."""
    whole = [Point(Axis.SERIES, count, series=count) for count in counts]
    half = counts[-1] // 2
    settings = {"max_cached_series": str(half)}
    return [*whole, Point(Axis.SERIES, counts[-1], series=counts[-1], settings=settings, note=f"cache {half:,}")]
