"""F16, F21: a dashboard that does not read, and a thousand of them that come back at once."""

import asyncio
import base64
import contextlib
import json
import random
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alerts.live.eventlog import HEAD
from schemas.columns import SeriesKey
from tests.faults.trial.account import Reading, Request
from tests.faults.trial.dashboards import Dashboard, ended
from tests.faults.trial.measures import cpu_s, p99_ms
from tests.faults.trial.scripts import ALERTING
from tests.faults.trial.trial import Kind, Stage

EVICTED_S = 15.0
RESUMED_S = 10.0
GAUGE_S = 1.0
ESTABLISHED = "01"
STORM_EVENTS = 300
"""Of one batch: each reading crosses the limit."""
MISSED_EVENTS = 20
"""While a crowd is away: what each of it has to be told, and this process to take apart."""
STORM_BATCHES = 4
"""Together more than what the kernel takes for somebody who does not read."""
RETURN_READS = 60
"""Reads of the event log that a thousand who come back may cost: some of each worker, not one of each client."""


async def does_not_read(stage: Stage) -> None:
    """F16: a dashboard asks for everything and takes nothing; it is evicted, nobody else notices."""
    cluster = stage.cluster
    began = time.monotonic()
    await asyncio.sleep(0.5)
    (row,) = await cluster.fetch(HEAD)
    deaf = await subscribe_deaf(cluster.url, await cluster.key("read"), row["epoch"])
    try:
        at = stage.note("a dashboard has asked for every event there ever was, and reads none")
        for number in range(STORM_BATCHES):
            await storm(stage, number, STORM_EVENTS)
        deadline = at + 2 * EVICTED_S
        while holds(deaf):
            if time.monotonic() > deadline:
                stage.promise(False, "a dashboard that does not read was not evicted")
                break
            await asyncio.sleep(0.05)
        stage.measured("evicted", time.monotonic() - at, EVICTED_S)
    finally:
        deaf.close()
    stage.measured("p99 before, ms", p99_ms(stage.account, began, at))
    stage.measured("p99 meanwhile, ms", p99_ms(stage.account, at, time.monotonic()))
    stage.promise(
        not any(code == 3008 for each in stage.traffic.dashboards for code, _ in each.closes), "a reader was evicted"
    )


def holds(client: socket.socket) -> bool:
    """Whether the other end of a connection is open, as the kernel has it: who does not read is told nothing."""
    (_, mine), (_, theirs) = client.getsockname(), client.getpeername()
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(
        line[1].endswith(f":{theirs:04X}") and line[2].endswith(f":{mine:04X}") and line[3] == ESTABLISHED
        for line in lines
    )


async def storm(stage: Stage, number: int, events: int) -> None:
    """Post a batch in which every reading is a transition."""
    device = f"{stage.traffic.prefix}-d99"
    start = time.time_ns() // 1_000_000 * 1_000 + number * 1_000_000  # each second's storm is behind the last one's
    values = [10.0 if place % 2 else 90.0 for place in range(events)]
    times = [start + place * 1_000 for place in range(events)]
    series = SeriesKey(device, ALERTING, "{}")
    readings = [Reading(series, us, value) for us, value in zip(times, values, strict=True)]
    document = {"device": device, "ts": [us // 1_000 for us in times], "values": {ALERTING: values}}
    request = Request(device, number, "storm", readings, document)
    stage.account.open(request)
    attempt, _ = await stage.traffic.courier.post(request)
    stage.promise(attempt.status == 200, f"{request} was answered {attempt.status}")


async def subscribe_deaf(url: str, key: str, epoch: str) -> socket.socket:
    """A WebSocket by hand, with the smallest buffer there is; its answers stay where they are."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    one.setblocking(False)
    await loop.sock_connect(one, (parts.hostname, parts.port))
    nonce = base64.b64encode(b"sixteen bytes ok").decode()
    head = f"GET /ws HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    await loop.sock_sendall(one, head.encode())
    await asyncio.wait_for(loop.sock_recv(one, 1_024), 5)
    subscribe: dict[str, Any] = {"channel": "alerts", "recover": True, "epoch": epoch, "offset": 0}
    for command in ({"id": 1, "connect": {"token": key}}, {"id": 2, "subscribe": subscribe}):
        await loop.sock_sendall(one, _frame(json.dumps(command).encode()))
    return one


def _frame(text: bytes) -> bytes:
    """A masked text frame; the mask is all zeros, which changes nothing."""
    length = bytes([128 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2)
    return b"\x81" + length + bytes(4) + text


async def all_come_back(stage: Stage) -> None:
    """F21: many dashboards lose their connections at once, events go on, and all are back at once."""
    cluster, size = stage.cluster, 1_000 if stage.long else 150
    (row,) = await cluster.fetch(HEAD)
    key = await cluster.key("read")
    crowd = [
        Dashboard(cluster.url, key, "alerts", row["last_offset"], row["epoch"], random.Random(stage.chance.random()))
        for _ in range(size)
    ]
    tasks = [asyncio.create_task(each.run()) for each in crowd]
    await _resumed(crowd, 0.0, 60)
    stage.note(f"{size} dashboards are there")
    await ended(tasks)
    await storm(stage, 1, MISSED_EVENTS)
    await asyncio.sleep(GAUGE_S + 0.2)
    reads = await cluster.metric("sluice_event_reads")
    pids = cluster.supervisor.pids
    at, spent, ours = stage.note("all of them come back"), cpu_s(pids), time.process_time()
    for each in crowd:
        stage.traffic.watch(each)
    with contextlib.suppress(TimeoutError):
        await _resumed(crowd, at, 3 * RESUMED_S)
    late = sum(not each.resumed or each.resumed[-1] < at for each in crowd)
    stage.promise(not late, f"{late} of {size} are not back")
    stage.measured("all resumed", max(each.resumed[-1] for each in crowd if each.resumed) - at, RESUMED_S)
    stage.measured("CPU of the workers, ms a socket", (cpu_s(pids) - spent) * 1_000 / size)
    stage.measured("of this process, ms a socket", (time.process_time() - ours) * 1_000 / size)
    await asyncio.sleep(GAUGE_S + 0.2)
    seconds = time.monotonic() - at
    reads = await cluster.metric("sluice_event_reads") - reads
    # Every worker looks at the head once a second, whoever comes.
    idle = 2 * (seconds + 2) * len(cluster.supervisor.pids)
    stage.measured("reads of the event log", reads, RETURN_READS + idle)


async def _resumed(crowd: list[Dashboard], since: float, patience_s: float) -> None:
    async with asyncio.timeout(patience_s):
        while not all(each.resumed and each.resumed[-1] >= since for each in crowd):
            await asyncio.sleep(0.02)


KINDS = (
    Kind("F16", "a dashboard that does not read", does_not_read, frozenset()),
    Kind("F21", "a reconnect storm", all_come_back, frozenset({0, 503, 504})),
)
