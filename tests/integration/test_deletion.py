"""Deleting a device: at once for everybody who asks, piece by piece on the disk, whoever writes meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
import pytest

from alerts.absence import Absence
from alerts.ending import Endings
from ingest.lane import HinderedError
from query import deletion, purge
from query.deletion import Deletion
from query.partitions import make
from query.purge import Purge
from schemas.columns import Receipt
from schemas.errors import NotFound, Unavailable
from schemas.times import to_datetime
from tests.integration.test_packing import TODAY, packing_meanwhile
from tests.integration.writing import NOW, SECOND, Workshop, until_locked, workshop

RUN = [("temperature", float(place), 20.0 + place) for place in range(30)]


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own."""
    async with workshop(database) as shop:
        yield shop


def deletion_of(shop: Workshop) -> Deletion:
    """What deletes devices, and tells `shop.published`."""
    return Deletion(shop.pool, Endings(lambda: NOW + 999 * SECOND, shop.published.extend))


async def left(shop: Workshop) -> dict[str, int]:
    """What lies in the tables."""
    names = ("devices", "series", "newest", "readings", "runs", "deleted_series", "alert_states")
    return {name: await shop.pool.fetchval(f"SELECT count(*) FROM {name}") for name in names}  # noqa: S608


async def purged(shop: Workshop) -> int:
    """Purge until nothing is left to do; returns after how many turns."""
    turns = 0
    while await shop.pool.fetchval("SELECT count(*) FROM deleted_series"):
        await Purge(shop.pool).turn()
        turns += 1
        assert turns < 1_000
    return turns


