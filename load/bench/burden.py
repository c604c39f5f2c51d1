"""A burden of rules, laid upon the server at once: straight into the table, as the API would store them one by one."""

import asyncio
import json
import time

import aiohttp

from load.bench.plan import DEVICES, METRICS, device_name
from load.bench.sluice import PATH, Sluice, rule
from load.bench.subject import SubjectError

LOAD_S = 90.0
LOOK_EVERY_S = 0.1
PROBE = "probe-of-rules"  # no device of the benchmark's, so its readings are not counted


def documents(count: int) -> list[str]:
    """Rules that never fire, each over one series of one device, spread evenly; beyond one a series they pile up."""
    made = []
    for number in range(count):
        turn, device = divmod(number, DEVICES)
        made.append(json.dumps(rule(device_name(device), METRICS[turn % len(METRICS)])))
    return made


async def lay_upon(subject: Sluice, count: int) -> float:
    """Store the rules; returns the seconds from COMMIT until the worker goes by them.

    It does when it raises an alert by a rule that came with them. Raises SubjectError where it never does.
    """
    probe = json.dumps(rule(PROBE, "*", -1.0))
    async with subject.database.transaction():
        # In COPY, since a hundred thousand statements would take longer than what is measured.
        records = [(document,) for document in [*documents(count), probe]]
        await subject.database.copy_records_to_table("rules", records=records, columns=["document"])
        await subject.database.execute("UPDATE rules_version SET version = version + 1")
    await subject.database.execute("ANALYZE rules")
    began = time.monotonic()
    workers = set(subject.workers())
    while time.monotonic() - began < LOAD_S:
        workers.update(subject.workers())
        if await _fires(subject):
            return time.monotonic() - began
        await asyncio.sleep(LOOK_EVERY_S)
    raise SubjectError(
        f"after {LOAD_S:.0f} s the server does not go by its {count:,} rules, and is at its {len(workers)}th worker"
    )


async def _fires(subject: Sluice) -> bool:
    body = {"device": PROBE, "ts": [time.time_ns() // 1_000_000], "values": {"probe": [1.0]}}
    headers = {"Authorization": f"Bearer {subject.key}"}
    try:
        async with subject.http.post(subject.url + PATH, json=body, headers=headers) as response:
            await response.read()
    except (aiohttp.ClientError, TimeoutError):
        return False  # it is loading, or was replaced because it took too long
    return bool(await subject.database.fetchval("SELECT EXISTS (SELECT FROM alerts WHERE device = $1)", PROBE))
