"""What load tests decide: who takes part by which course, what has to hold, how it is told. No server, no locust."""

import math
import random

import pytest
from cramjam import snappy
from typer.testing import CliRunner

from ingest.formats import otlp, prometheus, senml, thingsboard
from ingest.formats.mapping import Mapping
from ingest.formats.terms import Terms
from load.batch import Batch
from load.findings import Findings
from load.scenarios.__main__ import app
from load.scenarios.catalogue import SCENARIOS, ScenarioError, compose
from load.scenarios.courses import Bursts, Climb, Even, Stairs, Window
from load.scenarios.dialects import INFLUX, OTLP, PROMETHEUS, SENML, THINGSBOARD
from load.scenarios.limits import OPEN, Figures, Limits, Losses, checks
from load.scenarios.outcome import Books, Outcome
from load.scenarios.plot import Line, plot
from load.scenarios.recorder import Recorder, quantile_ms
from load.scenarios.report import _plain, page, summary
from load.scenarios.told import Crossing, compare
from schemas.columns import Columns
from tests.unit import influx
from tests.unit.influx import BOUNDS, MS, NOW_US
from tests.unit.otlp import MAPPING as OTLP_MAPPING

BATCH = Batch("pump-7", [MS * 1_000, (MS + 1) * 1_000], {"level": [1.5, -0.1], "m1": [None, True]})
GOOD = Window(intended=1_000, achieved=1_000, p99_ms=20)


def crossing(event: str, ts: int = 1, device: str = "d") -> Crossing:
    return Crossing(device, "level", ts, event)


def test_several_scenarios_at_once_have_everybody_and_the_looser_bounds() -> None:
    both = compose("steady+storm")
    assert both.users == {"DeviceUser": 120, "StormUser": 50}
    assert both.limits.p99_ms == SCENARIOS["storm"].limits.p99_ms
    assert both.limits.achieved_share == SCENARIOS["storm"].limits.achieved_share
    assert compose("steady+outage").limits.p99_ms == OPEN
    assert compose("steady+reconnect").limits.resume_p99_ms == 10_000
    assert compose("steady+burst").ramp == SCENARIOS["burst"].ramp
    assert compose("steady").scaled(0.01).users == {"DeviceUser": 1}


def test_two_courses_cannot_be_followed_at_once() -> None:
    with pytest.raises(ScenarioError, match="one after the other"):
        compose("knee+burst")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["stedy"], "steady"),
        ([], "sluice load steady"),
        (["knee+burst"], "one after the other"),
        (["outage", "--url", "http://127.0.0.1:9"], "no --url"),
        (["steady", "--url", "http://127.0.0.1:9"], "SLUICE_KEY"),
        (["steady", "--url", "127.0.0.1:9"], "begins with http"),
    ],
)
def test_what_cannot_be_run_says_what_to_do(words: list[str], advice: str) -> None:
    done = CliRunner().invoke(app, words, env={"SLUICE_KEY": ""})
    assert done.exit_code == 2
    assert advice in done.output


def test_courses() -> None:
    assert [Even().users(at, 10, 7) for at in (0, 9.9, 10)] == [7, 7, None]
    assert [Bursts().users(at, 60, 7) for at in (0, 10, 19.9, 20, 30, 40, 60)] == [0, 7, 7, 0, 7, 0, None]
    assert [Stairs().users(at, 100, 20) for at in (0, 6, 59, 60, 99, 100)] == [2, 4, 20, 20, 20, None]


def test_a_climb_finds_where_the_target_bends() -> None:
    """A target that stores 10,000 readings a second and no more, and is late then."""
    climb, at_s = Climb(p99_ms=500), 0.0
    while (users := climb.users(at_s, 240, 400)) is not None:
        at_s += climb.step_s(240)
        assert climb.due(at_s, 240)
        intended = users * 1_000.0
        climb.saw(at_s, Window(intended, min(intended, 10_000), 20 if intended <= 10_000 else 900), 400)
    assert climb.knee is not None
    assert 8_000 <= climb.knee.seen.achieved <= 10_000
    assert [step.held for step in climb.steps[-2:]] == [False, False]


def test_a_climb_is_not_misled_by_one_bad_step() -> None:
    climb = Climb(p99_ms=500)
    for bad in (False, True, False):
        users = climb.users(0, 240, 400)
        climb.saw(0, Window(1_000, 1_000, 900 if bad else 20), 400)
    assert users == climb.steps[1].users, "a step that failed is tried again"
    assert not climb.over


@pytest.mark.parametrize(
    "window",
    [
        Window(1_000, 900, 20),
        Window(1_000, 1_000, 501),
        Window(1_000, 1_000, math.nan),
        Window(1_000, 1_000, 20, error_share=0.02),
    ],
)
def test_what_bends(window: Window) -> None:
    climb = Climb(p99_ms=500)
    climb.saw(0, window, 400)
    climb.saw(0, GOOD, 400)
    assert [step.held for step in climb.steps] == [False, True]


