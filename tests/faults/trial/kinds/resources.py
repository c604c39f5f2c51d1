"""F18, F20: more load than fits; no descriptors left, and no room for a log."""

import asyncio
import itertools
import os
import resource
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from schemas.columns import SeriesKey
from tests.conftest import HOST
from tests.faults.trial.account import Reading, Request
from tests.faults.trial.cluster import Cluster
from tests.faults.trial.devices import Courier
from tests.faults.trial.kinds.workers import until_serving
from tests.faults.trial.scripts import single
from tests.faults.trial.served import Served
from tests.faults.trial.trial import Kind, Stage
from tests.proxy import free_port

BATCH = 100
FITTING, TOO_MANY = 4, 60
"""Senders that never pause: of a load that fits, and of one that does not."""
GROWTH_MIB = 64
SPARE = 6
"""Descriptors a worker is left with."""
CALLERS = 80
LONG_AGO_US = 200 * 86_400_000_000
"""So far back a flood's readings begin."""


async def overloaded(stage: Stage) -> None:
    """F18: far more senders than fit; what is refused costs little, what is taken is stored."""
    seconds = 4.0 if stage.long else 1.5
    other = await stage.cluster.spare()
    pids = other.supervisor.pids
    await _flood(stage, other, FITTING, 0.5)  # series are known, code is warm
    peak, _ = await _flood(stage, other, FITTING, seconds)
    before = [resident_mib(pid) for pid in pids]
    at = stage.note(f"{TOO_MANY} senders that never pause")
    goodput, refused = await _flood(stage, other, TOO_MANY, seconds)
    growth = max(resident_mib(pid) - size for pid, size in zip(pids, before, strict=True))
    stage.promise(other.supervisor.pids == pids, "a worker ended under the load")
    stage.measured("slowest answer", stage.account.slowest(at), stage.cluster.deadline_s + 0.5)
    stage.measured("peak, readings a second", peak)
    stage.measured("goodput, of the peak", goodput / peak)
    stage.measured("refused, of all requests", refused)
    stage.measured("growth, MiB", growth, GROWTH_MIB)


async def _flood(stage: Stage, other: Cluster, senders: int, seconds: float) -> tuple[float, float]:
    """Readings acknowledged a second, and the share of requests that was refused."""
    stop = time.monotonic() + seconds
    account, begin = stage.account, len(stage.account.requests)
    numbers, first_us = itertools.count(begin), time.time_ns() // 1_000_000 * 1_000 - LONG_AGO_US
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        courier = Courier(session, other.url, await stage.cluster.key("ingest"), account)

        async def send(sender: int) -> None:
            while time.monotonic() < stop:
                request = flood_batch(f"{stage.traffic.prefix}-f{sender}", next(numbers), first_us)
                account.open(request)
                await courier.post(request)

        await asyncio.gather(*map(send, range(senders)))
    mine = [request for request in account.requests[begin:] if "-f" in request.device]
    taken = sum(len(request.readings) for request in mine if request.acknowledged)
    return taken / seconds, sum(not request.acknowledged for request in mine) / max(1, len(mine))


def flood_batch(device: str, number: int, first_us: int) -> Request:
    """A batch of one series, of times that come once."""
    start = first_us + number * BATCH * 1_000
    times = range(start, start + BATCH * 1_000, 1_000)
    series = SeriesKey(device, "flood", "{}")
    readings = [Reading(series, us, float(number)) for us in times]
    document = {"device": device, "ts": [us // 1_000 for us in times], "values": {"flood": [float(number)] * BATCH}}
    return Request(device, number, "flood", readings, document)


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


async def used_up(stage: Stage) -> None:
    """F20: a worker may open no more descriptors while many connect; then a server that cannot write its log."""
    pids = stage.cluster.supervisor.pids
    victim = stage.chance.choice(pids)
    limits = resource.prlimit(victim, resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir(f"/proc/{victim}/fd")))
    parts = urlsplit(stage.cluster.url)
    callers: list[asyncio.StreamWriter] = []
    try:
        stage.note(f"worker {victim} may open {SPARE} descriptors more, and {CALLERS} connect")
        resource.prlimit(victim, resource.RLIMIT_NOFILE, (highest + SPARE, limits[1]))
        for _ in range(CALLERS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            callers.append(writer)
        await asyncio.sleep(5.0 if stage.long else 1.5)
    finally:
        resource.prlimit(victim, resource.RLIMIT_NOFILE, limits)
        for writer in callers:
            writer.close()
    at = stage.note("it may again, and they hang up")
    await until_serving(stage, stage.cluster, set(pids))
    stage.measured("serves again", time.monotonic() - at)
    stage.promise(stage.cluster.supervisor.pids == pids, f"{pids} have become {stage.cluster.supervisor.pids}")
    await _log_full(stage)


async def _log_full(stage: Stage) -> None:
    """`sluice serve` whose every line of log meets a full disk."""
    port, full = free_port(), os.open("/dev/full", os.O_WRONLY)
    elsewhere = replace(stage.cluster, server=replace(stage.cluster.server, url=f"http://{HOST}:{port}"))
    server = Served(elsewhere, port, workers=1, log=full, settings={"SLUICE_LOG_LEVEL": "debug"})
    stage.note("a server is started whose log is on a full disk")
    await server.start()
    try:
        key = await stage.cluster.key("ingest")
        courier = Courier(stage.traffic.courier.session, elsewhere.url, key, stage.account)
        for number in range(5):
            request = single(f"{stage.traffic.prefix}-l", number, time.time_ns() // 1_000, 1.0)
            stage.account.open(request)
            attempt, _ = await courier.post(request)
            stage.promise(attempt.status == 200, f"a server that cannot log answered {attempt.status} {attempt.text}")
    finally:
        code, _ = await server.stop()
        os.close(full)
    stage.promise(code == 0, f"a server that cannot log ended with {code}")


KINDS = (
    Kind("F18", "more load than fits", overloaded, frozenset({503, 504})),
    Kind("F20", "descriptors used up, log disk full", used_up, frozenset({0, 503})),
)
