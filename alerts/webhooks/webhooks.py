"""Webhooks: what the table of deliveries holds is sent, target by target, until it is delivered or given up.

`tick` is called every second by one elected evaluator. It starts a task for each target with something due, and these
go on by themselves: a target that hangs keeps nobody else waiting.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from alerts.live.fetch import AWAY
from alerts.webhooks.courier import Courier, Outcome, Verdict
from alerts.webhooks.deliveries import Deliveries, Delivery
from alerts.webhooks.notification import notification
from schemas.errors import NotFound

log = structlog.get_logger(__name__)

MAX_TARGETS = 16  # served at one time
MAX_TURN = 100  # deliveries to one target before others get their turn
KEEP_HOUSE_S = 10.0  # between two looks at what is waiting, and at what can be deleted
RELEASE_S = 2.0  # to give a lease back when stopping


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a delivery is tried."""

    first_s: float = 1.0
    """The delay after the first failure; it doubles with each one more."""
    longest_s: float = 300.0
    attempts: int = 300
    total_s: float = 86_400.0
    """Since it was written, let go, or brought back; after that a failure is the last one."""

    def is_over(self, delivery: Delivery) -> bool:
        """Whether a failure of this attempt is the last one."""
        return delivery.attempts >= self.attempts or delivery.waited_s >= self.total_s

    def delay_s(self, attempts: int, asked_s: float) -> float:
        """Seconds to wait after so many attempts: with jitter, and not less than the target asked for."""
        backoff_s = min(self.first_s * 2.0 ** (attempts - 1), self.longest_s)
        return min(max(backoff_s * random.uniform(0.8, 1.2), asked_s), self.longest_s)  # noqa: S311 - no secret


class WebhookMetrics:
    """What Prometheus is told. The gauges are the table's, the same for all workers: the latest one counts."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"sluice_webhook_{name}", text, registry=registry, multiprocess_mode="livemostrecent")

        text = "Attempts to deliver, by what came of them."
        self.attempts = Counter("sluice_webhook_attempts", text, ["outcome"], registry=registry)
        self.superseded = Counter("sluice_webhook_superseded", "Deliveries that were obsolete.", registry=registry)
        self.waiting = gauge("waiting", "Deliveries that wait, those in hold included.")
        self.held = gauge("held", "Deliveries in hold: silenced, or flapping.")
        self.oldest = gauge("oldest_seconds", "Since when the oldest of those that wait does so.")


class Webhooks:
    """Sends what is due. `key` signs; without one, a key of this installation is made and kept in PostgreSQL."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        courier: Courier,
        metrics: WebhookMetrics,
        key: str | None = None,
        *,
        patience: Patience | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deliveries = Deliveries(pool)
        self._courier, self._metrics = courier, metrics
        self._set_key = key
        self._made_key: str | None = None
        self._patience = patience or Patience()
        self._monotonic = monotonic
        self._keep_house_at = 0.0
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._defect: BaseException | None = None

    async def made_key(self) -> str:
        """The key that signs. Raises NotFound where a setting names it: settings are shown to nobody."""
        if self._set_key is not None:
            raise NotFound("the key is the setting SLUICE_WEBHOOK_KEY")
        if self._made_key is None:
            self._made_key = await self._deliveries.key()
        return self._made_key

    async def tick(self) -> None:
        """Begin with what is due; returns at once. Raises what a database that is away raises, and our own defects."""
        if self._defect is not None:
            raise self._defect
        await self._deliveries.let_go()
        room = MAX_TARGETS - len(self._serving)
        for url in await self._deliveries.due(list(self._serving), room) if room else ():
            task = self._serving[url] = asyncio.create_task(self._serve(url), name="webhook")  # URLs may hold secrets
            task.add_done_callback(lambda done, url=url: self._served(url, done))  # type: ignore[misc]
        if self._monotonic() >= self._keep_house_at:
            self._keep_house_at = self._monotonic() + KEEP_HOUSE_S
            await self._keep_house()

    async def settled(self) -> None:
        """Wait until every target served now has had its turn."""
        if self._serving:
            await asyncio.wait(list(self._serving.values()))

    async def close(self) -> None:
        """Stop; what is in flight may have arrived, and will be sent again."""
        for task in self._serving.values():
            task.cancel()
        await self.settled()
        await self._courier.close()

    def _served(self, url: str, task: asyncio.Task[None]) -> None:
        del self._serving[url]
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, AWAY):  # what was begun is done again when its lease is over
            log.warning("webhooks interrupted", error=repr(error))
        else:
            log.critical("webhooks broke", exc_info=error)
            self._defect = error

    async def _serve(self, url: str) -> None:
        """One target's turn: its deliveries, one after the other, until nothing is due."""
        token = secrets.token_hex(8)
        try:
            for _ in range(MAX_TURN):
                if not await self._deliveries.lease(url, token):
                    return
                delivery = await self._deliveries.take(url)
                if delivery is None:
                    return
                await self._deliver(url, delivery)
        finally:
            async with asyncio.timeout(RELEASE_S):
                await self._deliveries.release(url, token)

    async def _deliver(self, url: str, delivery: Delivery) -> None:
        key = self._set_key or await self.made_key()
        document = notification(delivery.alert, delivery.annotations, self._courier.settings.external_url)
        outcome = await self._courier.send(url, delivery.offset, document, key.encode())
        if outcome.verdict is Verdict.RETRY and self._patience.is_over(delivery):
            outcome = Outcome(Verdict.DEAD, outcome.error)
        if outcome.verdict is Verdict.RETRY:
            delay_s = self._patience.delay_s(delivery.attempts, outcome.retry_after_s)
            await self._deliveries.put_off(delivery, delay_s, outcome.error)
        else:
            await self._deliveries.end(delivery, outcome.verdict.value, outcome.error)
        self._metrics.attempts.labels(outcome.verdict.value).inc()
        if outcome.verdict is Verdict.DEAD:
            log.warning("webhook given up", delivery=delivery.id, offset=delivery.offset, error=outcome.error)

    async def _keep_house(self) -> None:
        await self._deliveries.prune()
        backlog = await self._deliveries.backlog()
        self._metrics.waiting.set(backlog.waiting)
        self._metrics.held.set(backlog.held)
        self._metrics.oldest.set(backlog.oldest_s)
        self._metrics.superseded.inc(self._deliveries.superseded)
        self._deliveries.superseded = 0