def test_what_processes_record_is_the_same_together() -> None:
    """Two processes that hand in now and then, and one that saw it all."""
    time = [100.0]
    alone, leader, *parts = (Recorder(100.0, 1.0, lambda: time[0]) for _ in range(4))
    chance = random.Random(1)
    latencies = [chance.lognormvariate(3, 1) for _ in range(2_000)]
    for number, ms in enumerate(latencies):
        time[0] += 0.01
        for recorder in (alone, parts[number % 2]):
            recorder.took("write", ms)
            recorder.count("readings", 20)
        if number % 300 == 0:
            leader.merge(parts[0].take())
    for part in parts:
        leader.merge(part.take())
    assert leader.total("readings") == alone.total("readings") == 40_000
    assert leader.latencies == alone.latencies
    p99 = sorted(latencies)[round(0.99 * len(latencies)) - 1]
    assert quantile_ms(leader.histogram("write"), 0.99) == pytest.approx(p99, rel=0.05)
    assert sum(leader.course("readings", 21)) == 40_000
    assert math.isnan(quantile_ms(leader.histogram("write", since=99), 0.5))


def test_checks_hold_figures_against_bounds() -> None:
    limits = Limits(p99_ms=500, error_share=0.01, achieved_share=0.95, alert_p99_ms=OPEN)
    figures = Figures(p99_ms=501, error_share=0.01, achieved_share=0.96, alert_p99_ms=9e9)
    found = {check.name: check.passed for check in checks(limits, figures, Losses(lost=1))}
    assert "p99 from reading to alert" not in found, "it means nothing in this scenario"
    assert [name for name, passed in found.items() if not passed] == ["p99 of writing", "readings lost"]


def test_no_error_at_all_is_the_strictest_bound_and_not_none() -> None:
    strict = Limits(error_share=0.0, achieved_share=0.0)
    shares = [check for check in checks(strict, Figures(error_share=0.5, achieved_share=0.1), Losses()) if check.unit]
    assert [(check.name, check.passed) for check in shares] == [("requests with an error", False)]


def test_what_was_not_measured_does_not_pass() -> None:
    assert not checks(Limits(p99_ms=500), Figures(), Losses())[0].passed


@pytest.mark.parametrize("kind", list(Losses.__dataclass_fields__))
def test_no_loss_is_allowed(kind: str) -> None:
    assert [check.passed for check in checks(Limits(), Figures(), Losses(**{kind: 1}))].count(False) == 1


def test_each_crossing_is_told_once() -> None:
    up, down, lost, first = (
        crossing("firing", 1),
        crossing("resolved", 2),
        crossing("firing", 3),
        crossing("resolved", 0),
    )
    assert compare([up, down], [first], [up, down]).missing == 0
    assert compare([up, down], [first], [first, up, down]).doubled == 0, "it may have ended what an earlier run left"
    told = compare([up, down, lost], [first], [up, up, down, crossing("firing", 9)])
    assert (told.expected, told.missing, told.doubled) == (3, 1, 2)
    assert [text.split(":")[0] for text in told.examples] == ["missing", "doubled", "without cause"]


def rows(columns: Columns) -> list[tuple[str, str, int, float]]:
    keys = [columns.series[code] for code in columns.codes.tolist()]
    return sorted(
        (key.device, key.metric, ts, value)
        for key, ts, value in zip(keys, columns.ts.tolist(), columns.value.tolist(), strict=True)
    )


def test_other_protocols_say_the_same() -> None:
    sent = sorted((series.device, series.metric, ts, value) for series, ts, value in BATCH.readings())
    assert rows(influx.read(INFLUX.encode([BATCH]), "us")) == sent
    body = bytes(snappy.decompress_raw(PROMETHEUS.encode([BATCH])))
    assert rows(prometheus.decode(body, Terms(BOUNDS, NOW_US, Mapping(), None))) == sent
    assert rows(otlp.decode_json(OTLP.encode([BATCH]), Terms(BOUNDS, NOW_US, OTLP_MAPPING))) == sent
    assert rows(senml.decode_json(SENML.encode([BATCH]), Terms(BOUNDS, NOW_US, Mapping(), None))) == sent
    assert rows(thingsboard.decode(THINGSBOARD.encode([BATCH]), Terms(BOUNDS, NOW_US, Mapping(), "pump-7"))) == sent


def test_a_report_tells_what_was_lost_and_runs_nothing() -> None:
    books = Books(Findings(acknowledged=5, stored=4, missing=1, examples=["missing: <b>pump</b>"]), processes=1)
    recorder = Recorder(0.0, 1.0, lambda: 3.0)
    recorder.took("write", 12)
    recorder.count("requests")
    outcome = Outcome(SCENARIOS["steady"], "http://x", recorder, books, 10.0, errors={"POST: 503 <i>": 3})
    shown = page(outcome, outcome.document())
    assert "✗ failed" in shown
    assert "<script" not in shown
    assert "&lt;b&gt;pump" in shown
    assert "<b>" not in shown
    assert "FAIL  readings lost: 1" in summary(outcome)
    assert _plain(outcome.document())["checks"][0]["passed"] is True


def test_a_plot_leaves_gaps_and_says_what_it_shows() -> None:
    drawn = plot([Line("p99", [1, 10, None, 100.0]), Line("none", [None, None])], 4, "ms", log=True)
    assert drawn.count("M", drawn.index('class="line')) >= 2
    assert 'aria-label="ms: p99 from 1 to 100"' in drawn
    assert "<svg" not in plot([Line("nothing", [None])], 4, "ms")
