"""F17, F19, F22: what cannot be stored, clocks that are wrong, transactions that PostgreSQL picks as victims."""

import asyncio
import itertools
import time

import asyncpg

from tests.faults.defects.clock import step
from tests.faults.trial.account import Request
from tests.faults.trial.devices import Courier
from tests.faults.trial.scripts import single
from tests.faults.trial.trial import Kind, Stage

POISON = -666.125
"""A value that a trigger of the trial's own refuses, as PostgreSQL refuses what is out of range."""
POISONED = f"""
CREATE FUNCTION trial_poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.value = {POISON} THEN
        RAISE EXCEPTION 'poison' USING ERRCODE = '22003';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER trial_poison BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION trial_poison();
"""
# Locked as the server locks, the whole table before its partitions; what CASCADE meets comes in any order.
LOCKED = "LOCK TABLE readings, runs"
UNPOISONED = f"{LOCKED}; DROP FUNCTION trial_poison CASCADE"
UNSERIAL = """
LOCK TABLE readings, runs IN SHARE ROW EXCLUSIVE MODE;  -- in the order in which groups write them
CREATE SEQUENCE trial_statements;
CREATE FUNCTION trial_serial() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('trial_statements') IN (5, 25, 45, 65, 85) THEN
        RAISE EXCEPTION 'injected' USING ERRCODE = '40001';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER trial_serial AFTER INSERT ON runs EXECUTE FUNCTION trial_serial();
CREATE TRIGGER trial_serial AFTER INSERT ON readings EXECUTE FUNCTION trial_serial();
"""
SERIAL = f"{LOCKED}; DROP FUNCTION trial_serial CASCADE; DROP SEQUENCE trial_statements"
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
BLOCKED = """
SELECT FROM pg_stat_activity WHERE application_name = 'sluice' AND wait_event IN ('transactionid', 'tuple')
"""
ENDS = """
SELECT max(id) AS upper, min(id) AS lower FROM series WHERE device = $1 AND metric IN ('heat', 'vibration', 'running')
"""
HOUR_US = 3_600_000_000
YEAR_US = 366 * 24 * HOUR_US


async def poisoned(stage: Stage) -> None:
    """F17: PostgreSQL refuses a value; only its own batch fails, whoever shares its group."""
    await stage.cluster.execute(POISONED)
    stage.note("PostgreSQL refuses one value")
    try:
        numbers = itertools.count()
        for _ in range(40 if stage.long else 12):
            requests = [_poison(stage, next(numbers)) for _ in range(3)]
            await asyncio.gather(*map(stage.traffic.courier.post, requests))
            await asyncio.sleep(0.03)
            for request in requests:
                stage.promise(request.attempts[0].status == 422, f"{request} answered {request.attempts[0].status}")
    finally:
        await stage.cluster.execute(UNPOISONED)
    stage.note("and takes it again")


def _poison(stage: Stage, number: int) -> Request:
    device = f"{stage.traffic.prefix}-p{number % 3}"
    request = single(device, number, time.time_ns() // 1_000 + number, POISON, kind="poison", metric="poison")
    stage.account.open(request)
    return request


async def victims(stage: Stage) -> None:
    """F22: deadlocks with somebody else's session, and serialization failures; nobody is told."""
    cluster = stage.cluster
    before = (await cluster.fetch(DEADLOCKS))[0][0]
    locked = 0
    for _ in range(12 if stage.long else 4):
        locked += await _deadlock(stage)
    await cluster.execute(UNSERIAL)
    stage.note("statements fail to serialize")
    try:
        async with asyncio.timeout(10):
            while (await cluster.fetch("SELECT last_value FROM trial_statements"))[0][0] < 50:
                await asyncio.sleep(0.05)
    finally:
        await cluster.execute(SERIAL)
    await asyncio.sleep(1.1)  # PostgreSQL's own statistics come that late
    after = (await cluster.fetch(DEADLOCKS))[0][0]
    stage.measured("deadlocks", after - before)
    stage.promise(after > before, f"{locked} times locks were taken the wrong way round, and there was no deadlock")


async def _deadlock(stage: Stage) -> bool:
    """Take the locks of a group from the wrong end; PostgreSQL has to pick the server's transaction, not ours."""
    ends = await stage.cluster.fetch(ENDS, stage.chance.choice(stage.traffic.names))
    connection = await asyncpg.connect(stage.cluster.postgres.url, server_settings={"deadlock_timeout": "20s"})
    try:
        async with connection.transaction():
            await connection.execute(_LOCK, ends[0]["upper"])
            for _ in range(100):
                if await connection.fetch(BLOCKED):
                    break
                await asyncio.sleep(0.005)
            else:
                return False
            stage.note("locks are taken from the wrong end")
            await connection.execute(_LOCK, ends[0]["lower"])
        return True
    finally:
        await connection.close()


_LOCK = "SELECT FROM newest WHERE series_id = $1 FOR UPDATE"


async def clocks(stage: Stage) -> None:
    """F19: devices an hour and years off; a server whose clock steps by an hour, to and fro."""
    courier, prefix = stage.traffic.courier, stage.traffic.prefix
    now_us = time.time_ns() // 1_000
    for number, (skew_us, status) in enumerate(
        ((-HOUR_US, 200), (HOUR_US, 422), (-10 * YEAR_US, 422), (10 * YEAR_US, 422), (300_000_000, 200))
    ):
        kind = "pulse" if status == 200 else "refused"
        request = single(f"{prefix}-c{number}", number, now_us + skew_us, 1.0, kind)
        stage.account.open(request)
        attempt, _ = await courier.post(request)
        stage.promise(attempt.status == status, f"a clock {skew_us / HOUR_US} h off: {attempt.status} {attempt.text}")
    await _steps(stage)


async def _steps(stage: Stage) -> None:
    other = await stage.cluster.spare()
    session, path = stage.traffic.courier.session, stage.cluster.folder / "clock"
    courier = Courier(session, other.url, await stage.cluster.key("ingest"), stage.account)
    numbers = itertools.count(1)
    for hours in (0, 1, -1, 24, 0):
        step(path, hours * 3_600.0)
        stage.note(f"the server's clock is {hours} h off")
        for _ in range(10):
            us = time.time_ns() // 1_000 + hours * HOUR_US
            request = single(f"{stage.traffic.prefix}-s", next(numbers), us, float(hours))
            stage.account.open(request)
            attempt, _ = await courier.post(request)
            took = attempt.answered - attempt.sent
            stage.promise(attempt.status == 200, f"{hours} h off: {attempt.status} {attempt.text}")
            stage.promise(took < stage.cluster.deadline_s, f"{hours} h off: answered after {took:.1f} s")


KINDS = (
    Kind("F17", "a poisoned reading reaches PostgreSQL", poisoned, frozenset()),
    Kind("F19", "clocks: devices an hour and years off, the server's stepped", clocks, frozenset({422})),
    Kind("F22", "deadlocks and serialization failures", victims, frozenset()),
)
