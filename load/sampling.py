"""One sample: a size sent once, and what it cost each part, the log and the disk."""

from dataclasses import replace

from load.bench.body import Format
from load.bench.case import Case
from load.bench.plan import METRICS, Plan
from load.bench.runner import Runner
from load.bench.sluice import Sluice
from load.bench.subject import SubjectError, say
from load.fitting import Sample, Size
from schemas.costs import Shape

CONNECTIONS = 32
"""At every size, so that groups are as full at one as at the other, up to the rows that a group may have."""
READINGS = {1: 25_000, 5: 60_000, 10: 90_000, 15: 120_000, 40: 240_000, 100: 500_000}
MOST_READINGS = 1_000_000
"""Of one sample, by batch: at least a second of CPU, which is counted in hundredths."""
WARM_SHARE = 8
STRIDE = 7_919  # between devices that send one after the other, where there are more than send at a time

_LSN = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_IMAGES = """
SELECT count(*) AS count, coalesce(sum(block_fpi_length), 0)::bigint AS bytes
FROM pg_get_wal_block_info('0/0'::pg_lsn + $1, '0/0'::pg_lsn + $2) WHERE block_fpi_length > 0
"""
_HELD = "SELECT (SELECT count(*) FROM readings) + (SELECT coalesce(sum(cardinality(offsets)), 0) FROM runs)"
_STORED = """
SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
FROM pg_inherits WHERE inhparent IN ('readings'::regclass, 'runs'::regclass)
"""


async def prepare(subject: Sluice) -> None:
    """Let the log be looked into, and no checkpoint come by itself."""
    for statement in (
        "CREATE EXTENSION IF NOT EXISTS pg_walinspect",
        "ALTER SYSTEM SET max_wal_size = '16GB'",
        "ALTER SYSTEM SET checkpoint_timeout = '1h'",
        "SELECT pg_reload_conf()",
    ):
        await subject.database.execute(statement)


async def sample(size: Size, subject: Sluice, running: Runner, *, settled: bool = False) -> Sample:
    """Send it once, as fast as answers come.

    `settled`: directly after a checkpoint, when images of pages are logged. Raises SubjectError for a refusal.
    """
    requests = READINGS.get(size.batch, MOST_READINGS) // size.batch
    devices = size.series // len(METRICS)
    warm = max(requests // WARM_SHARE, devices)  # each device once: then caches are as they stay
    draft = Plan(size.batch, warm + requests, 0, devices, stride=STRIDE if devices > CONNECTIONS else 1)
    plan = replace(draft, base_ms=running.ticks.take(draft.ticks))
    await running.generators.render(plan, subject.door(Case(size.batch, Format(size.form))))
    # Long runs leave room on their pages that short ones would fill, as they never do where all are of one length.
    await subject.database.execute("TRUNCATE runs")
    held = await subject.database.fetchval(_HELD)
    await running.generators.drive(0, warm, CONNECTIONS)
    if settled:
        await subject.settle()
    stored, said = await subject.database.fetchval(_STORED), await subject.figures()
    began, before = int(await subject.database.fetchval(_LSN)), subject.meter.read()
    run = await running.generators.drive(warm, plan.count, CONNECTIONS)
    used, ended = subject.meter.read().since(before), int(await subject.database.fetchval(_LSN))
    if set(run.statuses) - {200, 204}:
        raise SubjectError(f"{size.name}: {dict(run.statuses)}")
    images, grown = await subject.database.fetchrow(_IMAGES, began, ended), await subject.database.fetchval(_STORED)
    assert images is not None  # noqa: S101 - for mypy: it is an aggregate
    if (found := await subject.database.fetchval(_HELD) - held) != plan.count * plan.batch:
        raise SubjectError(f"{size.name}: {plan.count * plan.batch:,} readings were sent, {found:,} are stored")
    shape = Shape(size.batch, min(size.batch, len(METRICS)), 0.001)
    groups = (await subject.figures()).get("sluice_group_rows_count", 0) - said.get("sluice_group_rows_count", 0)
    costs = {part: used.parts[part] / requests * 1e6 for part in ("server", "postgres")}
    costs["wal"] = (ended - began - images["bytes"]) / requests
    facts = {
        "redis_us": used.parts.get("redis", 0) / requests * 1e6,
        "requests_a_group": requests / groups if groups else 0.0,
        "requests_per_s": requests / (run.ended - run.began),
        "stored_bytes": (grown - stored) / requests,
        "image_bytes": images["bytes"] / requests,
        "images": images["count"] / requests,
        "generator_cpu": run.cpu_s / (run.ended - run.began),
    }
    made = Sample(size, shape, costs, facts)
    say(f"{size.name}: {made.cpu_us / size.batch:.3g} µs a reading, {facts['requests_a_group']:.1f} requests a group")
    return made
