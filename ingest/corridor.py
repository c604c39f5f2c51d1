"""The corridor: what every write goes through, whatever door and protocol it came by."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog
from starlette.requests import Request

from ingest import trouble
from ingest.admission import Crowd
from ingest.body import BodyLimits, inflated
from ingest.foreign.door import Door
from ingest.formats import native
from ingest.formats.mapping import Mapping
from ingest.formats.terms import Decode, Terms
from ingest.formats.times import Bounds
from ingest.group import Batch
from ingest.intake import Intake
from ingest.metrics import WriteMetrics
from ingest.quota import Quota
from ingest.registry import Registry
from ingest.series import BEYOND, SeriesTable
from ingest.waiting import Outcome, Reply
from ingest.writer import STOPPING, Writer
from schemas.columns import LATE_AFTER_US, Columns, Int32s, Int64s, PartReceipt, Receipt
from schemas.errors import Defect, Fault, Forbidden, Invalid, Overloaded, QuotaExceeded, SluiceError, Unavailable
from schemas.hindrances import SeriesGone
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
    later: Callable[[Coroutine[Any, Any, None]], object]
    """Runs what goes on behind an answer that is still owed."""
    clock_us: Callable[[], int]
    """Now, in microseconds since the Unix epoch."""
    crowd: Crowd = field(default_factory=Crowd)
    """Who is being refused at the door."""
    watched: AbstractSet[str] = frozenset()
    """Devices whose readings somebody wants to see as they come."""
    tell: Callable[[Columns], None] = lambda _: None
    """Told of what was stored, some of it of watched devices. Must not raise."""
    mappings: dict[str, Mapping] = field(default_factory=lambda: defaultdict(Mapping))
    """How names are read, by what a foreign protocol is called."""

    def bounds(self, now_us: int) -> Bounds:
        """What a request that arrives now may hold."""
        return Bounds(now_us - self.retention_us, now_us + AHEAD_US, self.max_readings)

    def decode(self, body: bytes, arrived_us: int, *, partial: bool = False) -> Columns:
        """Decode a native body. Raises what `native.decode` raises."""
        started = time.perf_counter()
        columns = native.decode(body, self.bounds(arrived_us), partial=partial)
        self.metrics.decoded(len(body), started)
        return columns

    def decode_foreign(self, door: Door, decode: Decode, body: bytes, who: Principal, arrived_us: int) -> Columns:
        """Decode a body that came by a foreign door. Raises what the decoder raises."""
        started = time.perf_counter()
        columns = decode(body, Terms(self.bounds(arrived_us), arrived_us, self.mappings[door.format], who.own_device))
        self.metrics.decoded_foreign(door.format, len(body), started)
        return columns

    async def write(
        self, columns: Columns, principal: Principal, arrived_us: int, *, replace: bool, partial: bool = False
    ) -> Receipt:
        """Write a request's columns. Raises Forbidden, QuotaExceeded, Invalid, and what the writer raises.

        With `partial`, readings of series that the key may not make any more are moved to `columns.rejected`.
        """
        devices = {key.device for key in columns.series}
        if not all(map(principal.may_use, devices)):
            raise Forbidden("this key is bound to other devices")
        self.quota.take_readings(principal, len(columns))
        if not len(columns):
            return Receipt(0, 0)
        since = asyncio.get_running_loop().time()
        receipt = await self._store(columns, principal.key_id, arrived_us, since, replace=replace, partial=partial)
        if len(columns):
            self._hear(columns, devices, arrived_us)
            self._tell(columns, devices, receipt)
        return receipt

    async def _store(
        self, columns: Columns, key_id: str, arrived_us: int, since: float, *, replace: bool, partial: bool = False
    ) -> Receipt:
        """Find the series and have the writer store; once more where one of them was just deleted."""
        ids = await self._resolve(columns, key_id, since, partial=partial)
        try:
            return await self._submit(columns, ids, arrived_us, since, replace=replace)
        except SeriesGone:
            self.series.forget(columns.series, ids)
            ids = await self._resolve(columns, key_id, since, partial=partial)
            return await self._submit(columns, ids, arrived_us, since, replace=replace)

    async def _submit(self, columns: Columns, ids: Int32s, arrived_us: int, since: float, *, replace: bool) -> Receipt:
        if not len(columns):  # nothing is left of it
            return Receipt(0, 0)
        batch = Batch(ids[columns.codes], columns.ts, columns.value, arrived_us, replace, columns.held_bytes())
        return await self.writer.write(batch, since)

    def admit_at_once(self, key: str) -> Principal | SluiceError | None:
        """Who may begin to write now, before the body is read; or why not; None where the long way has to say that.

        Who is overloaded, or hammered, has to refuse at the least cost: the long way is as dear as a small batch.
        """
        principal = self.recognise(key)
        if principal is None or not principal.has(Scope.INGEST):
            return None
        try:
            self.writer.admit()
            self.quota.check(principal)
        except (Overloaded, QuotaExceeded) as error:
            return error
        except SluiceError:
            return None
        return principal

    def crowded(self) -> Overloaded | None:
        """Why a request may not begin the long way now, if it may not."""
        try:
            self.writer.admit_long_way()
        except Overloaded as error:
            return error
        return None

    def write_at_once(
        self, principal: Principal, encoding: str, body: bytes, reply: Reply, foreign: tuple[Door, Decode] | None = None
    ) -> bool:
        """Write a body, native or by a foreign door, if that needs no waiting: series are known, nothing is wrong (or
        is left out, as that door does), and `encoding` is one of `INFLATERS`, or of the door's. Else False: nothing was
        stored, and the long way answers, by the same steps. Quotas come last, so that no request is counted twice. If
        the queue has filled up since the head was read, or the quota is used up, that is the answer, at once."""
        arrived_us, since = self.clock_us(), asyncio.get_running_loop().time()
        try:
            self.writer.admit()
            if foreign is None:
                columns = self.decode(inflated(body, encoding, self.body_limits.max_bytes), arrived_us)
            else:
                door, decode = foreign
                body = inflated(body, encoding, self.body_limits.max_bytes, door.encodings)
                columns = self.decode_foreign(door, decode, body, principal, arrived_us)
            spoilt = columns.rejected and not (foreign and foreign[0].partial)
            devices = {series.device for series in columns.series}
            ids = self.series.known(columns.series)
            if spoilt or ids is None or not (foreign or len(columns)) or not all(map(principal.may_use, devices)):
                return False
            self.quota.take(principal, len(columns))
        except (Overloaded, QuotaExceeded) as error:
            reply(error)
            return True
        except SluiceError:
            return False
        except Exception:  # a defect of ours: the long way meets it again, and answers 500
            log.exception("the short way broke")
            return False

        if foreign and not len(columns):
            reply(self.with_left_out(Receipt(0, 0), columns, foreign[0]))
            return True

        def stored(outcome: Outcome) -> None:
            if isinstance(outcome, SeriesGone) and ids is not None:
                self.series.forget(columns.series, ids)
                self.later(self._store_again(columns, principal.key_id, arrived_us, since, answered))
                return
            answered(outcome)

        def answered(outcome: Outcome) -> None:
            reply(self.with_left_out(outcome, columns, foreign[0]) if foreign else outcome)
            if isinstance(outcome, Receipt):
                self._hear(columns, devices, arrived_us)
                self._tell(columns, devices, outcome)

        batch = Batch(ids[columns.codes], columns.ts, columns.value, arrived_us, held=columns.held_bytes())
        self.writer.submit(batch, since, stored)
        return True

    def with_left_out(self, outcome: Outcome, columns: Columns, door: Door) -> Outcome:
        """The outcome of columns that were stored, with what else the request brought, which is counted."""
        if not isinstance(outcome, Receipt) or not (columns.skipped or columns.rejected or columns.notes):
            return outcome
        self.metrics.skipped.labels(door.format).inc(columns.skipped)
        self.metrics.rejected.inc(len(columns.rejected))
        return PartReceipt(outcome.accepted, outcome.duplicates, columns.skipped, columns.rejected, columns.notes)

    async def _store_again(self, columns: Columns, key_id: str, arrived_us: int, since: float, reply: Reply) -> None:
        """A series of a batch was deleted after it was looked up: make it anew, unseen by the sender."""
        try:
            outcome: Outcome = await self._store(columns, key_id, arrived_us, since, replace=False)
        except SluiceError as error:
            outcome = error
        except Exception:  # a defect of ours: this sender is told so
            log.exception("a batch could not be stored again")
            outcome = Defect()
        except asyncio.CancelledError:
            reply(Unavailable(STOPPING))
            raise
        reply(outcome)

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
        if receipt.accepted and not self.watched.isdisjoint(devices):  # duplicates are nothing new
            self.tell(columns)

    async def _resolve(self, columns: Columns, key_id: str, since: float, *, partial: bool) -> Int32s:
        """The ids of the columns' series (k,). Raises Invalid where the key may not make one of them."""
        try:
            async with asyncio.timeout_at(since + self.writer.deadline_s):  # others may be looked for first
                ids = await self.series.resolve(columns.series, key_id)
        except trouble.AWAY as error:
            raise trouble.before_commit(error) from error
        if (beyond := np.flatnonzero(ids == BEYOND)).size:
            faults = _beyond_the_cap(columns, beyond, self.series.max_per_key)
            if not partial:
                raise Invalid(faults)
            columns.leave_out(beyond)
            columns.rejected += faults
        return ids


def _beyond_the_cap(columns: Columns, beyond: Int64s, most: int) -> list[Fault]:
    """A fault for each reading of these series (places in `columns.series`)."""
    message = f"this key may make {most:,} series (max_series_per_key) and has: write to existing ones, or delete some"
    codes = columns.codes[np.isin(columns.codes, beyond)].tolist()
    return [Fault(("series", *columns.series[code][:2]), "cardinality", message) for code in codes]
