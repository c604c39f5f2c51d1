"""The corridor: what every write goes through, whatever door and protocol it came by."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import structlog
from starlette.requests import Request

from ingest import trouble
from ingest.body import BodyLimits, inflated
from ingest.formats import native
from ingest.formats.times import Bounds
from ingest.group import Batch
from ingest.intake import Intake
from ingest.metrics import WriteMetrics
from ingest.quota import Quota
from ingest.registry import Registry
from ingest.series import SeriesTable
from ingest.writer import Outcome, Reply, Writer
from schemas.columns import LATE_AFTER_US, Columns, Int32s, Receipt
from schemas.errors import Forbidden, SluiceError
from schemas.keys import Principal, Scope

log = structlog.get_logger(__name__)

AHEAD_US = 600_000_000  # a reading may be ten minutes ahead of the server's clock


@dataclass(frozen=True, slots=True)
class Corridor:
    """Checks the key, finds the series, hands over to the writer."""

    authenticate: Callable[[Request, Scope], Awaitable[Principal]]
    recognise: Callable[[str], Principal | None]
    """The same without waiting, for a key that was seen lately."""
    quota: Quota
    body_limits: BodyLimits
    intake: Intake
    max_readings: int
    retention_us: int
    """How far back a reading may lie, microseconds."""
    series: SeriesTable
    writer: Writer
    registry: Registry
    metrics: WriteMetrics
    clock_us: Callable[[], int]
    """Now, in microseconds since the Unix epoch."""
    watched: AbstractSet[str] = frozenset()
    """Devices whose readings somebody wants to see as they come."""
    tell: Callable[[Columns], None] = lambda _: None
    """Told of what was stored, some of it of watched devices. Must not raise."""

    def bounds(self, now_us: int) -> Bounds:
        """What a request that arrives now may hold."""
        return Bounds(now_us - self.retention_us, now_us + AHEAD_US, self.max_readings)

    def decode(self, body: bytes, arrived_us: int, *, partial: bool = False) -> Columns:
        """Decode a native body. Raises what `native.decode` raises."""
        started = time.perf_counter()
        columns = native.decode(body, self.bounds(arrived_us), partial=partial)
        self.metrics.decoded(len(body), started)
        return columns

    async def write(self, columns: Columns, principal: Principal, arrived_us: int, *, replace: bool) -> Receipt:
        """Write a request's columns. Raises Forbidden, QuotaExceeded, and what the writer raises."""
        devices = {key.device for key in columns.series}
        if not all(map(principal.may_use, devices)):
            raise Forbidden("this key is bound to other devices")
        self.quota.take_readings(principal.key_id, len(columns))
        if not len(columns):
            return Receipt(0, 0)
        since = asyncio.get_running_loop().time()
        ids = await self._resolve(columns)
        batch = Batch(ids[columns.codes], columns.ts, columns.value, arrived_us, replace)
        receipt = await self.writer.write(batch, since)
        self._hear(columns, devices, arrived_us)
        self._tell(columns, devices, receipt)
        return receipt

    def admit_at_once(self, key: str) -> Principal | None:
        """Who may begin to write now, before the body is read; None where the long way has to say why not."""
        principal = self.recognise(key)
        if principal is None or not principal.has(Scope.INGEST):
            return None
        try:
            self.writer.admit()
        except SluiceError:
            return None
        return principal

    def write_at_once(self, principal: Principal, encoding: str, body: bytes, reply: Reply) -> bool:
        """Write a native body as far as that needs no waiting: its series are known, and nothing is wrong.

        `encoding` is one of `INFLATERS`. Where it is not so, False: nothing was stored, and the long way gives the
        answer, by the same steps. Quotas come last, and requests after readings, so that no request is counted twice.
        """
        arrived_us, since = self.clock_us(), asyncio.get_running_loop().time()
        try:
            columns = self.decode(inflated(body, encoding, self.body_limits.max_bytes), arrived_us)
            devices = {series.device for series in columns.series}
            ids = self.series.known(columns.series)
            if ids is None or not len(columns) or not all(map(principal.may_use, devices)):
                return False
            self.writer.admit()
            self.quota.take_readings(principal.key_id, len(columns))
            self.quota.take_request(principal.key_id)
        except SluiceError:
            return False
        except Exception:  # a defect of ours: the long way meets it again, and answers 500
            log.exception("the short way broke")
            return False

        def stored(outcome: Outcome) -> None:
            reply(outcome)
            if isinstance(outcome, Receipt):
                self._hear(columns, devices, arrived_us)
                self._tell(columns, devices, outcome)

        self.writer.submit(Batch(ids[columns.codes], columns.ts, columns.value, arrived_us), since, stored)
        return True

    def _hear(self, columns: Columns, devices: set[str], arrived_us: int) -> None:
        """The columns were stored: their devices have been heard, live or by backfill."""
        floor = arrived_us - LATE_AFTER_US
        if columns.ts[-1] >= floor and len(devices) == 1:
            live = devices  # as nearly always
        else:
            live = {columns.series[code].device for code in np.unique(columns.codes[columns.ts >= floor]).tolist()}
        for device in devices:
            self.registry.heard(device, arrived_us, live=device in live)

    def _tell(self, columns: Columns, devices: set[str], receipt: Receipt) -> None:
        # A batch of nothing but duplicates brings nothing new.
        if receipt.accepted and not self.watched.isdisjoint(devices):
            self.tell(columns)

    async def _resolve(self, columns: Columns) -> Int32s:
        try:
            async with asyncio.timeout(self.writer.deadline_s):  # from asking on: others may be looked for first
                return await self.series.resolve(columns.series)
        except trouble.AWAY as error:
            raise trouble.before_commit(error) from error
