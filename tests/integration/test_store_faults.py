"""Storing a group when something breaks: poison, deadlocks, killed backends, deadlines, rollbacks."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import asyncpg
import numpy as np
import pytest

from schemas.columns import Int64s, Receipt, Rows
from schemas.errors import DatabaseAway, Invalid, Unavailable
from tests.integration.writing import NoRules, Workshop, outcomes, until_locked, writer

POISON = 666.0
REFUSE = f"""
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(new)->'value' = '{POISON:.0f}' OR to_jsonb(new)->'values' @> '[{POISON:.0f}]' THEN
        RAISE numeric_value_out_of_range;
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER refuse BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.mark.parametrize("culprits", [{0}, {6}, {3, 4}, set(range(7))])
async def test_a_poisoned_value_fails_its_own_batch_only(shop: Workshop, culprits: set[int]) -> None:
    await shop.pool.execute(REFUSE)
    batches = [
        await shop.batch(("a", number, POISON if number in culprits else 1.0), ("b", number, 1.0))
        for number in range(7)
    ]
    found = await outcomes(writer(shop, lanes=1, deadline_s=60), batches)
    assert {number for number, outcome in enumerate(found) if isinstance(outcome, Invalid)} == culprits
    assert all(outcome == Receipt(2, 0) for number, outcome in enumerate(found) if number not in culprits)
    assert {at for _, at in await shop.values()} == set(range(7)) - culprits


async def test_a_deadlock_is_retried_unseen(shop: Workshop) -> None:
    await shop.write(("a", -10, 0.0), ("b", -10, 0.0))
    batch = await shop.batch(("a", 1, 1.0), ("b", 1, 1.0))
    first, second = (int(series) for series in batch.series_id)
    lock = "SELECT 1 FROM newest WHERE series_id = $1 FOR UPDATE"
    async with shop.pool.acquire() as other:
        await other.execute("SET deadlock_timeout = '20s'")  # so that the lane is the one that finds it
        async with other.transaction():
            await other.execute(lock, max(first, second))
            lane = shop.lane()
            flushing = asyncio.create_task(shop.flush(batch, lane=lane))
            await until_locked(shop.pool)  # the lane holds the first row and waits for the second
            await other.execute(lock, min(first, second))
    assert await flushing == [Receipt(2, 0)]
    assert set((await shop.values()).values()) == {0.0, 1.0}


async def test_a_group_that_collides_time_and_again_is_stored_all_the_same(shop: Workshop) -> None:
    batch = await shop.batch(("a", 0, 1.0))
    await shop.pool.execute(
        "CREATE SEQUENCE met;"  # which no rollback takes back
        "CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('met') <= 5 THEN RAISE EXCEPTION 'injected' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$;"
        "CREATE TRIGGER collide AFTER INSERT ON readings FOR EACH STATEMENT EXECUTE FUNCTION collide()"
    )
    assert await shop.flush(batch, lane=shop.lane()) == [Receipt(1, 0)]
    assert await shop.pool.fetchval("SELECT last_value FROM met") == 6


async def test_a_killed_backend_is_replaced_unseen(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0))
    connection = shop.lanes[0]._connection
    assert connection is not None
    assert await shop.pool.fetchval("SELECT pg_terminate_backend($1, 2000)", connection.get_server_pid())
    assert await shop.write(("a", 1, 1.0)) == Receipt(1, 0)


async def test_nothing_is_stored_of_a_group_that_is_past_its_deadline(shop: Workshop) -> None:
    await shop.write(("a", 0, 1.0))
    batch = await shop.batch(("a", 1, 1.0))
    async with shop.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE readings IN ACCESS EXCLUSIVE MODE")
        with pytest.raises((Unavailable, DatabaseAway)):
            await shop.flush(batch, patience_s=0.3)
    assert await shop.values() == {("a", 0): 1.0}


async def test_a_commit_that_rolls_back_is_no_success(shop: Workshop) -> None:
    await shop.pool.execute(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'late'; END $$;"
        "CREATE TABLE watched (at int);"
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON watched DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION late();"
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO watched VALUES (1); RETURN new; END $$;"
        "CREATE TRIGGER tell BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION tell();"
    )
    with pytest.raises(Unavailable):
        await shop.write(("a", 0, 1.0))
    assert await shop.values() == {}


class Swallowing(NoRules):
    """Steps that fail and keep quiet about it, which leaves a transaction that can only roll back."""

    def screen(self, rows: Rows, hot: Sequence[int]) -> Int64s | None:
        """Everything."""
        return np.arange(len(rows))

    async def step(self, connection: asyncpg.pool.PoolConnectionProxy, rows: Rows, places: Int64s) -> Any:
        """Fail."""
        with contextlib.suppress(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1 / 0")


async def test_a_commit_that_is_answered_with_rollback_is_no_success(shop: Workshop) -> None:
    with pytest.raises(Unavailable):
        await shop.flush(await shop.batch(("a", 0, 1.0)), lane=shop.lane(Swallowing()))
    assert await shop.values() == {}


async def test_a_deadline_between_preparing_a_statement_and_using_it_is_one_like_any(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.write(("a", 0, 1.0))
    lane, batch = shop.lanes[0], await shop.batch(("a", 1, 1.0))
    prepare = asyncpg.Connection._get_statement  # type: ignore[attr-defined]

    async def too_late(self: asyncpg.Connection, *arguments: Any, **named: Any) -> Any:
        statement = await prepare(self, *arguments, **named)
        lane._cut()  # asyncpg takes the protocol away, and uses it next
        return statement

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "_get_statement", too_late)
        with pytest.raises(DatabaseAway):
            await shop.flush(batch)
    assert await shop.flush(batch) == [Receipt(1, 0)]
