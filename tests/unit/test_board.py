"""The newest values of a device, and what a subscriber may wish to see of them."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.live import board
from alerts.live.board import Board, Reading
from alerts.live.options import WatchOptions, parse_options
from alerts.live.readings import newest
from schemas.columns import Columns, SeriesKey

T = 1_795_428_000_123_000  # 2026-11-23


def shown(frame: str) -> list[dict[str, Any]]:
    """The readings of a frame."""
    return list(json.loads(frame)["push"]["pub"]["data"]["readings"]) if frame else []


def test_a_frame_is_what_the_contract_shows() -> None:
    wall = Board('readings:pümp "7"')
    assert wall.offer([Reading("temperature", '{"site":"Zürich 🏔"}', T, 21.5)]) == {"temperature"}
    frame = wall.frame(0)
    assert frame.isascii()
    reading = {"metric": "temperature", "labels": {"site": "Zürich 🏔"}, "ts": "2026-11-23T10:00:00.123Z", "value": 21.5}
    assert json.loads(frame) == {"push": {"channel": 'readings:pümp "7"', "pub": {"data": {"readings": [reading]}}}}


def test_an_older_reading_changes_nothing() -> None:
    wall = Board("readings:a")
    wall.offer([Reading("t", "{}", T, 1.0)])
    for late in (T - 1, T):
        assert wall.offer([Reading("t", "{}", late, 9.0)]) == set()
    assert (wall.change, shown(wall.frame(0))[0]["value"], wall.frame(1)) == (1, 1.0, "")


def test_a_frame_holds_what_changed_since() -> None:
    wall = Board("readings:a")
    wall.offer([Reading(metric, "{}", T, 1.0) for metric in "abc"])
    wall.offer([Reading("b", "{}", T + 1, 2.0), Reading("b", '{"x":"1"}', T, 3.0)])
    assert [(each["metric"], each["value"]) for each in shown(wall.frame(1))] == [("b", 3.0), ("b", 2.0)]
    assert len(shown(wall.frame(0))) == 4
    assert [each["metric"] for each in shown(wall.frame(0, frozenset("ac")))] == ["c", "a"]
    assert wall.frame(1, frozenset("ac")) == ""
    wall.offer([Reading("a", "{}", T + 2, 4.0)])
    assert [each["metric"] for each in shown(wall.frame(1, frozenset("ac")))] == ["a"], "no frame of before"


def test_the_same_frame_is_encoded_once() -> None:
    wall = Board("readings:a")
    wall.offer([Reading("t", "{}", T, 1.0)])
    assert wall.frame(0) is wall.frame(0)


@given(st.lists(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 50)), max_size=8), max_size=30))
def test_times_of_a_series_only_ascend(batches: list[list[tuple[str, int]]]) -> None:
    """Whoever pulls after each batch, and whoever pulls at the end, even where series have to make room."""
    wall, most = Board("readings:a"), board.MAX_SERIES
    board.MAX_SERIES = 2
    try:
        seen, told = 0, dict.fromkeys("abcd", "")
        for batch in batches:
            wall.offer([Reading(metric, "{}", T + 1_000 * ts, float(ts)) for metric, ts in batch])
            for each in shown(wall.frame(seen)):
                assert each["ts"] > told[each["metric"]]
                told[each["metric"]] = each["ts"]
            seen = wall.change
            assert len(wall) <= 2
    finally:
        board.MAX_SERIES = most


def test_a_board_is_bounded_in_series_and_in_bytes() -> None:
    wall = Board("readings:a")
    wall.offer([Reading(f"m{number}", "{}", T + number, 1.0) for number in range(1_500)])
    assert len(wall) == 1_000
    assert shown(wall.frame(0))[0]["metric"] == "m1499", "the newest stay"
    wide = Board("readings:a")
    for number in range(100):
        wide.offer([Reading(f"m{number}", json.dumps({"x": "ü" * 2_000}), T + number, 1.0)])
    assert len(wide.frame(0)) <= board.MAX_BYTES + 20_000
    assert len(wide) > 10


def test_newest_of_a_request() -> None:
    series = [SeriesKey("a", "t"), SeriesKey("b", "t"), SeriesKey("a", "u")]
    columns = Columns(
        series,
        np.array([0, 1, 0, 2, 0, 0], np.int32),
        np.array([5, 5, 7, 1, 7, 6], np.int64),
        np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
    )
    assert newest(columns, {"a", "c"}) == {"a": [Reading("t", "{}", 7, 2.0), Reading("u", "{}", 1, 3.0)]}
    one = Columns(series[1:2], np.array([0], np.int32), np.array([5], np.int64), np.array([1.5]))
    assert newest(one, {"b"}) == {"b": [Reading("t", "{}", 5, 1.5)]}


WISHES: list[tuple[object, WatchOptions | None]] = [
    (None, WatchOptions(0.2, None)),
    ({}, WatchOptions(0.2, None)),
    ({"max_rate": None, "metrics": None, "other": 1}, WatchOptions(0.2, None)),
    ({"max_rate": 20, "metrics": ["t", "t", "ü 1"]}, WatchOptions(0.05, frozenset({"t", "ü 1"}))),
    ({"max_rate": 0.5}, WatchOptions(2.0, None)),
    ({"max_rate": 5e-324}, WatchOptions(1e8, None)),
    ({"metrics": [f"m{number}" for number in range(64)]}, WatchOptions(0.2, frozenset(f"m{n}" for n in range(64)))),
    *(({"max_rate": rate}, None) for rate in (0, -1, 20.01, True, "5", [5], 1e999, float("nan"), 10**400)),
    *(({"metrics": metrics}, None) for metrics in ("t", [], [1], [None], ["*"], [""], ["a\0"], {"t": 1}, ["t"] * 65)),
    ([], None),
    ("x", None),
    (5, None),
    (True, None),
]


@pytest.mark.parametrize(("data", "options"), WISHES)
def test_what_a_subscriber_may_wish(data: object, options: WatchOptions | None) -> None:
    assert parse_options(data) == options


def test_what_is_stored_is_known_and_not_shown() -> None:
    wall = Board("readings:a")
    wall.offer([Reading("u", "{}", T, 1.0)])  # while what is stored was being read
    wall.know([Reading("t", "{}", T - 5, 1.0), Reading("u", "{}", T - 1, 9.0)])
    seen = wall.change
    assert wall.offer([Reading("t", "{}", T - 6, 2.0)]) == set()
    wall.offer([Reading("t", "{}", T - 4, 3.0)])
    assert [each["value"] for each in shown(wall.frame(seen))] == [3.0]
    many = Board("readings:a")
    many.know(Reading(f"m{number}", "{}", T + number, 1.0) for number in range(1_001))
    assert many.offer([Reading("m0", "{}", T, 2.0)]) == set(), "there was no room for it, and still it is late"
