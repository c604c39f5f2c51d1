"""After a restore of the database offsets are given out again, for other events: the epoch says so."""

import shutil
from pathlib import Path

import asyncpg

from alerts.live.eventlog import HEAD
from server import leash
from server.local import LocalPostgres
from server.migrations import migrate


async def head(server: LocalPostgres) -> str:
    """Read the epoch, the write-ahead log behind which may be any."""
    connection = await asyncpg.connect(server.url, timeout=5)
    try:
        record = await connection.fetchrow(HEAD, timeout=5)
        assert record is not None
        return str(record["epoch"])
    finally:
        connection.terminate()


async def test_a_restart_keeps_the_epoch_and_a_recovery_changes_it(tmp_path: Path) -> None:
    async with LocalPostgres(tmp_path) as server:
        await migrate(server.url)
        before = await head(server)
        await server.stop()
        async with LocalPostgres(tmp_path) as again:
            assert await head(again) == before
        # What a restore from a base backup ends with: no more log to be had, so a timeline of its own begins.
        signal = server.folder / "recovery.signal"
        signal.touch()
        leash.own(signal, server.identity)
        async with LocalPostgres(tmp_path, {"restore_command": "false"}) as restored:
            assert (after := await head(restored)) != before
            assert after.partition("-")[0] == before.partition("-")[0]


async def test_a_copy_in_another_cluster_has_another_epoch(tmp_path: Path) -> None:
    epochs = []
    for name in ("one", "two"):
        async with LocalPostgres(tmp_path / name) as server:
            await migrate(server.url)
            connection = await asyncpg.connect(server.url, timeout=5)
            await connection.execute("UPDATE alert_offset SET epoch = 'dumped'")
            connection.terminate()
            epochs.append(await head(server))
        shutil.rmtree(tmp_path / name)
    assert epochs[0] != epochs[1]
