"""Reading within its limits: deadlines, turns, and plans that look at nothing but what is asked for."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from query import buckets as buckets_module
from query import stored
from query.buckets import Grid, Raw, buckets
from query.reads import Connection
from schemas.errors import Invalid
from schemas.queries import Aggregate
from schemas.query_errors import QueryTooSlow, TooManyQueries
from schemas.times import to_datetime
from tests.integration.reading import Library, library, selection
from tests.integration.writing import NOW, SECOND

DAY = 86_400


@pytest.fixture
async def shelf(database: str) -> AsyncIterator[Library]:
    """A library of this test's own."""
    async with library(database) as made:
        yield made


async def test_what_would_take_too_much_memory_is_refused(shelf: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    await shelf.write([(site, 60.0 * minute, 1.0) for site in range(2) for minute in range(6)])
    monkeypatch.setattr(buckets_module, "MAX_CELLS", 12)
    assert len(await shelf.buckets(0, 360, 60)) == 6
    monkeypatch.setattr(buckets_module, "MAX_CELLS", 11)
    with pytest.raises(Invalid) as caught:
        await shelf.buckets(0, 360, 60)
    assert [fault.code for fault in caught.value.faults] == ["too_many_buckets"]


async def test_what_takes_too_long_is_given_up(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets_module, "CHUNK", 10)
    async with library(database, deadline_s=0.0) as shelf:
        await shelf.write([(0, float(place), 1.0) for place in range(100)])
        with pytest.raises(QueryTooSlow):
            await buckets(
                shelf.reads, Raw(), selection({}), Grid(NOW, NOW + 1_000 * SECOND, 60 * SECOND), [Aggregate.SUM]
            )
    async with library(database, deadline_s=5) as shelf:

        async def sleep() -> None:
            async with shelf.reads.connection() as connection:
                await connection.execute("SET statement_timeout = '50ms'")
                await connection.execute("SELECT pg_sleep(5)")

        with pytest.raises(QueryTooSlow):
            await sleep()
        async with shelf.reads.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_more_queries_than_fit_wait_and_then_are_refused(database: str) -> None:
    async with library(database, at_once=1, waiting=1, patience_s=0.2, streams=1) as shelf:
        async with shelf.reads.connection():

            async def late() -> None:
                async with shelf.reads.connection():
                    raise AssertionError

            waiting = asyncio.create_task(late())
            await asyncio.sleep(0)
            with pytest.raises(TooManyQueries, match="are waiting"):
                await late()
            with pytest.raises(TooManyQueries, match="no turn"):
                await waiting
        async with shelf.reads.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1
        async with shelf.reads.stream():
            with pytest.raises(TooManyQueries, match="streams are open"):
                async with shelf.reads.stream():
                    raise AssertionError


async def test_reading_changes_nothing(shelf: Library) -> None:
    async with shelf.reads.connection() as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("DELETE FROM readings")


async def plans(connection: Connection, query: str, *arguments: Any) -> list[dict[str, Any]]:
    """Every node of the plan that the connection makes for these arguments."""
    await connection.execute("DEALLOCATE ALL")
    types = ", ".join(["int[]", "timestamptz", "timestamptz", "int"][: len(arguments)])
    await connection.execute(f"PREPARE asked ({types}) AS {query}")
    shown = [f"'{{{','.join(map(str, arguments[0]))}}}'", *(f"'{each}'" for each in arguments[1:])]
    found = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE asked ({', '.join(shown)})")
    nodes, waiting = [], [json.loads(found)[0]["Plan"]]
    while waiting:
        nodes.append(waiting.pop())
        waiting += nodes[-1].get("Plans", [])
    return nodes


@pytest.mark.parametrize("query", ["_END", "_BEGIN", "_READ"])
@pytest.mark.parametrize("analysed", [False, True])
async def test_queries_find_readings_by_index_and_in_their_partitions(
    shelf: Library, query: str, analysed: bool
) -> None:
    for day in range(6):
        await shelf.write([(0, -day * DAY - place * 30.0, 1.0) for place in range(100)])
        at = to_datetime(NOW - day * DAY * SECOND)
        await shelf.shop.pool.execute(
            "INSERT INTO readings SELECT s, $1::timestamptz - n * interval '1 s', n "
            "FROM generate_series(1000, 1100) AS s, generate_series(1, 200) AS n",
            at,
        )
        await shelf.shop.pool.execute(
            "INSERT INTO runs SELECT s, $1::timestamptz - n * interval '1 s', $1::timestamptz - n * interval '1 s', "
            "'{0}', '{1}' FROM generate_series(1000, 1100) AS s, generate_series(1, 200) AS n",
            at,
        )
    await shelf.shop.pool.execute(  # a busy series: of a day of it, a chunk is a small part
        "INSERT INTO runs SELECT $1, $2::timestamptz - n * interval '50 s' - interval '7 s', "
        "$2::timestamptz - n * interval '50 s', array_agg(k * 1000000), array_agg(k::float8) "
        "FROM generate_series(1, 1700) AS n, generate_series(0, 7) AS k GROUP BY n ORDER BY md5(n::text)",
        shelf.ids[0],
        to_datetime(NOW - 3_300 * SECOND),
    )
    if analysed:
        await shelf.shop.pool.execute("ANALYZE")
    arguments: list[Any] = [[shelf.ids[0]], to_datetime(NOW - DAY * SECOND), to_datetime(NOW), 100]
    async with shelf.reads.connection() as connection:
        nodes = await plans(connection, getattr(stored, query), *arguments[: 3 if query == "_READ" else 4])
    scans = [node for node in nodes if "readings_2" in str(node) or "runs_2" in str(node)]
    scans = [node for node in scans if "Relation Name" in node]
    assert scans
    assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
    sorts = [str(node) for node in nodes if node["Node Type"] == "Sort"]
    assert query == "_READ" or not any("runs_2" in each for each in sorts), "all is read before the first is known"
    days = {node["Relation Name"].partition("_")[2] for node in scans}
    assert days <= {f"{to_datetime(NOW - day * DAY * SECOND):%Y%m%d}" for day in (0, 1)}