async def test_nothing_shows_it_and_then_nothing_is_left(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.write(*RUN, ("pressure", 0, 1.0), ("pressure", -90_000, 1.0))
    await shop.write(*RUN, ("pressure", 5, 1.0), device="pump-2")
    others = await shop.pool.fetch("SELECT * FROM telemetry WHERE device = 'pump-2' ORDER BY metric, ts")
    await deletion_of(shop).delete("pump-1")
    assert await shop.between("temperature", -10, 1_000) == []
    assert await shop.pool.fetch("SELECT * FROM telemetry ORDER BY metric, ts") == others
    assert (await left(shop))["runs"] == 2, "it went on the way, not afterwards: this shows nothing"
    with pytest.raises(NotFound):
        await deletion_of(shop).delete("pump-1")
    monkeypatch.setattr(purge, "TURN_S", 0)
    monkeypatch.setattr(purge, "TUPLES_AT_ONCE", 1)
    assert await purged(shop) > 2
    assert await shop.pool.fetch("SELECT * FROM telemetry ORDER BY metric, ts") == others
    assert await left(shop) == {
        **{"devices": 1, "series": 2, "newest": 2, "readings": 1, "runs": 1, "deleted_series": 0, "alert_states": 0}
    }


async def test_who_goes_on_sending_is_a_new_device(shop: Workshop) -> None:
    batch = await shop.batch(*RUN)
    assert await shop.flush(batch) == [Receipt(30, 0)]
    await deletion_of(shop).delete("pump-1")
    with pytest.raises(HinderedError):  # its series is in the cache still; the corridor makes it anew
        await shop.write(*RUN)
    assert await shop.write(*RUN[:10]) == Receipt(10, 0)
    again = await shop.batch(*RUN)
    assert again.series_id.min() > batch.series_id.max(), "an id was given out twice"
    await purged(shop)
    assert len(await shop.values()) == 10


async def test_its_alerts_end_and_their_events_stay(shop: Workshop) -> None:
    rule_id = await shop.rule()
    await shop.write(("temperature", 0, 75.0))
    await shop.write(("temperature", 0, 85.0), device="pump-2")
    await deletion_of(shop).delete("pump-1")
    told = [(event.device, event.data["event"], event.data["alert"]["state"]) for event in shop.published]
    assert told[-1] == ("pump-1", "resolved", "resolved")
    assert await shop.told() == ["firing warning", "firing critical", "resolved warning"]
    found = await shop.pool.fetch("SELECT device, state FROM alerts ORDER BY id")
    assert [tuple(each) for each in found] == [("pump-1", "resolved"), ("pump-2", "firing")]
    assert await shop.rulebook.delete(rule_id)
    assert (await shop.told())[-1] == "resolved critical"


async def test_one_of_many_series_goes_in_several_transactions(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "SERIES_AT_ONCE", 3)
    for count in (1, 3, 8):
        await shop.write(*((f"m{number}", 0, 1.0) for number in range(count)))
        await deletion_of(shop).delete("pump-1")
        known = dict(shop.series.items())
        shop.series.forget(list(known), np.array(list(known.values()), np.int32))
        assert (await left(shop)) | {"readings": 0, "runs": 0, "deleted_series": 0} == dict.fromkeys(
            await left(shop), 0
        )
    assert (await left(shop))["deleted_series"] == 12


async def waits(shop: Workshop, deleting: "asyncio.Task[None]") -> None:
    """Return when the deletion waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    for _ in range(3_000):
        if deleting.done() or await shop.pool.fetchval(query):
            break
        await asyncio.sleep(0.01)
    assert not deleting.done(), "it did not wait"


async def test_a_series_that_is_just_being_made_is_deleted_too(shop: Workshop) -> None:
    await shop.write(*RUN)
    async with shop.pool.acquire() as connection:
        async with connection.transaction():
            make = "INSERT INTO series (device, metric) VALUES ('pump-1', 'n') RETURNING id"
            series = await connection.fetchval(make)
            deleting = asyncio.create_task(deletion_of(shop).delete("pump-1"))
            await waits(shop, deleting)
        await deleting
    assert await shop.pool.fetchval("SELECT 1 FROM deleted_series WHERE series_id = $1", series) == 1
    assert (await left(shop))["series"] == 0


async def test_an_alert_that_is_just_being_raised_ends_too(shop: Workshop) -> None:
    rule_id = await shop.rule()
    await shop.write(("temperature", 0, 75.0))
    state = "UPDATE alert_states SET phase = $1"
    await shop.pool.execute(state, "ok")
    async with shop.pool.acquire() as connection:
        async with connection.transaction():  # as absence does, which locks no series by `newest`
            await connection.execute("DELETE FROM alert_states")
            raised = """INSERT INTO alert_states (rule_id, series_id, phase, level, since, alert_id)
                        SELECT $1, series_id, 'firing', 0, fired_at, id FROM alerts"""
            await connection.execute(raised, rule_id)
            deleting = asyncio.create_task(deletion_of(shop).delete("pump-1"))
            await waits(shop, deleting)
        await deleting
    assert await shop.told() == ["firing warning", "resolved warning"]


async def test_it_waits_for_a_writer_and_never_the_other_way_round(shop: Workshop) -> None:
    await shop.write(*RUN)
    async with shop.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("UPDATE newest SET ts_us = ts_us + 1")
            deleting = asyncio.create_task(deletion_of(shop).delete("pump-1"))
            await waits(shop, deleting)
            await connection.execute("SET LOCAL lock_timeout = '300ms'")
            await connection.execute("SELECT FROM series FOR KEY SHARE")  # as a state that refers to it does
        await deleting


async def test_writers_and_deleters_at_once_leave_nothing_that_nobody_knows(shop: Workshop) -> None:
    await shop.rule(condition={"type": "absent", "after_s": 1, "severity": "info", "policy": "resolve"})
    await shop.rule()
    absence = Absence(shop.pool, lambda: NOW, shop.published.extend)
    stored, done = 0, False

    async def write(lane: int) -> None:
        nonlocal stored
        for number in range(40):
            points = [("temperature", number * 10.0 + lane + place / 10, 60.0 + number % 3 * 10) for place in range(5)]
            for _ in range(100):  # again, as a sender would
                with contextlib.suppress(Unavailable, HinderedError):
                    await shop.write(*points, ("m", number + lane / 10, 1.0), lane=lane)
                    stored += 1
                    break

    async def delete() -> int:
        deleted = 0
        while not done:
            try:
                await deletion_of(shop).delete("pump-1")
                deleted += 1
            except NotFound:
                await asyncio.sleep(0)
            await shop.pool.execute("UPDATE devices SET live_at = $1", to_datetime(NOW - 100 * SECOND))
            await absence.judge()
            await Purge(shop.pool).turn()
            await asyncio.sleep(0.02)
        return deleted

    deleting = asyncio.create_task(delete())
    await asyncio.gather(write(0), write(1))
    done = True
    assert await deleting > 3
    assert stored > 60
    await purged(shop)
    for table in ("readings", "runs"):
        orphans = f"SELECT count(*) FROM {table} WHERE series_id NOT IN (SELECT id FROM series)"  # noqa: S608
        assert await shop.pool.fetchval(orphans) == 0
    firing = """SELECT count(*) FROM alerts a WHERE a.state = 'firing' AND NOT EXISTS (
                SELECT FROM alert_states st WHERE st.alert_id = a.id)"""
    assert await shop.pool.fetchval(firing) == 0, "an alert that nobody can end"
    offsets = [offset for offset, *_ in await shop.events()]
    assert offsets == list(range(1, len(offsets) + 1))
    assert (
        await shop.pool.fetchval("SELECT count(*) FROM series s LEFT JOIN newest ON series_id = id WHERE ts_us IS NULL")
        == 0
    )


async def test_what_is_packed_while_it_is_purged_is_purged_too(shop: Workshop) -> None:
    async with shop.pool.acquire() as connection:
        await make(connection, "packed", TODAY)  # swept before the partition that is packed into it
    await shop.write(*RUN, ("pressure", 0, 1.0))
    async with packing_meanwhile(shop):
        await deletion_of(shop).delete("pump-1")
        purging = asyncio.create_task(Purge(shop.pool).turn())
        await until_locked(shop.pool)
    await purging
    await purged(shop)
    assert await shop.pool.fetchval("SELECT count(*) FROM packed") == 0
