"""What a rule may be, and which series it watches."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from alerts.matching import RuleSet, WatchingRule, ready
from schemas.columns import SeriesKey, canonical_labels
from schemas.rules import Rule, RuleRequest

LEVEL = {"severity": "warning", "above": 70.0, "clear": 65.0}


def document(**changes: Any) -> dict[str, Any]:
    """A good rule but for the changes."""
    return {
        "name": "Overheating",
        "device": "pump-*",
        "metric": "temperature",
        "condition": {"type": "threshold", "levels": [LEVEL]},
    } | changes


def levels(*items: dict[str, Any]) -> dict[str, Any]:
    """A change of the levels."""
    return {"condition": {"type": "threshold", "levels": list(items)}}


def rule(rule_id: int = 1, **changes: Any) -> WatchingRule:
    """A rule, made ready."""
    stored = {"id": rule_id, "revision": 1, "created_at": datetime.now(UTC), "updated_at": datetime.now(UTC)}
    return ready(Rule.model_validate(document(**changes) | stored))


GOOD: list[dict[str, Any]] = [
    {},
    {"device": "*", "labels": {"site": "A"}, "annotations": {"runbook": "see there"}, "for_s": 2.5},
    {"webhooks": ["https://example.org/hook"], "keep_firing_for_s": 60},
    {"enabled": False},
    levels({"severity": "info", "below": 5}),
    levels(LEVEL | {"clear": 70.0}),
    levels({"severity": "critical", "above": 80}, LEVEL),
    levels(LEVEL, {"severity": "warning", "below": 10, "clear": 12}),
    levels({"severity": "critical", "below": 2}, {"severity": "info", "below": 8}),
]


@pytest.mark.parametrize("changes", GOOD)
def test_good_rules_survive_being_stored(changes: dict[str, Any]) -> None:
    request = RuleRequest.model_validate(document(**changes))
    assert RuleRequest.model_validate_json(request.model_dump_json()) == request


BAD: list[dict[str, Any]] = [
    {"webhooks": ["https://example.org/" + "x" * 1_024]},
    {"annotations": {"runbook": "x" * 16_400}},
    {"condition": {"type": "threshold", "levels": []}},
    {"condition": {"type": "threshold"}},
    {"condition": {"type": "unheard-of", "levels": [LEVEL]}},
    {"condition": {"type": "threshold", "levels": [LEVEL], "extra": 1}},
    levels({"severity": "warning"}),
    levels({"severity": "warning", "above": 1, "below": 0}),
    levels({"severity": "fatal", "above": 1}),
    levels(LEVEL | {"extra": 1}),
    levels(LEVEL | {"clear": 70.5}),  # inverted hysteresis
    levels({"severity": "warning", "below": 10, "clear": 9}),
    levels(LEVEL | {"above": math.nan}),
    levels(LEVEL | {"above": math.inf}),
    levels(LEVEL | {"clear": math.nan}),
    levels(LEVEL | {"above": "70"}),
    levels(LEVEL | {"above": True}),
    levels(LEVEL, LEVEL),
    levels(LEVEL, {"severity": "critical", "above": 70}),
    levels({"severity": "info", "above": 75}, LEVEL),
    levels({"severity": "info", "below": 5}, {"severity": "warning", "below": 6}),
    levels(*[LEVEL] * 9),
    {"name": ""},
    {"name": "a\nb"},
    {"name": "x" * 129},
    {"device": ""},
    {"device": "a\0"},
    {"metric": " x"},
    {"metric": "x" * 129},
    {"for_s": -1},
    {"for_s": math.nan},
    {"for_s": math.inf},
    {"for_s": 10**9},
    {"keep_firing_for_s": -0.1},
    {"labels": {"a": "\0"}},
    {"labels": {"a\0": "b"}},
    {"labels": {"a": "\ud800"}},
    {"labels": {str(number): "" for number in range(33)}},
    {"annotations": {"a": "\0"}},
    {"webhooks": ["file:///etc/passwd"]},
    {"webhooks": ["not a url"]},
    {"enabled": None},
    {"unknown": 1},
]


@pytest.mark.parametrize("changes", BAD)
def test_bad_rules_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RuleRequest.model_validate(document(**changes))


@pytest.mark.parametrize("field", ["name", "metric", "condition"])
def test_what_a_rule_must_have(field: str) -> None:
    incomplete = document()
    del incomplete[field]
    with pytest.raises(ValidationError):
        RuleRequest.model_validate(incomplete)


def test_made_ready_its_levels_ascend_and_its_durations_are_microseconds() -> None:
    critical = {"severity": "critical", "above": 80}
    made = rule(**levels(critical, LEVEL, {"severity": "info", "below": 3}), for_s=1.5, keep_firing_for_s=0.25)
    assert [level.severity for level in made.condition.levels] == ["info", "warning", "critical"]
    assert (made.condition.for_us, made.condition.keep_firing_for_us) == (1_500_000, 250_000)


def test_the_nearest_limits_of_both_sides_screen() -> None:
    made = rule(**levels({"severity": "critical", "above": 80}, LEVEL, {"severity": "info", "below": 3}))
    assert (made.lower, made.upper) == (3, 70)
    assert [made.is_crossed_by(value) for value in (2.9, 3, 50, 70, 70.1)] == [True, False, False, False, True]
    only_below = rule(**levels({"severity": "info", "below": 3}, {"severity": "critical", "below": 1}))
    assert (only_below.lower, only_below.upper) == (3, math.inf)
    assert rule().lower == -math.inf


@pytest.mark.parametrize(
    ("device", "metric", "labels", "watched"),
    [
        ("pump-7", "temperature", {"site": "A", "line": "1"}, True),
        ("pump-", "temperature", {"site": "A"}, True),
        ("room-7", "temperature", {"site": "A"}, False),
        ("pump-7", "humidity", {"site": "A"}, False),
        ("pump-7", "temperature", {"site": "B"}, False),
        ("pump-7", "temperature", {}, False),
    ],
)
def test_which_series_a_rule_watches(device: str, metric: str, labels: dict[str, str], *, watched: bool) -> None:
    key = SeriesKey(device, metric, canonical_labels(labels))
    assert rule(labels={"site": "A"}).watches(key) is watched
    assert bool(RuleSet([rule(labels={"site": "A"})]).watching(key)) is watched


def test_a_set_finds_rules_by_metric_and_by_glob_in_the_order_of_ids() -> None:
    rules = RuleSet(
        [rule(5, metric="temp*"), rule(2), rule(9, metric="humidity"), rule(1, metric="*", device="room-?")]
    )
    assert [found.id for found in rules.watching(SeriesKey("pump-1", "temperature"))] == [2, 5]
    assert [found.id for found in rules.watching(SeriesKey("room-1", "humidity"))] == [1]
    assert rules
    assert not RuleSet()


def test_a_stored_rule_is_json_all_through() -> None:
    request = RuleRequest.model_validate(document(webhooks=["https://example.org/hook"]))
    assert json.loads(request.model_dump_json())["condition"]["levels"][0]["clear"] == 65.0


def test_a_webhook_given_twice_is_one() -> None:
    urls = ["https://example.org", "https://EXAMPLE.org/", "https://example.org:443/"]
    assert len(RuleRequest.model_validate(document(webhooks=urls)).webhooks) == 1
