"""What writing costs: the one formula by which the benchmark predicts (`python -m load.model`) and `sluice plan` plans.

A request costs an amount of its own, one for each series that it touches, one for each tuple that comes of it, and one
for each reading. Which these amounts are is measured; they are coefficients by name, `PART.WORD` or `PART.WORD.FORM`,
such as `server.reading.rows` or `postgres.tuple`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.runs import LONGEST, QUARTER_US, SHORTEST

SPREAD_FROM = 5_000
"""Series in use from which on more of them cost more; what is said of fewer is said of so many."""

BY_FORM = ("request", "reading")
"""Words that the server has for each form of a body: decoding is in them."""

Name = Annotated[str, Field(pattern=r"^[a-z]+(\.[a-z_]+){1,2}$")]


class Coefficient(BaseModel):
    """A measured amount."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unit: str
    by: str
    """The command that measured it."""


class Table(BaseModel):
    """Coefficients by name, and the machine that they were measured on: the file that goes from one to the other."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    machine: str
    at: str
    coefficients: dict[Name, Coefficient]

    def values(self) -> dict[str, float]:
        """The bare numbers."""
        return {name: each.value for name, each in self.coefficients.items()}


@dataclass(frozen=True, slots=True)
class Shape:
    """What is in a request."""

    readings: float
    series: float
    """As many of each."""
    interval_s: float = 0.0
    """Between two readings of a series."""

    @property
    def each(self) -> float:
        """Readings of one series."""
        return self.readings / self.series

    @property
    def pieces(self) -> float:
        """Runs that one series' readings are cut into: at quarters of an hour, in the mean, and where too long."""
        crossed = (self.each - 1) * self.interval_s / (QUARTER_US / 1e6)
        return max(crossed + 1, math.ceil(self.each / LONGEST))

    @property
    def is_runs(self) -> bool:
        """Whether they are stored as runs, not as plain rows."""
        return self.each / self.pieces >= SHORTEST

    @property
    def tuples(self) -> float:
        """Of PostgreSQL, that come of it."""
        return self.series * self.pieces if self.is_runs else self.readings

    def counts(self, active: float) -> dict[str, float]:
        """How much of each word there is in it, where so many series are in use."""
        return {
            "request": 1.0,
            "series": self.series,
            "spread": self.series * math.log10(max(active, SPREAD_FROM) / SPREAD_FROM),
            "tuple": self.tuples,
            "reading": self.readings,
        }


def name_of(part: str, word: str, form: str) -> str:
    """What the coefficient of a part is called; the server's differ by the form of the body."""
    return f"{part}.{word}.{form}" if part == "server" and word in BY_FORM else f"{part}.{word}"


def cost(table: Mapping[str, float], part: str, form: str, shape: Shape, active: float) -> float:
    """What a request costs a part, in the unit of its coefficients; a word that the table has not costs nothing."""
    counts = shape.counts(active)
    return sum(count * table.get(name_of(part, word, form), 0.0) for word, count in counts.items())
