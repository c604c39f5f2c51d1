"""How a foreign protocol is answered: real clients lose data, or hammer, where a status is not the one they know.

| status | Telegraf | influxdb-client | Prometheus | OTLP |
|---|---|---|---|---|
| 400, 422 | drops the batch | drops | drops | drops |
| 408 | retries | drops | drops | drops |
| 413 | halves the batch | drops | drops | drops |
| 429 | retries | retries | drops | retries |
| 500 | retries for ever | retries | retries | drops |
| 503, 504 | retries | retries | retries | retries |
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from schemas.columns import PartReceipt, Receipt
from schemas.errors import BodyTooSlow, Defect, HeadTooSlow, Invalid, QuotaExceeded, SluiceError, Unavailable, Unknown

SKIPPED = "X-Sluice-Skipped"
_AGENT = b"user-agent"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as its protocol has it. A 204 has no body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Content-Type included, where there is a body."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The answers of one protocol."""

    encode: Callable[[Receipt | SluiceError, str], Answer]
    """What became of a request, as its protocol tells it; the other argument is the Content-Type of the request, if
    that is known. Hears only errors that `heard` returns, and need not repeat what is in their `headers`."""
    invalid_status: int = 400
    """Instead of 422."""
    quota_status: int = 429
    """503 where the clients drop their data on a 429."""
    misread_by: bytes = b""
    """How a User-Agent begins that takes the seconds of `Retry-After` for less: it is told none, and waits as it thinks
    fit."""

    def answer(
        self, outcome: Receipt | SluiceError, kind: str = "", head: Iterable[tuple[bytes, bytes]] = ()
    ) -> Answer:
        """The answer to a request of this Content-Type and with these headers."""
        if isinstance(outcome, SluiceError):
            error = heard(outcome)
            answer = self.encode(error, kind)
            headers = {**error.headers(), **answer.headers}
            if self.misread_by and any(name == _AGENT and value.startswith(self.misread_by) for name, value in head):
                headers.pop("Retry-After", None)
            return Answer(self._status(error, answer), answer.body, headers)
        answer = self.encode(outcome, kind)
        if isinstance(outcome, PartReceipt) and outcome.skipped:
            return Answer(answer.status, answer.body, {**answer.headers, SKIPPED: str(outcome.skipped)})
        return answer

    def _status(self, error: SluiceError, answer: Answer) -> int:
        if isinstance(error, QuotaExceeded):
            return self.quota_status
        return self.invalid_status if isinstance(error, Invalid) else answer.status


def heard(error: SluiceError) -> SluiceError:
    """The error that a client has to hear, so that it does what the error means.

    What came too slowly must be sent again: 503. A defect tells nothing about what is stored: 504, as many
    clients drop on a 500, or repeat it for ever. (Where nothing can have been stored yet, the passage says 503.)
    """
    if isinstance(error, BodyTooSlow | HeadTooSlow):
        return Unavailable(error.detail or error.title, retry_after=error.retry_after or 1)
    return Unknown() if isinstance(error, Defect) else error
