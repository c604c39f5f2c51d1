"""Fifty devices, a tenth of their batches sent twice: in the table every reading is there once, to the bit."""

import asyncio
import itertools
import json
import sys
import time

import pytest

from tests.acceptance.traffic import DAY_US, READINGS, Fleet, batches
from tests.conftest import Server, artifacts

DEVICES = 50
TWICE = 10  # every tenth batch


@pytest.mark.parametrize(
    "total", [2_000, pytest.param(50_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])], ids=lambda n: f"{n:,}"
)
async def test_every_reading_is_stored_once_bit_by_bit(running_server: Server, total: int) -> None:
    key = await running_server.key("ingest")
    # Days apart, so that the two workers also race for making partitions.
    now_us = time.time_ns() // 1_000
    firsts = [now_us - 4 * DAY_US + number * DAY_US // 20 for number in range(DEVICES)]
    async with Fleet(running_server.url, key) as fleet:
        began = time.perf_counter()
        await asyncio.gather(*(send(fleet, number, first, total // DEVICES) for number, first in enumerate(firsts)))
        took = time.perf_counter() - began
    fleet.check_answers()
    again = total // TWICE
    assert fleet.tally.retried == 0, fleet.answers  # otherwise a duplicate may be one that no receipt tells of
    assert fleet.answers == {200: total + again}
    assert fleet.ledger.accepted == total * READINGS
    assert fleet.ledger.duplicates == again * READINGS
    findings = await fleet.findings(running_server.database_url)
    assert findings.exact, findings
    assert findings.stored == total * READINGS
    [[rows]] = await running_server.fetch("SELECT count(*) FROM telemetry")
    assert rows == total * READINGS
    [[days]] = await running_server.fetch("SELECT count(DISTINCT ts::date) FROM telemetry")
    assert days >= 3
    figures = {"batches": total, "sent": total + again, "seconds": round(took, 1), "readings": rows}
    text = json.dumps({"exactly_once": figures | {"batches_per_s": round((total + again) / took)}})
    sys.stdout.write(text + "\n")
    (artifacts() / f"exactly_once_{total}.json").write_text(text + "\n")


async def send(fleet: Fleet, number: int, first_us: int, count: int) -> None:
    """What one device does: every tenth batch goes out twice, at the same time, right after, or later."""
    device, other = fleet.device(number), fleet.device(number)
    late = []
    for n, batch in enumerate(itertools.islice(batches(number, first_us), count)):
        if n % TWICE:
            await device.send([batch])
        elif n % (3 * TWICE) == 0:
            await asyncio.gather(device.send([batch]), other.send([batch]))
        elif n % (3 * TWICE) == TWICE:
            await device.send([batch])
            await other.send([batch])
        else:
            await device.send([batch])
            late.append(batch)
    for batch in late:
        await device.send([batch])
