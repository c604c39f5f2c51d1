"""After the load: everybody falls silent and hands in what was acknowledged, and that is held against the record."""

import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from load.findings import Findings
from load.scenarios.api import Api
from load.scenarios.outcome import Books
from load.scenarios.told import Crossing, compare, crossing_of

CALM_S = 55.0
"""For the last batches to be answered for good."""
LAG_S = 5.0
"""For a process to say so."""
REST_S = 20.0
"""For the last transitions to be recorded; the contract says ten."""
LINGER_S, LINGER_SHARE, LEAST_LINGER_S = 10.0, 1 / 12, 2.0
"""Once nothing is missing: for what should not be recorded at all, and would come late; a quick run waits less."""
AUDIT_S = 900.0
PAGE = 1_000

T = TypeVar("T")


class Settling:
    """What the leader asks of the processes of a run (see `part.py`), and what they have answered."""

    def __init__(
        self,
        runner: Any,
        loaded_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        *,
        calm_s: float = CALM_S,
        rest_s: float = REST_S,
    ) -> None:
        """Of locust's runner, in a run that is under load so long.

        What is not answered after `calm_s`, and not recorded after `rest_s`, will not be.
        """
        self.books = Books()
        self._runner = runner
        self._linger_s = min(LINGER_S, max(LEAST_LINGER_S, loaded_s * LINGER_SHARE))
        self._clock, self._calm_s, self._rest_s = clock, calm_s, rest_s
        self._known: set[str] = set()
        self._answers: dict[str, list[dict[str, Any]]] = {"calmed": [], "audited": []}
        self._head = 0
        for kind in self._answers:
            self._runner.register_message(kind, self._take)

    def _take(self, environment: Any, msg: Any) -> None:
        self._answers[msg.type].append(msg.data)

    def note_processes(self) -> None:
        """Remember who makes load now: who quits in mid-run takes along what was acknowledged to it."""
        self._known |= self._present()

    def calm(self, tick: T) -> Iterator[T]:
        """Have everybody send no more; over when all have brought home what they held."""
        present = self._present()
        for gone in sorted(self._known - present):
            self.books.troubles.append(f"the process {gone} quit in mid-run: what it was acknowledged is not looked up")
        self.books.processes = len(present)
        self._runner.send_message("calm", {"within_s": self._calm_s})
        yield from self._wait("calmed", self._calm_s + LAG_S, tick)
        for answer in self._answers["calmed"]:
            self.books.unknown += answer["unknown"]
        if self.books.unknown:
            self.books.troubles.append(f"{self.books.unknown} readings had no final answer after {self._calm_s:g} s")

    def settle(self, tick: T, api: Api, start: int, rules: Collection[str], prefix: str) -> Iterator[T]:
        """Hold the transitions that were acknowledged against the record, until nothing is missing, and once more then.

        `rules` are the ids of this run's own: another run may have some for devices that are called much the same.
        What is there twice or without cause may be recorded after all that was expected.
        """
        expected = [Crossing(*each) for answer in self._answers["calmed"] for each in answer["expected"]]
        allowed = [Crossing(*each) for answer in self._answers["calmed"] for each in answer["allowed"]]
        recorded: list[Crossing] = []
        self._head = start
        deadline = self._clock() + self._rest_s
        rests: float | None = None
        while True:
            last = self._clock() > (deadline if rests is None else rests)
            for event in self._events(api):
                mine = str(event["alert"]["rule"]["id"]) in rules and event["alert"]["device"].startswith(f"{prefix}-")
                if mine and (crossing := crossing_of(event)) is not None:
                    recorded.append(crossing)
            told = compare(expected, allowed, recorded)
            if last:
                break
            if not told.missing and rests is None:
                rests = self._clock() + self._linger_s
            yield tick
        self.books.told = told

    def _events(self, api: Api) -> Iterator[dict[str, Any]]:
        while items := api.get("/v1/alerts/events", after=self._head, limit=PAGE)["items"]:
            self._head = int(items[-1]["offset"])
            yield from (each.get("data", each) for each in items)

    def audit(self, tick: T) -> Iterator[T]:
        """Have everybody look up what was acknowledged to it, and say what its dashboards missed."""
        self._runner.send_message("audit", {"head": self._head})
        yield from self._wait("audited", AUDIT_S, tick)
        total = self.books.findings
        for answer in self._answers["audited"]:
            found = Findings(**answer["findings"])
            for name in ("acknowledged", "stored", "missing", "different", "doubled", "extra"):
                setattr(total, name, getattr(total, name) + getattr(found, name))
            total.examples += found.examples
            self.books.rolled |= answer["rolled"]
            self.books.missed += answer["missed"]
            self.books.repeated += answer["repeated"]
            self.books.let_in += answer["let_in"]
            self.books.troubles += answer["troubles"]

    def _wait(self, kind: str, patience_s: float, tick: T) -> Iterator[T]:
        deadline = self._clock() + patience_s
        while len(self._answers[kind]) < self.books.processes:
            if self._clock() > deadline:
                missing = self.books.processes - len(self._answers[kind])
                self.books.troubles.append(f"{missing} processes that make load did not answer")
                return
            yield tick

    def _present(self) -> set[str]:
        """Ids of the processes that make load."""
        return set(self._runner.clients) if hasattr(self._runner, "clients") else {"this"}  # as a leader of others has
