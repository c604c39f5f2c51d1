"""The benchmark of growth: its points, what it lays in beforehand, its table and its chart."""

import json
import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from load.bench import burden, stock
from load.bench.axis import QUICK_SERIES, QUICK_STORED, SERIES, Axis, Point, points
from load.bench.cli import app
from load.bench.growth import table
from load.bench.panels import NOTED, columns, draw, lines_of, short, span
from load.bench.plan import DEVICES, METRICS, Plan
from load.bench.result import Result, load, median_of
from load.bench.stock import PAST_DAYS, RUN_READINGS, shelves
from load.bench.subject import SubjectError
from schemas.rules import RuleRequest
from tests.unit.test_bench_result import result

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BASE_MS = 1_795_428_000_123


def grown(axis: Axis, point: int, total: float = 3.0, case: str = "100-rows", **more: object) -> Result:
    made = result(case, total, "sluice", axis=axis.value, point=point)
    for name, value in more.items():
        setattr(made, name, value)
    return made


# -- points ----------------------------------------------------------------------------------------------------------


def test_every_axis_has_the_points_that_were_asked_for() -> None:
    at = {axis: [point.at for point in points(axis, quick=False) if not point.note] for axis in Axis}
    assert at == {
        Axis.BATCH: [1, 10, 100, 1_000, 10_000],
        Axis.SERIES: [100, 1_000, 10_000, 100_000, 1_000_000],
        Axis.TABLE: [0, 10_000_000, 100_000_000],
        Axis.WORKERS: [1, 2],
        Axis.RULES: [0, 100, 1_000, 10_000, 100_000],
    }
    assert [[case.name for case in point.cases] for point in points(Axis.BATCH, quick=False)][-1] == ["10000-rows"]
    assert [case.name for case in points(Axis.WORKERS, quick=True)[1].cases] == ["100-rows-2w", "1-rows-2w"]


def test_quick_points_are_smaller() -> None:
    assert max(point.series for point in points(Axis.SERIES, quick=True)) == QUICK_SERIES
    assert max(point.stored for point in points(Axis.TABLE, quick=True)) == QUICK_STORED


def test_the_largest_number_of_series_is_measured_with_half_a_cache_too() -> None:
    *_, whole, half = points(Axis.SERIES, quick=False)
    assert (whole.series, whole.settings) == (1_000_000, {})
    assert (half.series, half.settings) == (1_000_000, {"max_cached_series": "500000"})
    assert whole.name != half.name


@pytest.mark.parametrize("point", [*points(Axis.SERIES, quick=False), points(Axis.RULES, quick=False)[0]])
def test_every_device_of_a_point_has_its_turn(point: Point) -> None:
    devices, stride = point.devices, point.stride
    plan = Plan(1, devices, 0, devices, stride=stride)
    assert {plan.of(request)[0] for request in range(devices)} == set(range(devices))
    assert (plan.of(1)[0] == 1) is (devices <= DEVICES)


def test_the_window_of_requests_holds_their_readings_and_no_tick_more() -> None:
    plan = Plan(100, 4_000, BASE_MS)
    _, ts, _ = plan.columns(1_500, 2_700)
    assert plan.window(1_500, 2_700) == (ts.min(), ts.max() + 1_000)


# -- the stock ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readings", [10_000_000, 100_000_000])
def test_shelves_hold_the_readings_half_of_them_today(readings: int) -> None:
    made = shelves(readings, SERIES, NOON)
    assert [shelf.start for shelf in made] == [
        NOON.replace(hour=0) - timedelta(days=back) for back in range(PAST_DAYS, -1, -1)
    ]
    held = [shelf.readings * SERIES for shelf in made]
    assert sum(held) == pytest.approx(readings, rel=0.02)
    assert held[-1] == pytest.approx(readings / 2, rel=0.02)
    assert sum(shelf.plain for shelf in made) * SERIES == pytest.approx(readings / 5, rel=0.02)


