"""A long load test looks up what was acknowledged piece by piece, and leaves no piece out. No server, no locust."""

from typing import Any

import pytest
from gevent import GreenletExit

from load.batch import Batch
from load.findings import Findings
from load.ledger import Ledger
from load.scenarios.catalogue import SCENARIOS
from load.scenarios.lookup import ANSWERED_S, ROLL_S, Lookup
from load.scenarios.outcome import Books, Outcome
from load.scenarios.recorder import Recorder
from load.scenarios.share import Share
from schemas.columns import Receipt


class Run:
    """A share whose users are acknowledged a reading in each pause, and that is killed in the pause of a number."""

    def __init__(self, killed: int = 0, broken: int = 0, breaks: BaseException | None = None) -> None:
        self.share = Share("http://x", "slk_x", "load", Recorder(0.0, 1.0, lambda: 0.0))
        self.lookup = Lookup(self.share, self.look, self.sleep)
        self.pauses: list[float] = []
        self.looked = 0
        self._killed, self._broken = killed, broken
        self._breaks = breaks or ValueError("no such column")

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.share.ledger.note([Batch("pump", [len(self.pauses)], {"level": [1.0]})], Receipt(1, 0))
        if len(self.pauses) == self._killed:
            raise GreenletExit

    def look(self, ledger: Ledger, *_: Any) -> Findings:
        self.looked += 1
        if self.looked == self._broken:
            raise self._breaks
        return Findings(acknowledged=len(ledger), stored=len(ledger), extra=1, examples=["extra: pump", "missing: it"])

    def rolled(self) -> Findings:
        with pytest.raises(GreenletExit):
            self.lookup.roll()
        self.lookup.finish()
        return self.lookup.found


@pytest.mark.parametrize("killed", [1, 2, 3, 4])
def test_no_piece_is_left_out_wherever_it_is_killed(killed: int) -> None:
    run = Run(killed)
    assert run.rolled().acknowledged == killed
    assert run.pauses == [ROLL_S, ANSWERED_S, ROLL_S, ANSWERED_S][:killed]


def test_killed_while_it_looks_it_looks_again() -> None:
    run = Run(broken=1, breaks=GreenletExit())
    assert run.rolled().acknowledged == 2
    assert not run.share.troubles


def test_whatever_breaks_is_a_trouble_and_the_rest_is_looked_up() -> None:
    run = Run(killed=4, broken=1)
    assert run.rolled().acknowledged == 3
    assert run.share.troubles == ["what was acknowledged cannot be looked up: ValueError('no such column')"]


def test_what_nobody_sent_is_not_judged_where_nobody_can_know() -> None:
    found = Run(killed=3).rolled()
    assert (found.extra, set(found.examples)) == (0, {"missing: it"})
    for rolled in (True, False):
        books = Books(found, rolled=rolled)
        outcome = Outcome(SCENARIOS["soak"], "http://x", Recorder(0.0, 1.0, lambda: 3.0), books, 10.0)
        assert ("readings that nobody sent" in [check.name for check in outcome.checks]) is not rolled
        assert any("readings that nobody sent" in remark for remark in outcome.remarks) is rolled
