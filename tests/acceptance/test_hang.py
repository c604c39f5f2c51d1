"""A worker that hangs while it stops: it ends all the same, and says where it hung."""

import asyncio
import os
import signal
import socket
import sys
import time

import aiohttp

HANGING = """
import asyncio
from ingest.registry import Registry
from server import worker

async def hang_for_ever(self):
    await asyncio.Event().wait()

Registry.write = hang_for_ever
worker.main()
"""


async def test_a_worker_that_hangs_while_it_stops_is_gone_in_time(database: str, redis_url: str) -> None:
    environment = {
        "SLUICE_DATABASE_URL": database,
        "SLUICE_REDIS_URL": redis_url,
        "SLUICE_REDIS_PREFIX": "hang",
        "SLUICE_DRAIN_S": "1",
        "SLUICE_FAREWELL_S": "0",
    }
    with socket.create_server(("127.0.0.1", 0)) as listening, open(os.devnull, "wb") as heart:  # noqa: ASYNC230
        descriptors = (listening.fileno(), heart.fileno())
        words = ["--socket", str(descriptors[0]), "--heartbeat", str(descriptors[1]), "--parent", str(os.getpid())]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HANGING, *words, env=os.environ | environment, pass_fds=descriptors, stderr=-1
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/readyz"
        # It waits in the socket until the worker listens.
        async with asyncio.timeout(60), aiohttp.ClientSession() as http, http.get(url) as response:
            assert response.status in (200, 503)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        async with asyncio.timeout(30):
            _, said = await process.communicate()
    assert process.returncode != 0
    assert time.monotonic() - began < 20  # 2.5 s, on a machine that does nothing else
    assert b"Timeout" in said
    assert b"in run" in said
