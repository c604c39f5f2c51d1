"""Coefficients from measured sizes, and how far what they predict for other sizes is from what was measured there."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.costs import Coefficient, Shape, cost, name_of

CPU = ("server", "postgres")
"""Parts whose cost is µs of CPU a request."""
PARTS = (*CPU, "wal")
"""With what is written to PostgreSQL's log, bytes a request, without the images of whole pages."""
UNIT = {"server": "µs", "postgres": "µs", "wal": "bytes"}


@dataclass(frozen=True, slots=True)
class Size:
    """A way of sending, and how many series are in use meanwhile."""

    form: str
    batch: int
    series: int
    """In use; each request touches `Shape.series` of them."""
    fitted: bool
    """Whether the coefficients come from it; else they are held against it."""

    @property
    def name(self) -> str:
        """For people, and in JSON."""
        return f"{self.batch} {self.form}, {self.series:,} series"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a request of a size came to."""

    size: Size
    shape: Shape
    costs: dict[str, float]
    """By part, in its unit."""
    facts: dict[str, float] = field(default_factory=dict)
    """What else was seen, such as the rows of a group."""

    @property
    def cpu_us(self) -> float:
        """CPU µs a request."""
        return sum(self.costs[part] for part in CPU)


@dataclass(frozen=True, slots=True)
class Check:
    """A size that the coefficients do not come from: what they say of it, and what was measured."""

    size: Size
    predicted_us: float
    measured_us: float
    parts: dict[str, tuple[float, float]]
    """Predicted and measured, by part."""

    @property
    def error(self) -> float:
        """Of the prediction, as a share of what was measured."""
        return self.predicted_us / self.measured_us - 1

    def as_json(self) -> dict[str, Any]:
        """µs of CPU a reading, as the benchmark tells it."""
        readings = self.size.batch
        each = {part: [round(value / readings, 3) for value in pair] for part, pair in self.parts.items()}
        return {
            "form": self.size.form,
            "batch": self.size.batch,
            "series": self.size.series,
            "predicted_us": round(self.predicted_us / readings, 3),
            "measured_us": round(self.measured_us / readings, 3),
            "error": round(self.error, 3),
            "predicted_and_measured": each,
        }


def medians(rounds: Iterable[Sample]) -> list[Sample]:
    """Each size's median, cost by cost."""
    found: dict[Size, list[Sample]] = {}
    for sample in rounds:
        found.setdefault(sample.size, []).append(sample)
    return [Sample(size, same[0].shape, _median(same, "costs"), _median(same, "facts")) for size, same in found.items()]


def _median(samples: Sequence[Sample], name: str) -> dict[str, float]:
    told: list[dict[str, float]] = [getattr(sample, name) for sample in samples]
    return {key: statistics.median(each[key] for each in told) for key in told[0]}


def fit(samples: Sequence[Sample], by: str) -> dict[str, Coefficient]:
    """Coefficients of each part, from the sizes that are for that; an error counts as a share of the size's cost."""
    fitted = [sample for sample in samples if sample.size.fitted]
    made: dict[str, Coefficient] = {}
    for part in PARTS:
        rows = [
            {
                name_of(part, word, sample.size.form): count
                for word, count in sample.shape.counts(sample.size.series).items()
            }
            for sample in fitted
        ]
        names = sorted({name for row in rows for name in row})
        told = np.array([sample.costs[part] for sample in fitted])
        matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows]) / told[:, None]
        for name, value in zip(names, least_squares(matrix, np.ones(len(told))).tolist(), strict=True):
            made[name] = Coefficient(value=round(value, 4), unit=UNIT[part], by=by)
    return made


def least_squares(matrix: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """(columns,) factors, none below 0, by which the columns of (rows, columns) come nearest to (rows,).

    A column whose factor would be negative is left out, the worst one first: nothing is paid back for sending more.
    """
    kept = list(range(matrix.shape[1]))
    factors = np.zeros(matrix.shape[1])
    while kept:
        # Columns of like size, else the smallest counts would decide what is still a number and what is noise.
        scale = np.linalg.norm(matrix[:, kept], axis=0)
        scale[scale == 0] = 1
        found = np.linalg.lstsq(matrix[:, kept] / scale, wanted, rcond=None)[0] / scale
        if found.min() >= 0:
            factors[kept] = found
            break
        kept.pop(int(np.argmin(found * scale)))
    return factors


def checks(samples: Sequence[Sample], table: dict[str, float]) -> list[Check]:
    """What the table says of each size that it does not come from."""
    made = []
    for sample in samples:
        if not sample.size.fitted:
            told = {
                part: (cost(table, part, sample.size.form, sample.shape, sample.size.series), sample.costs[part])
                for part in CPU
            }
            predicted = sum(pair[0] for pair in told.values())
            made.append(Check(sample.size, predicted, sample.cpu_us, told))
    return made


def worst(found: Sequence[Check]) -> float:
    """The largest error, whichever way; NaN of nothing."""
    return max((abs(check.error) for check in found), default=math.nan)
