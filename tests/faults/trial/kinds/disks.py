"""F6 to F8: the disk of the data is full, that of the log is; another PostgreSQL takes over."""

import asyncio
import contextlib
import time
from pathlib import Path

import asyncpg

from server import leash
from server.local_memory import Memory
from tests.conftest import HOST
from tests.faults.trial.cluster import DATA_MIB, WAL_MIB, Cluster, Postgres
from tests.faults.trial.disk import Disk, mounting_fails
from tests.faults.trial.kinds.postgres import FIRST_S, start_again
from tests.faults.trial.trial import Kind, Stage

FULL_S = 3.0
"""Until room was made, the server has been full for about so long; until somebody notices it may take longer."""
COPY_S = 60.0
Disks = tuple[Disk | None, Disk | None]
"""Of the data and of its log, where there are any."""


async def data_full(stage: Stage) -> None:
    """F6: not one page is left for readings."""
    disk = stage.cluster.data_disk
    assert disk is not None
    at = stage.note("the disk of the data is filled")
    disk.fill()
    try:
        await somebody_is_told(stage, at)
        await asyncio.sleep(FULL_S * (3 if stage.long else 0.5))
    finally:
        disk.empty()
    await life_returns(stage)


async def log_full(stage: Stage) -> None:
    """F7: not one page is left for the write-ahead log; PostgreSQL panics, and again when it tries to recover."""
    disk = stage.cluster.wal_disk
    assert disk is not None
    at = stage.note("the disk of the log is filled")
    disk.fill()
    try:
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            for _ in range(100):  # what was recycled has to be used up first
                await stage.cluster.execute("SELECT pg_logical_emit_message(false, 'x', 'x'); SELECT pg_switch_wal()")
        stage.note("PostgreSQL has nothing left to write to")
        await somebody_is_told(stage, at)
        await asyncio.sleep(FULL_S * (3 if stage.long else 0.5))
    finally:
        disk.empty()
    await life_returns(stage)


async def somebody_is_told(stage: Stage, since: float, patience_s: float = 20.0) -> None:
    """Wait until a sender is answered 503."""
    deadline = time.monotonic() + patience_s
    while not any(a.status == 503 for _, a in stage.account.attempts() if a.sent > since):
        if time.monotonic() > deadline:
            stage.promise(False, "nobody was answered 503 although the disk is full")
            return
        await asyncio.sleep(0.05)


async def life_returns(stage: Stage) -> None:
    """Start PostgreSQL as its supervisor would, where it has ended; measure from when it accepts and has room."""
    postgres, at = stage.cluster.postgres, stage.note("there is room again")
    for _ in range(100):
        if postgres.pid is None:
            stage.note("PostgreSQL has ended, and is started")
            await start_again(stage)
            return
        if await postgres.answers() and not await _recovers(stage.cluster):
            break
        await asyncio.sleep(0.05)
    back = time.monotonic()
    stage.note(f"PostgreSQL accepts, {back - at:.2f} s after there was room")
    await stage.first_success(back, "first 200", FIRST_S)


async def _recovers(cluster: Cluster) -> bool:
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return bool((await cluster.fetch("SELECT pg_is_in_recovery()"))[0][0])
    return True


async def failover(stage: Stage) -> None:
    """F8: the primary dies; the same address leads to a standby, which cannot be written to until it is promoted."""
    cluster = stage.cluster
    standby, disks = await make_standby(stage)
    stage.note("the primary is killed; its address leads to the standby")
    old = cluster.postgres
    old.kill()
    cluster.to_postgres.lead_to(HOST, standby.memory.port)
    cluster.to_postgres.reset()
    at = time.monotonic()
    await somebody_is_told(stage, at)
    await asyncio.sleep(stage.chance.uniform(0.3, 1.0))
    old_disks = await promote(stage, standby, disks)
    await old.stop()
    for disk in filter(None, old_disks):
        disk.unmount()


async def promote(stage: Stage, standby: Postgres, disks: Disks, limit: float = FIRST_S) -> Disks:
    """Have the standby be PostgreSQL, and measure from then on; gives the disks of the one before."""
    cluster = stage.cluster
    before = cluster.data_disk, cluster.wal_disk
    cluster.postgres, (cluster.data_disk, cluster.wal_disk) = standby, disks
    cluster.server.database_url = standby.url
    await cluster.fetch("SELECT pg_promote(true, 30)")
    promoted = stage.note("the standby is promoted")
    await stage.first_success(promoted, "first 200", limit)
    return before


async def make_standby(stage: Stage) -> tuple[Postgres, Disks]:
    """Copy the primary, have the copy follow it, and the primary wait for it: what is acknowledged is on both."""
    cluster = stage.cluster
    old = cluster.postgres
    folder = cluster.folder / f"standby-{time.monotonic_ns()}"
    disks: Disks = (None, None)
    if cluster.data_disk is not None:
        disks = (Disk(folder / "data", DATA_MIB), Disk(folder / "wal", WAL_MIB))
        for disk in disks:
            assert disk is not None
            cluster.stack.enter_context(disk)
    (folder / "data").mkdir(mode=0o711, parents=True, exist_ok=True)
    standby = Postgres(folder / "data", old.settings | {"primary_conninfo": old.url, "hot_standby": "on"})
    standby.identity = old.identity
    standby.memory = Memory.recall(standby.memory.path)
    standby.memory.password = old.memory.password
    standby.memory.remember()
    standby.folder.mkdir(mode=0o700)
    leash.own(standby.folder, old.identity)
    argv: list[str | Path] = [old.program.with_name("pg_basebackup"), "-d", old.url, "-D", standby.folder]
    argv += ["-R", "-c", "fast", "-X", "stream"]
    code, output = await leash.run(argv, standby.folder, old.identity, COPY_S)
    assert code == 0, output
    standby.wal_disk = disks[1].folder if disks[1] else None
    await cluster.stack.enter_async_context(standby)
    async with asyncio.timeout(20):
        while not await cluster.fetch("SELECT FROM pg_stat_replication WHERE state = 'streaming'"):
            await asyncio.sleep(0.05)
        await cluster.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await cluster.execute("SELECT pg_reload_conf()")
        while not await cluster.fetch("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"):
            await asyncio.sleep(0.05)
    stage.note("a standby follows, and the primary waits for it")
    return standby, disks


def no_disk(cluster: Cluster) -> str:
    """Why a disk cannot be filled here."""
    return "" if cluster.data_disk and cluster.wal_disk else mounting_fails() or "the cluster has no disk of its own"


KINDS = (
    Kind("F6", "the disk of the data full", data_full, frozenset({503, 504}), no_disk),
    Kind("F7", "the disk of the log full", log_full, frozenset({503, 504}), no_disk),
    Kind("F8", "failover to a read-only server", failover, frozenset({503, 504}), forgets=True),
)
