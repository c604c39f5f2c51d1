"""What the elected worker does for what is stored (not for alerts): roll up, pack, drop, purge, count."""

import asyncpg
from prometheus_client import CollectorRegistry

from alerts.election import Job
from query.packer import Packer
from query.purge import Purge
from query.retention import Retention
from query.roller import Roller, RollupSettings
from query.storage import StorageGauges
from server.settings import Settings


def keeping(pool: asyncpg.Pool, registry: CollectorRegistry, settings: Settings) -> dict[str, Job]:
    """Jobs by name, each a turn of bounded work."""
    every_s = settings.storage_every_s
    rollups = RollupSettings(
        close_after_s=settings.rollup_close_after_s,
        settle_s=settings.rollup_settle_s,
        every_s=every_s,
        minutes_days=settings.rollup_minutes_days,
        hours_days=settings.rollup_hours_days,
    )
    return {
        "rollups": Roller(pool, registry, rollups).turn,
        "packing": Packer(pool, registry, after_days=settings.pack_after_days, every_s=every_s).turn,
        "retention": Retention(pool, days=settings.retention_days, every_s=every_s).turn,
        "storage": StorageGauges(pool, registry, every_s=every_s).turn,
        "purge": Purge(pool).turn,
    }
