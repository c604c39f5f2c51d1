"""The daily partitions of the three forms in which readings are stored: which there are, and making one."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import asyncpg

Connection = asyncpg.pool.PoolConnectionProxy | asyncpg.Connection

FORMS = ("readings", "runs", "packed")
"""Plain rows, runs, and pieces: the partitioned tables."""
EPOCH = date(1970, 1, 1)
_NAME = re.compile(r"(readings|runs|packed)_(\d{4})(\d\d)(\d\d)")
_LIST = """
SELECT c.relname AS name, pg_relation_size(c.oid) AS heap, pg_total_relation_size(c.oid) AS bytes
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = ANY($1::text[]::regclass[])
ORDER BY right(c.relname, 8), c.relname
"""
ENSURE = "SELECT ensure_partition($1::text::regclass, $2, $3, $4)"


@dataclass(frozen=True, slots=True)
class Partition:
    """What one form takes of one day."""

    form: str
    day: int
    """Since the Unix epoch, UTC."""
    heap: int
    """Bytes of the tuples alone; 0 where there has been none since it was emptied."""
    bytes: int
    """With the index."""

    @property
    def name(self) -> str:
        """Of the table."""
        return name_of(self.form, self.day)


def start_of(day: int) -> datetime:
    """The moment at which a day (since the Unix epoch) begins."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)


def name_of(form: str, day: int) -> str:
    """What the partition of a form and a day is called: `packed_20261120`. Safe in a statement."""
    return f"{form}_{start_of(day):%Y%m%d}"


async def partitions(connection: Connection) -> list[Partition]:
    """All there are, by day; those that somebody named otherwise are his own business."""
    found = []
    for record in await connection.fetch(_LIST, list(FORMS)):
        if name := _NAME.fullmatch(record["name"]):
            day = (date(int(name[2]), int(name[3]), int(name[4])) - EPOCH).days
            found.append(Partition(name[1], day, record["heap"], record["bytes"]))
    return found


async def make(connection: Connection, form: str, day: int) -> None:
    """Make a partition if there is none."""
    await connection.execute(ENSURE, form, name_of(form, day), start_of(day), start_of(day + 1))
