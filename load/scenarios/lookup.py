"""What a process looks up of what was acknowledged to it: at the end, and in a long run as it goes."""

from collections.abc import Callable
from dataclasses import fields

import gevent

from load.findings import Findings
from load.ledger import Ledger
from load.scenarios.api import ApiError
from load.scenarios.audit import audit
from load.scenarios.share import Share

ROLL_S = 60.0
"""A run that is longer than `LONG_S` looks its readings up as it goes: nobody can keep those of days."""
LONG_S = 1_200.0
ANSWERED_S = 10.0
"""After so long a batch that is in an older ledger is settled."""

Audit = Callable[[Ledger, str, str, Callable[[], None]], Findings]


class Lookup:
    """Holds a share's ledger against what is stored, whole or in pieces; no piece is let go before it was looked up."""

    def __init__(self, share: Share, look: Audit = audit, sleep: Callable[[float], object] = gevent.sleep) -> None:
        self.found = Findings()
        self.rolled = False
        """Whether it was done in pieces: other readings of a piece's time are then none that nobody sent."""
        self._share = share
        self._look, self._sleep = look, sleep
        self._piece: Ledger | None = None

    def roll(self) -> None:
        """Look up what is settled, and forget it, for ever; may be killed at any moment."""
        self.rolled = True
        while True:
            self._sleep(ROLL_S)
            self._piece, self._share.ledger = self._share.ledger, Ledger()
            self._sleep(ANSWERED_S)
            self._check(self._piece)
            self._piece = None

    def finish(self) -> None:
        """Look up what is left: the piece that `roll` was at when it was killed, and all that came since."""
        piece, self._piece = self._piece, None
        for ledger in (piece, self._share.ledger):
            if ledger is not None:
                self._check(ledger)

    def _check(self, ledger: Ledger) -> None:
        share = self._share
        try:
            found = self._look(ledger, share.url, share.key, lambda: share.recorder.count("series looked up"))
        except Exception as error:  # noqa: BLE001  whatever it is, readings were not looked up, and nobody else says so
            text = str(error) if isinstance(error, ApiError) else repr(error)
            share.trouble(f"what was acknowledged cannot be looked up: {text}")
            return
        # All at once, since whoever is killed before this looks the same ledger up again.
        for each in fields(Findings):
            if not (self.rolled and each.name == "extra"):
                setattr(self.found, each.name, getattr(self.found, each.name) + getattr(found, each.name))
        if self.rolled:
            self.found.examples = [text for text in self.found.examples if not text.startswith("extra")]
