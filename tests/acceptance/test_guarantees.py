"""The reference client of docs/guarantees.md, as it stands there, against a server that does not have a good day."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from schemas.errors import SluiceError
from server.leash import until
from server.local import LocalPostgres
from server.migrations import migrate
from tests.acceptance.sluice import environment
from tests.conftest import Server
from tests.proxy import Proxy

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "guarantees.md").read_text()
DEVICE = "pump-7"
PATIENCE_S = 60.0
# Measures until its stdin is closed, and leaves what it measured, and what it was told, on disk.
DRIVER = """
import json, sys, threading, time
import client
stop, told, sent, ask, step = threading.Event(), [], [], client.post, 0
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()

def post(readings):
    status, retry_after = ask(readings)
    told.append(status)
    return status, retry_after

client.post = post
while not stop.is_set():
    for number in range(20):
        client.measured(f"m{number}", step + number / 7)
    if step == 5:
        client.queue.append({"ts": 1, "metric": "bad", "value": 0})  # seconds, milliseconds? refused in any case
    sent += [reading for reading in client.queue if reading["metric"] != "bad"]
    step += 1
    client.send()
    time.sleep(0.005)
json.dump({"told": told, "sent": sent}, open("report.json", "w"))
"""


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[LocalPostgres]:
    """A PostgreSQL of this test's own, to be killed."""
    async with LocalPostgres(tmp_path / "own") as server:
        yield server


@pytest.fixture
async def database(postgres: LocalPostgres) -> str:
    """In place of the session's: what `running_server` is started on here."""
    await migrate(postgres.url)
    return postgres.url


def reference_client() -> str:
    """The Python program in the document."""
    [program] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    return str(program)


async def test_the_reference_client_stores_everything_exactly_once(
    running_server: Server, postgres: LocalPostgres, tmp_path: Path
) -> None:
    address = urlsplit(running_server.url)
    assert address.hostname
    assert address.port
    async with Proxy(address.hostname, address.port) as proxy:
        key = await running_server.key("ingest", device_glob=DEVICE)
        program = reference_client().replace("127.0.0.1:8000", f"127.0.0.1:{proxy.port}").replace("slk_…", key)
        (tmp_path / "client.py").write_text(program)
        device = subprocess.Popen(  # noqa: ASYNC220 - a process of its own, as a device is
            [sys.executable, "-c", DRIVER], cwd=tmp_path, env=environment(), stdin=subprocess.PIPE
        )
        try:
            await grows(running_server)
            proxy.swallow_the_answer_to(b"POST", reset=True)
            await grows(running_server)
            os.kill(running_server.supervisor.pids[0], signal.SIGKILL)
            os.kill(running_server.supervisor.pids[1], signal.SIGKILL)
            await grows(running_server)
            postgres.kill()
            await asyncio.sleep(1.5)  # long enough for it to be told
            await postgres.start()
            await grows(running_server)
            assert proxy.triggered.is_set()
            assert device.poll() is None
        finally:
            assert device.stdin
            device.stdin.close()
            ended = await until(lambda: device.poll() is not None, PATIENCE_S)
            device.kill()
            device.wait()
    assert ended
    assert device.returncode == 0
    report = json.loads((tmp_path / "report.json").read_text())
    told = Counter(report["told"])
    assert told[200]
    assert told[503], f"nobody told it that the database was away: {told}"
    assert told[422], f"the bad reading went through: {told}"
    assert told[0], f"it had the answer that was swallowed: {told}"  # killed workers need not show: sockets stay open
    sent = {(reading["metric"], reading["ts"]): reading["value"] for reading in report["sent"]}
    assert len(sent) == len(report["sent"])
    query = "SELECT metric, (extract(epoch FROM ts) * 1000)::bigint AS ms, value FROM telemetry WHERE device = $1"
    rows = await running_server.fetch(query, DEVICE)
    assert len(rows) == len(sent)
    assert {(row["metric"], row["ms"]): row["value"] for row in rows} == sent


async def grows(server: Server) -> None:
    """Wait until more is stored than now."""

    async def stored() -> int:
        return int((await server.fetch("SELECT count(*) FROM telemetry"))[0][0])

    async with asyncio.timeout(PATIENCE_S):
        before = await stored()
        while await stored() < before + 50:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def test_every_status_is_in_the_table() -> None:
    rows = re.findall(r"^\| ((?:\d{3}(?:, )?)+) \|", DOCUMENT, re.MULTILINE)
    named = {int(status) for row in rows for status in row.split(", ")}
    kinds, statuses = [SluiceError], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        statuses |= {kind.status} if hasattr(kind, "status") else set()
    assert named == statuses - {404, 409} | {200}, "what a sender can be answered, and nothing else"
