"""docs/scale.md shows what the calculator says, and the calculator goes by what the record of its benchmark shows."""

from typing import Any

import pytest

from load.bench.plan import METRICS
from load.model import ALLOWED, SIZES
from schemas.costs import Shape, cost
from server.plan_cli import read_table
from tests.unit.scale_page import PAGE, RECORD, page


def test_the_page_is_in_step() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.unit.scale_page"


def test_every_size_that_is_predicted_was_measured() -> None:
    told = {(each["form"], each["batch"], each["series"]) for each in RECORD["checks"]}
    assert told == {(size.form, size.batch, size.series) for size in SIZES if not size.fitted}


@pytest.mark.parametrize("check", RECORD["checks"], ids=lambda each: f"{each['batch']}-{each['form']}-{each['series']}")
def test_what_was_predicted_is_what_the_formula_says(check: dict[str, Any]) -> None:
    """So neither formula nor table can change without a new measurement, and none was off by more than allowed."""
    shape = Shape(check["batch"], min(check["batch"], len(METRICS)), 0.001)
    table = read_table().values()
    told = sum(cost(table, part, check["form"], shape, check["series"]) for part in ("server", "postgres"))
    assert told / check["batch"] == pytest.approx(check["predicted_us"], rel=0.01, abs=0.002)
    assert abs(check["predicted_us"] / check["measured_us"] - 1) <= ALLOWED
