"""The account of a trial: what was sent, and what was answered to each attempt."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from schemas.columns import Receipt, SeriesKey

STORED_NOTHING = frozenset({400, 401, 403, 408, 413, 415, 422, 429, 503})
"""Statuses after which, by the contract, nothing of the batch is stored."""
UNKNOWN = frozenset({0, 500, 504})
"""Statuses after which it may be; 0: the connection broke before an answer."""


class Reading(NamedTuple):
    """One reading as it has to be stored."""

    series: SeriesKey
    us: int
    value: float


@dataclass(slots=True)
class Attempt:
    """One POST. Times are monotonic seconds."""

    sent: float
    answered: float
    status: int
    text: str
    repeated: bool = False
    """Whether a proxy on the way may have sent it twice."""


@dataclass(slots=True, eq=False)
class Request:
    """One batch, sent until its fate was known or its sender gave it up."""

    device: str
    number: int
    kind: str
    """What the sender means by it: `new`, `again`, `overlap`, `replace`, `partial`, `refused`, `forbidden` …"""
    readings: list[Reading]
    """The valid ones."""
    document: Any
    params: dict[str, str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    receipt: Receipt | None = None

    def __str__(self) -> str:
        return f"{self.device} #{self.number} ({self.kind}, {len(self.readings)} readings)"

    @property
    def replaces(self) -> bool:
        """Whether the last value wins."""
        return self.params.get("on_conflict") == "replace"

    @property
    def acknowledged(self) -> bool:
        """Whether a receipt came."""
        return self.receipt is not None

    @property
    def uncertain(self) -> bool:
        """Whether some attempt may have been stored without a receipt, now or later."""
        return any(attempt.status in UNKNOWN or attempt.repeated for attempt in self.attempts)


class Account:
    """All requests of a trial, in the order in which they were first sent."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.statuses: Counter[int] = Counter()
        self.trouble: list[str] = []
        """What broke the contract at the moment it was seen."""

    def open(self, request: Request) -> None:
        """Enter a request before its first attempt."""
        self.requests.append(request)

    def attempts(self) -> Iterator[tuple[Request, Attempt]]:
        """Every attempt."""
        return ((request, attempt) for request in self.requests for attempt in request.attempts)

    def acknowledged(self) -> int:
        """How many batches were."""
        return sum(request.acknowledged for request in self.requests)

    def first_success(self, after: float) -> float | None:
        """When the first 200 was answered after this moment; all monotonic seconds."""
        times = (attempt.answered for _, attempt in self.attempts() if attempt.status == 200)
        return min((at for at in times if at >= after), default=None)

    def slowest(self, since: float) -> float:
        """Seconds of the longest wait for an answer, of what was sent since."""
        return max(
            (attempt.answered - attempt.sent for _, attempt in self.attempts() if attempt.sent >= since), default=0
        )

    def statuses_between(self, start: float, end: float) -> Counter[int]:
        """Answers to what was sent between two moments."""
        return Counter(attempt.status for _, attempt in self.attempts() if start <= attempt.sent < end)
