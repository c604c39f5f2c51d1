"""What is stored, where, and what will become of it: for `sluice storage` and for Prometheus."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
from prometheus_client import CollectorRegistry, Gauge

from query.deletion import ACQUIRE_S
from query.partitions import FORMS, Connection, Partition, partitions, start_of
from query.retention import MARGIN_DAYS

# Every reading is counted, which reads the whole partition.
_COUNTS = {
    "readings": "SELECT count(*) AS readings, min(ts) AS oldest, max(ts) AS newest FROM {name}",
    "runs": "SELECT coalesce(sum(cardinality(offsets)), 0), min(ts), max(until) FROM {name}",
    "packed": "SELECT coalesce(sum(cardinality(offsets)), 0), min(ts), max(until) FROM {name}",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """The readings of a partition, or of several."""

    readings: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Day:
    """What is stored of one UTC day."""

    start: datetime
    bytes: Mapping[str, int]
    """By form."""
    stored: Mapping[str, Stored]
    """By form; empty where readings were not counted."""
    packed_at: datetime
    """When it is, or was, old enough to be packed."""
    dropped_at: datetime
    """When it will be past retention."""

    @property
    def readings(self) -> int:
        """All of them."""
        return sum(each.readings for each in self.stored.values())

    def state(self, now: datetime) -> str:
        """Whether it is `open` (written to), `waiting` to be packed, `packed`, or `expired` (to be dropped)."""
        if now >= self.dropped_at:
            return "expired"
        plain = sum(self.bytes.get(form, 0) for form in ("readings", "runs"))
        if now < self.packed_at:
            return "open"
        return "packed" if "packed" in self.bytes and plain <= EMPTY_BYTES else "waiting"


EMPTY_BYTES = 2 * 3 * 8_192  # of two tables that were truncated, keys included, at most


def days(
    found: Sequence[Partition], counted: Mapping[str, Stored], *, pack_after_days: int, retention_days: int
) -> list[Day]:
    """Partitions (and what was counted in them, by name) put together by day."""
    made = []
    for day in sorted({each.day for each in found}):
        of_day = [each for each in found if each.day == day]
        end = start_of(day + 1)
        made.append(
            Day(
                start_of(day),
                {each.form: each.bytes for each in of_day},
                {each.form: counted[each.name] for each in of_day if each.name in counted},
                end + timedelta(days=pack_after_days),
                end + timedelta(days=retention_days + MARGIN_DAYS),
            )
        )
    return made


async def count(connection: Connection, found: Sequence[Partition], *, timeout_s: float) -> dict[str, Stored]:
    """Count the readings of each partition."""
    counted = {}
    for each in found:
        record = await connection.fetchrow(_COUNTS[each.form].format(name=each.name), timeout=timeout_s)
        assert record is not None  # noqa: S101 - an aggregate without GROUP BY is one row
        counted[each.name] = Stored(int(record[0]), record[1], record[2])
    return counted


class StorageGauges:
    """A job of the elected worker: bytes and partitions by form."""

    def __init__(self, pool: asyncpg.Pool, registry: CollectorRegistry | None, *, every_s: float) -> None:
        def gauge(name: str, text: str) -> Gauge:
            # The last one elected knows; what earlier ones said is out of date.
            return Gauge(
                f"sluice_storage_{name}", text, ["form"], registry=registry, multiprocess_mode="livemostrecent"
            )

        self._pool, self._every_s = pool, every_s
        self._bytes = gauge("bytes", "Bytes on disk with the keys, by the form in which readings are stored.")
        self._partitions = gauge("partitions", "Daily partitions, by the form in which readings are stored.")
        self._look_at = 0.0

    async def turn(self) -> None:
        """Look, if it is time to. Raises what the driver raises."""
        now = asyncio.get_running_loop().time()
        if now < self._look_at:
            return
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            found = await partitions(connection)
        for form in FORMS:
            of_form = [each for each in found if each.form == form]
            self._bytes.labels(form).set(sum(each.bytes for each in of_form))
            self._partitions.labels(form).set(len(of_form))
        self._look_at = now + self._every_s
