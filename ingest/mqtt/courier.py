"""To the server: one body at a time, again until there is an answer that settles it. So a topic's order is kept."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import structlog

from ingest.mqtt.batch import Message, Verdict, body_of, judge, message_of
from ingest.mqtt.metrics import BridgeMetrics, reason
from ingest.mqtt.notes import Notes
from schemas.errors import Fault

log = structlog.get_logger(__name__)

PATH = "/v1/readings"
TIMEOUT_S = 15.0  # for one answer; the server's own deadline is shorter
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 10.0
MAX_ASKED_S = 60.0  # of a Retry-After
MAX_CLOCK_DIFFERENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    document: dict[str, Any]
    retry_after_s: float = 0.0


def backoff_s(attempt: int) -> float:
    """How long to wait before another try: ever longer, and never when all others do."""
    return float(min(FIRST_WAIT_S * 2.0 ** min(attempt, 10), LONGEST_WAIT_S) * random.uniform(0.5, 1))  # noqa: S311


class Courier:
    """Brings messages to the server."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        key: str,
        metrics: BridgeMetrics,
        settled: Callable[[Message, Fault | None], None],
        wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`settled` hears of each message that is stored, or why nothing of it is."""
        self._session, self._url, self._metrics, self._settled = session, url.rstrip("/") + PATH, metrics, settled
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._wait = wait
        self._notes = Notes(time.monotonic)

    async def deliver(self, messages: Sequence[Message]) -> None:
        """Returns when each of these messages is settled."""
        attempt = 0
        while (halted := await self._try(messages)) is not None:
            await self._pause(Verdict.HALTED, halted, attempt)
            attempt += 1

    async def _try(self, messages: Sequence[Message]) -> Answer | None:
        """Settle these messages. Returns what the server said where that is no message's fault: nothing is settled."""
        answer, partial = await self._insist(messages, partial=False), False
        if judge(answer.status, partial=False) is Verdict.IN_PART:
            answer, partial = await self._insist(messages, partial=True), True
        if judge(answer.status, partial=partial) is Verdict.STORED:
            self._stored(messages, answer.document)
        elif len(messages) > 1:
            middle = len(messages) // 2
            await self.deliver(messages[:middle])
            await self.deliver(messages[middle:])
        elif answer.status != 403 or await self._may_write():
            self._settled(messages[0], _fault(answer))
        else:  # the key was bound, or lost its scope
            return answer
        return None

    async def _insist(self, messages: Sequence[Message], *, partial: bool) -> Answer:
        """Send it until the answer is about the messages."""
        body, attempt = body_of(messages), 0
        while True:
            answer = await self._post(body, partial=partial)
            verdict = judge(answer.status, partial=partial)
            self._metrics.posts.labels(verdict.value).inc()
            if verdict not in {Verdict.AGAIN, Verdict.HALTED}:
                return answer
            await self._pause(verdict, answer, attempt)
            attempt += 1

    async def _pause(self, verdict: Verdict, answer: Answer, attempt: int) -> None:
        told = str(answer.document.get("detail") or answer.document.get("title") or "")
        if verdict is Verdict.HALTED:
            told = f"{told} (look at SLUICE_MQTT_SERVER_URL and SLUICE_MQTT_KEY; nothing is acknowledged meanwhile)"
        self._notes.note("the server takes nothing", f"{verdict.value} {answer.status}", said=told)
        await self._wait(max(backoff_s(attempt), min(answer.retry_after_s, MAX_ASKED_S)))

    async def _may_write(self) -> bool:
        """Whether the key may write at all: a batch of nothing is for no device."""
        return (await self._post(b"[]", partial=False)).status == 200

    async def _post(self, body: bytes, *, partial: bool) -> Answer:
        query = {"partial": "true"} if partial else {}
        try:
            async with self._session.post(self._url, data=body, headers=self._headers, params=query) as response:
                raw = await response.read()
                try:
                    document = await response.json(content_type=None) if raw else {}
                except ValueError:
                    document = {}
                self._compare_clocks(response.headers.get("Date", ""))
                asked = response.headers.get("Retry-After", "")
                known = document if isinstance(document, dict) else {}
                return Answer(response.status, known, float(asked) if asked.isdecimal() else 0.0)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Answer(599, {"title": f"no answer: {type(error).__name__}: {error}"})

    def _compare_clocks(self, said: str) -> None:
        """What has no time gets ours: where that is far ahead, the server refuses it."""
        try:
            ahead_s = time.time() - parsedate_to_datetime(said).timestamp()
        except ValueError:
            return
        if abs(ahead_s) > MAX_CLOCK_DIFFERENCE_S:
            self._notes.note("this clock is not the server's", "clock", ahead_s=f"{ahead_s:.0f}")

    def _stored(self, messages: Sequence[Message], document: dict[str, Any]) -> None:
        self._metrics.stored.inc(document.get("accepted", 0))
        self._metrics.duplicates.inc(document.get("duplicates", 0))
        faults = document.get("rejected", [])
        for fault in faults:
            self._rejected(messages, fault)
        self._metrics.rejected.labels(reason("")).inc(max(0, document.get("rejected_count", 0) - len(faults)))
        for message in messages:
            self._settled(message, None)

    def _rejected(self, messages: Sequence[Message], fault: dict[str, Any]) -> None:
        """The server left a reading out."""
        code, loc = str(fault.get("code", "")), fault.get("loc") or [0]
        self._metrics.rejected.labels(reason(code)).inc()
        message = message_of(messages, loc[0]) if isinstance(loc[0], int) else None
        topic = message.held.topic if message else ""
        self._notes.note("a reading was left out", code, topic=topic, why=str(fault.get("message", "")))


def _fault(answer: Answer) -> Fault:
    """Why a message alone was refused."""
    errors = answer.document.get("errors") or [{}]
    code = str(errors[0].get("code") or answer.document.get("code", ""))
    told = errors[0].get("message") or answer.document.get("detail") or answer.document.get("title", "")
    return Fault((), code, str(told))
