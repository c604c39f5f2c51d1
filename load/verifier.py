"""`python -m load.verifier`: holds what was acknowledged against what is stored (the view `telemetry`), bit by bit.

The one place in `load` that looks into PostgreSQL. It reads with COPY in binary, whose rows are here all of one
size, so that numpy takes them as they come: a million readings in a few seconds.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import asyncpg
import numpy as np
import typer

from load.findings import Findings, chunks, compare
from load.ledger import read_ledger
from schemas.columns import Columns, SeriesKey

PG_EPOCH = 946_684_800_000_000
"""2000-01-01 in microseconds since the Unix epoch: from there PostgreSQL counts."""

COPY_HEADER_BYTES = 19
COPY_TRAILER_BYTES = 2
COPY_ROW = np.dtype(
    [("fields", ">i2"), ("l1", ">i4"), ("code", ">i4"), ("l2", ">i4"), ("ts", ">i8"), ("l3", ">i4"), ("value", ">f8")]
)
"""Three fields that are never null: each one its length, then its value, in network order."""

STORED = """
    SELECT coalesce(k.code, -1)::int4, t.ts, t.value
    FROM telemetry t
    LEFT JOIN unnest($2::int4[], $3::text[], $4::text[], $5::text[]) AS k (code, device, metric, labels)
        ON k.device = t.device AND k.metric = t.metric AND k.labels::jsonb = t.labels
    WHERE t.device = ANY ($1::text[])
"""


async def verify(acknowledged: Columns, database_url: str) -> Findings:
    """Compare the record with the database. Devices that the record does not name are not looked at."""
    findings = Findings()
    connection = await asyncpg.connect(database_url)
    try:
        # One snapshot for all chunks, so that writers who are still at work do not blur the picture.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for part in chunks(acknowledged):
                compare(findings, part, await stored(connection, part.series))
    finally:
        await connection.close()
    return findings


async def stored(connection: "asyncpg.Connection[asyncpg.Record]", series: list[SeriesKey]) -> Columns:
    """Read every row of the devices of these series; the code -1 is a series that is not among them."""
    data = bytearray()

    async def take(block: bytes) -> None:
        data.extend(block)

    await connection.copy_from_query(
        STORED,
        list({key.device for key in series}),
        list(range(len(series))),
        [key.device for key in series],
        [key.metric for key in series],
        [key.labels for key in series],
        output=take,
        format="binary",
    )
    count = (len(data) - COPY_HEADER_BYTES - COPY_TRAILER_BYTES) // COPY_ROW.itemsize
    rows = np.frombuffer(data, COPY_ROW, count, COPY_HEADER_BYTES)
    ts = rows["ts"].astype(np.int64) + PG_EPOCH
    return Columns(series, rows["code"].astype(np.int32), ts, rows["value"].astype(np.float64))


def main(
    record: Annotated[Path, typer.Argument(exists=True, help="What `load.simulate --record` has saved.")],
    *,
    database_url: Annotated[str, typer.Option(envvar="SLUICE_DATABASE_URL", help="Where the readings are stored.")],
    extra_is_fine: Annotated[bool, typer.Option(help="Answers were lost on the way, or others write too.")] = True,
) -> None:
    """Compare acknowledged with stored readings; the exit code is 1 where a promise was broken."""
    findings = asyncio.run(verify(read_ledger(record), database_url))
    print(findings)
    raise typer.Exit(0 if findings.exact or (findings.kept and extra_is_fine) else 1)


if __name__ == "__main__":
    typer.run(main)
