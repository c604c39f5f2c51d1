"""The formula of what writing costs, and the fit of its coefficients."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from load.fitting import Check, Sample, Size, checks, fit, least_squares, medians, worst
from load.model import SIZES
from schemas.costs import SPREAD_FROM, Coefficient, Shape, Table, cost, name_of
from server.plan_cli import read_table

COEFFICIENTS = {
    "server.request.rows": 60.0, "server.reading.rows": 0.8, "server.series": 1.0, "server.tuple": 3.0,
    "server.spread": 8.0, "postgres.request": 12.0, "postgres.series": 2.0, "postgres.tuple": 3.0,
    "postgres.reading": 0.1, "postgres.spread": 6.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("readings", "series", "interval_s", "tuples", "is_runs"),
    [
        (1, 1, 10, 1, False),
        (5, 5, 10, 5, False),  # one of each: rows
        (15, 5, 10, 15, False),  # three of each are no run yet
        (20, 5, 0, 5, True),
        (1_600, 5, 0, 5, True),  # 320 of each, the longest run
        (1_605, 5, 0, 10, True),  # one more, in two
        (455, 5, 10, 10, True),  # a quarter of an hour is crossed once
        (50, 5, 600, 50, False),  # and so often that no run is long enough
    ],
)
def test_what_comes_of_a_request(readings: int, series: int, interval_s: float, tuples: float, is_runs: bool) -> None:
    shape = Shape(readings, series, interval_s)
    assert shape.tuples == pytest.approx(tuples)
    assert shape.is_runs is is_runs


def test_the_formula_counts_each_word_once() -> None:
    shape = Shape(100, 5)
    told = cost(COEFFICIENTS, "server", "rows", shape, 10 * SPREAD_FROM)
    assert told == pytest.approx(60 + 5 * 1 + 5 * 8 + 5 * 3 + 100 * 0.8)
    assert cost(COEFFICIENTS, "server", "rows", shape, 1) == pytest.approx(told - 5 * 8)
    assert cost(COEFFICIENTS, "postgres", "lines", shape, 1) == pytest.approx(12 + 5 * 2 + 5 * 3 + 10)
    assert (name_of("server", "reading", "lines"), name_of("postgres", "reading", "lines")) == (
        "server.reading.lines",
        "postgres.reading",
    )


def values_of(found: dict[str, Coefficient]) -> dict[str, float]:
    return {name: each.value for name, each in found.items()}


def samples(noise: float = 0.0) -> list[Sample]:
    """What a server with these coefficients would come to."""
    chance = random.Random(5)
    made = []
    for size in SIZES:
        if size.form == "rows":
            shape = Shape(size.batch, min(size.batch, 5), 0.001)
            costs = {part: cost(COEFFICIENTS, part, "rows", shape, size.series) for part in ("server", "postgres")}
            costs["wal"] = 100.0 + 12 * size.batch
            made.append(
                Sample(size, shape, {name: told * chance.uniform(1 - noise, 1 + noise) for name, told in costs.items()})
            )
    return made


@pytest.mark.parametrize(("noise", "allowed"), [(0.0, 1e-3), (0.05, 0.15)])
def test_what_is_measured_at_some_sizes_predicts_the_others(noise: float, allowed: float) -> None:
    taken = samples(noise)
    found = checks(taken, values_of(fit(taken, "a test")))
    assert len(found) == 7
    assert worst(found) < allowed


def test_what_is_predicted_has_no_part_in_the_fit() -> None:
    taken = samples()
    wrong = [
        one if one.size.fitted else replace(one, costs={part: 9 * told for part, told in one.costs.items()})
        for one in taken
    ]
    assert fit(wrong, "a test") == fit(taken, "a test")
    assert all(
        check.error == pytest.approx(-8 / 9, abs=1e-3) for check in checks(wrong, values_of(fit(wrong, "a test")))
    )


def test_no_size_is_both_fitted_and_predicted() -> None:
    fitted = {(size.form, size.batch, size.series) for size in SIZES if size.fitted}
    assert not fitted & {(size.form, size.batch, size.series) for size in SIZES if not size.fitted}
    assert {size.form for size in SIZES if size.fitted} == {size.form for size in SIZES if not size.fitted}


def test_a_prediction_that_is_off_is_told() -> None:
    check = Check(Size("rows", 10, 5_000, False), 80.0, 100.0, {"server": (60.0, 70.0)})
    assert check.error == pytest.approx(-0.2)
    assert check.as_json()["predicted_and_measured"] == {"server": [6.0, 7.0]}
    assert worst([check]) == pytest.approx(0.2)
    assert math.isnan(worst([]))


def test_the_median_counts() -> None:
    size, shape = Size("rows", 1, 5_000, True), Shape(1, 1)
    told = [Sample(size, shape, {"server": one}, {"images": two}) for one, two in ((1.0, 9.0), (50.0, 2.0), (3.0, 4.0))]
    assert medians(told) == [Sample(size, shape, {"server": 3.0}, {"images": 4.0})]


def test_nothing_is_paid_back() -> None:
    matrix = np.array([[1.0, 1.0], [1.0, 10.0], [1.0, 100.0]])
    assert least_squares(matrix, np.array([3.0, 12.0, 102.0])).tolist() == pytest.approx([2.0, 1.0])
    factors = least_squares(matrix, np.array([10.0, 9.0, 1.0]))
    assert factors[1] == 0
    assert factors[0] > 0


def test_the_table_of_the_calculator_is_whole() -> None:
    """Each coefficient has a unit and the command that measured it; none is negative."""
    table = read_table()
    assert table.machine
    assert {each.unit for each in table.coefficients.values()} == {"µs", "bytes", "MB"}
    assert all(each.by.startswith(("python -m load.", "python3 dev.py bench")) for each in table.coefficients.values())
    with pytest.raises(ValidationError):
        Table.model_validate_json(
            '{"machine": "m", "at": "now", "coefficients": {"a.b": {"value": -1, "unit": "µs", "by": "x"}}}'
        )
