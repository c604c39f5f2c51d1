"""A sending device, true to the contract's status table: it keeps a batch until the server has it, or refuses it."""

import asyncio
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import aiohttp
from pydantic import TypeAdapter, ValidationError

from load.batch import Batch, Layout, encode, halves
from load.verdict import Backoff, Verdict, retry_after_s, verdict
from schemas.columns import Receipt

PATH = "/v1/readings"
ANSWER_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
"""Seconds. The server promises an answer well before; silence beyond it counts as a lost connection."""

PROBLEM_CHARS = 300
"""So much of a refusal's text is reported."""

NOTHING = Receipt(0, 0)
RECEIPT = TypeAdapter(Receipt)


@dataclass(slots=True)
class Tally:
    """What became of what was sent; several devices may share one."""

    requests: int = 0
    acknowledged: int = 0
    """Readings the server answered 200 for: accepted + duplicates."""
    duplicates: int = 0
    retried: int = 0
    """Requests that were sent again."""
    split: int = 0
    """Requests that were too large and went out as two."""
    dropped: int = 0
    """Readings the server will never take; each request of them was reported."""

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


class KeyRefusedError(Exception):
    """The server answered 401 or 403: the device has stopped."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, or the want of one (`status` 0: the connection failed, and what was stored is unknown)."""

    verdict: Verdict
    status: int
    text: str = ""
    retry_after_s: float = 0
    receipt: Receipt = NOTHING


class Device:
    """A client that posts batches, one request at a time, in order.

    `send` returns when the server has stored the batches, or has refused them for good; between the two it retries for
    as long as it takes, so that the caller sets the deadline (`asyncio.timeout`).
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        key: str,
        *,
        layout: Layout = Layout.COLUMNS,
        compress: bool = False,
        backoff: Backoff | None = None,
        tally: Tally | None = None,
        on_receipt: Callable[[Sequence[Batch], Receipt], None] | None = None,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        """`on_receipt` sees every acknowledged request, `on_trouble` a line about every batch that was dropped."""
        self.tally = Tally() if tally is None else tally
        self.stopped: str | None = None
        """Why the device sends no more."""
        self.trouble: str | None = None
        """Why the batch it holds has to be sent again; None while all is well."""
        self._session = session
        self._url = url.rstrip("/") + PATH
        self._layout = layout
        self._compress = compress
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if compress:
            self._headers["Content-Encoding"] = "gzip"
        self._backoff = Backoff() if backoff is None else backoff
        self._on_receipt = on_receipt
        self._on_trouble = on_trouble

    async def send(self, batches: Sequence[Batch]) -> Receipt:
        """Deliver the batches and return what the server did with them; raise `KeyRefusedError` on 401 and 403."""
        accepted = duplicates = 0
        waiting = [batches]
        while waiting:
            part = waiting.pop(0)
            answer = await self._deliver(part)
            match answer.verdict:
                case Verdict.DONE:
                    accepted += answer.receipt.accepted
                    duplicates += answer.receipt.duplicates
                    self._acknowledged(part, answer.receipt)
                case Verdict.SPLIT if len(parts := halves(part)) > 1:
                    self.tally.split += 1
                    waiting[:0] = parts
                case Verdict.STOP:
                    self.stopped = f"{answer.status}: {answer.text}"
                    raise KeyRefusedError(self.stopped)
                case _:
                    self._dropped(part, answer)
        return Receipt(accepted, duplicates)

    async def _deliver(self, batches: Sequence[Batch]) -> Answer:
        """Send one request until its answer is final."""
        if self.stopped is not None:
            raise KeyRefusedError(self.stopped)
        body = await self._body(batches)
        while True:
            self.tally.requests += 1
            answer = await self._post(body)
            if answer.verdict is not Verdict.RETRY:
                self._backoff.reset()
                self.trouble = None
                return answer
            self.tally.retried += 1
            self.trouble = f"{answer.status or 'no answer'}: {answer.text}"
            await asyncio.sleep(self._backoff.pause_s(answer.retry_after_s))

    async def _body(self, batches: Sequence[Batch]) -> bytes:
        body = encode(batches, self._layout)
        # Level 1: a device has little time to spare, and the text compresses eightfold already.
        return await asyncio.to_thread(gzip.compress, body, 1) if self._compress else body

    async def _post(self, body: bytes) -> Answer:
        """Send the body once."""
        try:
            async with self._session.post(
                self._url, data=body, headers=self._headers, timeout=ANSWER_TIMEOUT, allow_redirects=False
            ) as response:
                text = await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Wherever it broke, the batch may be stored already; sending it again is always safe.
            return Answer(Verdict.RETRY, 0, str(error) or type(error).__name__)
        if response.status != 200:
            wait_s = retry_after_s(response.headers)
            return Answer(verdict(response.status), response.status, text[:PROBLEM_CHARS], wait_s)
        return _receipt(text)

    def _acknowledged(self, batches: Sequence[Batch], receipt: Receipt) -> None:
        self.tally.acknowledged += receipt.accepted + receipt.duplicates
        self.tally.duplicates += receipt.duplicates
        if self._on_receipt is not None:
            self._on_receipt(batches, receipt)

    def _dropped(self, batches: Sequence[Batch], answer: Answer) -> None:
        count = sum(map(len, batches))
        self.tally.dropped += count
        if self._on_trouble is not None:
            devices = ", ".join(batch.device for batch in batches)
            self._on_trouble(f"{devices}: {count} readings refused, {answer.status}: {answer.text}")


def _receipt(text: str) -> Answer:
    """Read a 200; one without a receipt came from something else on the way, and acknowledges nothing."""
    try:
        return Answer(Verdict.DONE, 200, receipt=RECEIPT.validate_json(text))
    except ValidationError:
        return Answer(Verdict.RETRY, 200, "no receipt in the answer")
