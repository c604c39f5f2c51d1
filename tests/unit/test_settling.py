"""What a load test's leader holds against the record once everybody is silent. No server, no locust."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from load.scenarios import rules
from load.scenarios.api import Api
from load.scenarios.settling import LINGER_S, REST_S, Settling

RULE = 7
EXPECTED = ["load-crossing-0-1", "level", 1_000_000, "firing"]


class Runner:
    """Locust's, as far as a leader asks it: its processes answer what is put in their mouths."""

    def __init__(self, *clients: str) -> None:
        self.clients: dict[str, object] = dict.fromkeys(clients)
        self.answers: dict[str, Any] = {"calmed": {"unknown": 0, "expected": [EXPECTED], "allowed": []}}
        self._listeners: dict[str, Callable[..., None]] = {}

    def register_message(self, kind: str, listener: Callable[..., None]) -> None:
        self._listeners[kind] = listener

    def send_message(self, kind: str, data: Any) -> None:
        for _ in self.clients:
            self._listeners["calmed"](None, SimpleNamespace(type="calmed", data=self.answers["calmed"]))


class Record:
    """The target's record of events; a clock that goes on a second at each look."""

    def __init__(self, *events: tuple[float, dict[str, Any]]) -> None:
        self.now = 0.0
        self._events = [{"offset": n, **event} | {"due": due} for n, (due, event) in enumerate(events, 1)]

    def get(self, path: str, *, after: int, limit: int) -> dict[str, Any]:
        items = [each for each in self._events if each["due"] <= self.now and each["offset"] > after]
        return {"items": items[:limit]}


class RuleBook:
    """The target's rules: which devices each is for, by id."""

    def __init__(self, devices: dict[str, str]) -> None:
        self.devices = devices

    def get(self, path: str) -> dict[str, Any]:
        items = [{"id": int(n), "name": "Load test: storm", "device": glob} for n, glob in self.devices.items()]
        return {"items": items}

    def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        number = len(self.devices) + 2
        self.devices[str(number)] = document["device"]
        return {"id": number}

    def delete(self, path: str) -> None:
        del self.devices[path.rpartition("/")[2]]


def event(second: int = 1, rule: int = RULE, device: str = "load-crossing-0-1") -> dict[str, Any]:
    moment = f"1970-01-01T00:00:{second:02}Z"
    alert = {"rule": {"id": rule, "name": "Load test: crossing"}, "device": device, "metric": "level"}
    return {"event": "firing", "alert": {**alert, "fired_at": moment, "resolved_at": None}}


def settled(record: Record, runner: Runner | None = None, loaded_s: float = 600.0) -> Settling:
    settling = Settling(runner or Runner("a"), loaded_s, lambda: record.now)
    for _ in settling.calm(None):
        record.now += 1.0
    for _ in settling.settle(None, cast(Api, record), 0, {str(RULE)}, "load"):
        record.now += 1.0
    return settling


def test_what_is_recorded_twice_is_found_though_it_comes_late() -> None:
    for late in ([event()], [event(second=2)]):
        told = settled(Record((3, event()), *((3 + LINGER_S, each) for each in late))).books.told
        assert (told.expected, told.missing, told.doubled) == (1, 0, 1)


def test_what_is_missing_is_waited_for_and_no_longer_than_it_may_take() -> None:
    record = Record((REST_S - 1, event()))
    assert settled(record).books.told.missing == 0
    assert settled(never := Record()).books.told.missing == 1
    assert never.now < REST_S + 3


def test_what_another_run_raises_is_not_of_this_one() -> None:
    """Though its devices are called `load-b-…`."""
    other = event(rule=RULE + 1, device="load-b-crossing-0-1")
    assert settled(Record((0, event()), (0, other))).books.told.doubled == 0


def test_another_run_keeps_its_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "SETTLES_S", 0.0)
    api = RuleBook({"1": "load-storm-*", "2": "load-b-storm-*"})
    made = rules.make_rules(cast(Api, api), "load")
    assert api.devices == {"2": "load-b-storm-*", "3": "load-crossing-*", "4": "load-storm-*"}
    assert made == ["3", "4"]


def test_a_quick_run_lingers_less() -> None:
    record = Record((0, event()))
    settled(record, loaded_s=7)
    assert record.now < 5


def test_a_process_that_quits_in_mid_run_is_missed() -> None:
    runner = Runner("a", "b")
    settling = Settling(runner)
    settling.note_processes()
    del runner.clients["b"]
    settling.note_processes()
    assert list(settling.calm(None)) == []
    assert [text[:13] for text in settling.books.troubles] == ["the process b"]
