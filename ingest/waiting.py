"""Batches that wait for a flush, each with the one reply that it is owed."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from ingest.admission import Admission
from ingest.group import Batch
from schemas.columns import Receipt
from schemas.errors import Overloaded, SluiceError

log = structlog.get_logger(__name__)

TELL_EVERY_S = 1.0  # between two lines of the log that say so

Outcome = Receipt | SluiceError
Reply = Callable[[Outcome], None]
"""Called once, with what became of a batch."""


@dataclass(slots=True)
class Waiting:
    """One batch."""

    batch: Batch
    since: float
    """Of the loop's clock, seconds."""
    reply: Reply
    span: object | None = None
    """Of its request, where that is traced."""
    answered: bool = False

    def answer(self, outcome: Outcome) -> None:
        """Give the one answer; a reply that breaks is a defect of its own request and nobody else's."""
        if self.answered:
            return
        self.answered = True
        try:
            self.reply(outcome)
        except Exception:
            log.exception("a reply broke")


def answer_all(group: Iterable[Waiting], error: SluiceError) -> None:
    """Give every batch that has none yet the same answer."""
    for waiting in group:
        waiting.answer(error)


class Queue:
    """What waits, in order of arrival, as far as admission lets it."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self._waiting: deque[Waiting] = deque()
        self._refused, self._tell_at = 0, 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self.admission.rows

    def check(self, now: float, turn_s: float) -> None:
        """Raise Overloaded if no more may wait. `now` is of the loop's clock, whose turn has lasted for `turn_s`."""
        try:
            self.admission.check(now, self._waiting[0].since if self._waiting else None, turn_s)
        except Overloaded as error:
            self._tell(error, now)
            raise

    def check_long_way(self, now: float) -> None:
        """Raise Overloaded if no more may begin the long way in this turn of the loop."""
        try:
            self.admission.check_long_way(now)
        except Overloaded as error:
            self._tell(error, now)
            raise

    def _tell(self, error: Overloaded, now: float) -> None:
        self._refused += 1
        if now >= self._tell_at:  # thousands a second would cost what is missing anyway
            self._tell_at = now + TELL_EVERY_S
            log.warning("overloaded", reason=error.detail, refused=self._refused, retry_after_s=error.retry_after)
            self._refused = 0

    def put(self, waiting: Waiting) -> None:
        """One more."""
        self._waiting.append(waiting)
        self.admission.enter(len(waiting.batch), waiting.batch.held)

    def take(self, most_rows: int) -> list[Waiting]:
        """The next group: what waits, of one kind of conflict handling, as far as a group may go."""
        group: list[Waiting] = []
        rows = held = 0
        while self._waiting:
            head = self._waiting[0].batch
            if group and (rows + len(head) > most_rows or head.replace != group[0].batch.replace):
                break
            group.append(self._waiting.popleft())
            rows += len(head)
            held += head.held
        self.admission.leave(rows, held)
        return group

    def refuse(self, error: SluiceError) -> None:
        """Give everything that waits the same answer."""
        while self._waiting:
            waiting = self._waiting.popleft()
            self.admission.leave(len(waiting.batch), waiting.batch.held)
            waiting.answer(error)
