"""SIGTERM while everything is slow at once: a COMMIT, a dashboard, an export. The worker ends by itself, in time."""

import asyncio
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from annotated_types import Le

from alerts.live.eventlog import HEAD
from server.settings import Settings
from server.supervisor import STOP_S
from server.worker import LAST_S
from tests.acceptance.catalogue.case import batch, reading
from tests.conftest import Server, StartServer
from tests.faults.trial.kinds.clients import subscribe_deaf
from tests.proxy import COMMIT, Proxy, through

EXIT_S = 10.0
ROWS = 10_000
BATCHES = 20
HURRIED = {"farewell_s": 0.5, "deadline_s": 2.0, "drain_s": 3.0}


async def deaf_export(server: Server) -> socket.socket:
    """Ask for more readings than the kernel takes, and read none of them."""
    parts, loop = urlsplit(server.url), asyncio.get_running_loop()
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    one.setblocking(False)
    await loop.sock_connect(one, (parts.hostname, parts.port))
    target = "/v1/readings?device=export&metric=m"
    head = f"GET {target} HTTP/1.1\r\nHost: a\r\nAccept: text/csv\r\nAuthorization: Bearer {server.admin_key}\r\n\r\n"
    await loop.sock_sendall(one, head.encode())
    assert (await loop.sock_recv(one, 12)).endswith(b"200")
    return one


async def fill(server: Server) -> None:
    """Store what is to be exported."""
    now_ms = time.time_ns() // 1_000_000
    for number in range(BATCHES):
        ts = list(range(now_ms - (number + 1) * ROWS, now_ms - number * ROWS))
        columns = {"device": "export", "ts": ts, "values": {"m": [each / 7 for each in range(ROWS)]}}
        assert await server.write(columns) == (200, {"accepted": ROWS, "duplicates": 0})


async def test_what_is_slow_has_its_time_and_no_more(
    start_server: StartServer, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with Proxy.to(database) as proxy:
        server = await start_server(workers=1, database_url=through(database, proxy), **HURRIED)
        await fill(server)
        (head,) = await server.fetch(HEAD)
        exporting = await deaf_export(server)
        watching = await subscribe_deaf(server.url, server.admin_key, head["epoch"])
        proxy.swallow_the_answer_to(COMMIT)
        writing = asyncio.create_task(server.write(batch(readings=[reading()])))
        async with asyncio.timeout(20):
            await proxy.triggered.wait()
        began = time.monotonic()
        await server.supervisor.__aexit__(None, None, None)
        took = time.monotonic() - began
        answer: Any = await asyncio.gather(writing, return_exceptions=True)
        for each in (exporting, watching):
            each.close()
    said = capfd.readouterr()
    assert took <= EXIT_S
    assert "did not stop in time" not in said.out + said.err, "the supervisor had to kill it"
    assert "most recent call first" not in said.err, "it had to end itself by force"
    assert answer[0][0] == 504, answer


def test_the_longest_time_to_drain_fits_into_what_is_promised() -> None:
    longest: Any
    (longest,) = [each.le for each in Settings.model_fields["drain_s"].metadata if isinstance(each, Le)]
    assert Settings.model_fields["drain_s"].default <= longest
    assert longest + LAST_S < STOP_S, "the worker says where it hangs before it is killed"
    assert STOP_S < EXIT_S
