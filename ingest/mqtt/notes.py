"""Log lines about what comes in thousands: the first of each kind at once, then one a while that says how many."""

from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

EVERY_S = 10.0
MAX_SHOWN_CHARS = 120  # of what a sender may have chosen


class Notes:
    """Tells of refusals at a limited rate."""

    def __init__(self, clock: Callable[[], float], every_s: float = EVERY_S) -> None:
        self._clock, self._every_s = clock, every_s
        self._told: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def note(self, event: str, kind: str, defect: Exception | None = None, **said: str) -> None:
        """Something of this kind (of a closed set) happened; of a defect of ours the traceback is shown."""
        now = self._clock()
        if now - self._told.get(kind, -self._every_s) < self._every_s:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return
        self._told[kind] = now
        shown = {name: text[:MAX_SHOWN_CHARS] for name, text in said.items()}
        log.warning(event, reason=kind, **shown, more_since_last=self._unsaid.pop(kind, 0), exc_info=defect)
