"""A database begun with the first migration, used by every version since, holds what each of them stored."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from server import migrations
from server.local import LocalServices
from server.migrations import known, migrate
from tests.conftest import Server, StartServer, _execute, _url

OLD = "upgrade_old"
NOW = datetime.now(UTC).replace(minute=7, second=0, microsecond=0)
READINGS = [
    (NOW - timedelta(days=40), 1.5),
    (NOW - timedelta(days=3), 1e300),
    (NOW - timedelta(hours=30), -0.25),
    (NOW - timedelta(hours=2), 7.0),
]


@pytest.fixture
async def database(services: LocalServices) -> AsyncIterator[str]:
    """The URL of a database without a schema, in place of one with the last."""
    await _execute(services, f'CREATE DATABASE "{OLD}"')
    yield _url(services, OLD)
    await _execute(services, f'DROP DATABASE "{OLD}" WITH (FORCE)')


async def store(url: str, device: str) -> None:
    """Store READINGS of a device as the version did whose schema this is."""
    connection = await asyncpg.connect(url)
    try:
        tables = [name for name in ("readings", "runs") if await connection.fetchval("SELECT to_regclass($1)", name)]
        await connection.execute("INSERT INTO devices (name) VALUES ($1)", device)
        series = await connection.fetchval(
            "INSERT INTO series (device, metric) VALUES ($1, 'temp') RETURNING id", device
        )
        for ts, value in READINGS:
            until = ts + timedelta(days=1)
            for table in tables:
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {table}_{ts:%Y%m%d} PARTITION OF {table} "
                    f"FOR VALUES FROM ('{ts:%Y-%m-%d} 00:00Z') TO ('{until:%Y-%m-%d} 00:00Z')"
                )
            await connection.execute("INSERT INTO readings VALUES ($1, $2, $3)", series, ts, value)
        if "runs" in tables:
            newest_us = int(READINGS[-1][0].timestamp()) * 1_000_000
            await connection.execute(
                "INSERT INTO newest (series_id, ts_us, value) VALUES ($1, $2, $3)", series, newest_us, READINGS[-1][1]
            )
    finally:
        await connection.close()


async def test_what_every_version_stored_is_there_after_the_last_one(
    database: str, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = known()
    for last in every:
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "known", lambda last=last: every[: last.number])
            assert [applied.number for applied in await migrate(database)] == [last.number]
        await store(database, f"version-{last.number}")

    server = await start_server(1)
    for number in (each.number for each in every):
        await holds(server, f"version-{number}")


async def holds(server: Server, device: str) -> None:
    """Check that the readings are shown and are known as duplicates."""
    span = f"device={device}&metric=temp&from={NOW - timedelta(days=41):%Y-%m-%dT%H:%M:%SZ}"
    status, raw = await server.call("GET", f"/v1/readings?{span}")
    assert (status, [item["value"] for item in raw["items"]]) == (200, [value for _, value in READINGS]), device
    status, latest = await server.call("GET", f"/v1/devices/{device}/latest")
    assert (status, latest["metrics"]["temp"]["value"]) == (200, READINGS[-1][1]), device

    readings: list[dict[str, Any]] = [
        {"metric": "temp", "ts": ts.isoformat(), "value": value + 1} for ts, value in READINGS
    ]
    assert await server.write({"device": device, "readings": readings}) == (
        200,
        {"accepted": 0, "duplicates": len(READINGS)},
    ), device
    found = await server.fetch("SELECT value FROM telemetry WHERE device = $1 ORDER BY ts", device)
    assert [row["value"] for row in found] == [value for _, value in READINGS]