@pytest.mark.parametrize("readings", [10_000_000, 100_000_000])
def test_runs_of_a_shelf_neither_overlap_nor_leave_their_quarter_of_an_hour(readings: int) -> None:
    for shelf in shelves(readings, SERIES, NOON):
        step = shelf.span_ms / shelf.runs
        starts = [math.floor(n * step / stock.RUN_MS) * stock.RUN_MS for n in range(shelf.runs)]
        assert all(later - start >= RUN_READINGS for start, later in pairwise(starts))
        assert all(start // 900_000 == (start + RUN_READINGS - 1) // 900_000 for start in starts)
        assert starts[-1] + RUN_READINGS <= shelf.span_ms
        plain = {math.floor(n * shelf.span_ms / shelf.plain) for n in range(shelf.plain)}
        assert len(plain) == shelf.plain


def test_a_day_that_has_just_begun_has_no_room() -> None:
    with pytest.raises(SubjectError, match="60 s after midnight"):
        shelves(10_000_000, SERIES, NOON.replace(hour=0, minute=1))


def test_a_disk_that_is_too_small_is_named(tmp_path: Path) -> None:
    assert stock.room(tmp_path, 0) == ""
    assert "GB free" in stock.room(tmp_path, 10**15)


# -- the burden --------------------------------------------------------------------------------------------------------


def test_rules_are_spread_over_the_series_and_never_fire() -> None:
    made = [RuleRequest.model_validate_json(document) for document in burden.documents(2 * SERIES)]
    watched = Counter((rule.device, rule.metric) for rule in made)
    assert set(watched.values()) == {2}
    assert len(watched) == SERIES == DEVICES * len(METRICS)
    assert '"above":1000000000.0' in made[0].condition.model_dump_json()
    assert burden.documents(0) == []


# -- results -----------------------------------------------------------------------------------------------------------


def test_rounds_of_a_point_are_not_those_of_another(tmp_path: Path) -> None:
    at = [grown(Axis.RULES, point, total) for point, total in ((0, 4.0), (0, 2.0), (0, 3.0), (100, 9.0))]
    at.append(replace(at[0], note="cache 5"))
    assert [(one.point, one.note, one.total_us) for one in median_of(at)] == [
        (0, "", 3.0),
        (100, "", 9.0),
        (0, "cache 5", 4.0),
    ]
    path = tmp_path / "run.json"
    path.write_text(grown(Axis.TABLE, 7, facts={"stored_runs": 5.0}, limit_packed_us=0.25).as_json() + "\n")
    [again] = load(path)
    assert (again.axis, again.point, again.facts, again.limit_packed_us) == ("table", 7, {"stored_runs": 5.0}, 0.25)
    assert json.loads(path.read_text())["limit_us"] is None


def test_the_table_says_what_became_of_the_first_point() -> None:
    facts = {"load_rules_s": 1.25, "workers_replaced": 2.0}
    lines = table(
        [
            grown(Axis.RULES, 0, 2.0),
            grown(Axis.RULES, 0, 50.0, "1-rows"),
            grown(Axis.RULES, 100, 3.0, facts=facts, limit_us=1.5, limit_packed_us=0.125),
            grown(Axis.WORKERS, 1, 2.0),
            grown(Axis.WORKERS, 2, 5.0, "100-rows-2w"),
        ]
    ).splitlines()
    assert lines[3].split()[7:10] == ["1.50", "1.5", "0.125"]
    assert lines[3].endswith("1.2 s to load rules, 2 workers replaced")
    assert lines[5].split()[7] == "2.50"


# -- the chart ---------------------------------------------------------------------------------------------------------


def test_columns_are_in_powers_of_ten_with_nothing_one_before() -> None:
    at = [grown(Axis.TABLE, point) for point in (0, 10_000_000, 100_000_000)]
    assert list(columns(at).values()) == [6.0, 7.0, 8.0]
    at = [grown(Axis.SERIES, 1_000), grown(Axis.SERIES, 1_000, note="cache 500")]
    assert list(columns(at).values()) == [3.0, 3.0 + NOTED]
    assert columns([grown(Axis.RULES, 0)]) == {(0, ""): 0.0}


def test_span_and_short() -> None:
    assert span([0.25, 50.0, math.nan, 0.0]) == (-1, 2)
    assert span([1.0]) == (0, 1)
    assert [short(point) for point in (0, 1, 100, 10_000, 100_000_000, 1_234)] == [
        "0",
        "1",
        "100",
        "10k",
        "100M",
        "1234",
    ]


def test_lines_join_a_case_over_its_points() -> None:
    batch = [grown(Axis.BATCH, size, case=f"{size}-rows") for size in (1, 10)]
    workers = [
        grown(Axis.WORKERS, 1),
        grown(Axis.WORKERS, 2, case="100-rows-2w"),
        grown(Axis.WORKERS, 1, case="1-rows"),
    ]
    assert [len(line) for line in lines_of(batch).values()] == [2]
    assert [len(line) for line in lines_of(workers).values()] == [2, 1]


def test_the_chart_is_one(tmp_path: Path) -> None:
    at = [grown(Axis.RULES, point, limit_us=1.0, limit_packed_us=0.1) for point in (0, 100, 1_000)]
    at += [grown(Axis.SERIES, 100), grown(Axis.SERIES, 100, note="cache 50"), grown(Axis.TABLE, 0, math.nan)]
    draw(at, tmp_path / "deep" / "run.png")
    draw(at[:1], tmp_path / "one.png")
    sizes = []
    for name in ("deep/run.png", "one.png"):
        with Image.open(tmp_path / name) as image:
            sizes.append(image.size)
            assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 5
    assert sizes[0][1] > sizes[1][1]


# -- the command line --------------------------------------------------------------------------------------------------


def test_growth_lists_the_points_of_its_axes() -> None:
    said = CliRunner().invoke(app, ["--growth", "workers", "rules", "--list"]).output.splitlines()
    assert said == ["workers 1", "workers 2", "rules 0", "rules 100", "rules 1,000", "rules 10,000", "rules 100,000"]
    everything = CliRunner().invoke(app, ["--growth", "--list"]).output.splitlines()
    assert {line.split()[0] for line in everything} == set(Axis)


@pytest.mark.parametrize("words", [["rules"], ["--growth", "--against", "influxdb"], ["--growth", "colour"]])
def test_what_does_not_go_together_is_refused(words: list[str]) -> None:
    assert CliRunner().invoke(app, [*words, "--list"]).exit_code == 2
