"""Sluice works under what its systemd unit leaves it: these system calls, no memory both written and executed."""

import asyncio
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from server.local import LocalServices
from tests.acceptance.sluice import environment
from tests.proxy import free_port

UNIT = Path(__file__).parents[2] / "server" / "deploy" / "systemd" / "sluice@.service"
PATIENCE_S = 60
CONFINED = (sys.executable, "-m", "tests.integration.confined", str(UNIT))

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="SYSTEMD-ANALYZE IS ABSENT: the unit's system calls were NOT tried"
)


def test_the_confinement_confines() -> None:
    code = "import os\ntry: os.chroot('/')\nexcept PermissionError: print('refused')"
    done = subprocess.run(
        [*CONFINED, sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "refused\n"


async def test_the_server_works_and_ends_in_confinement(services: LocalServices, database: str, tmp_path: Path) -> None:
    [start] = re.findall(r"^ExecStart=\S+ (.*)$", UNIT.read_text(), re.MULTILINE)
    port = free_port()
    words = start.replace("%i", str(port)).split()
    settings = {"SLUICE_DATABASE_URL": database, "SLUICE_REDIS_URL": services.redis_url, "SLUICE_WORKERS": "1"}
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: ASYNC220 - nothing is read of it
            [*CONFINED, sys.executable, "-m", "server.cli", *words],
            env=environment(**settings),
            stdout=stream,
            stderr=stream,
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        async with aiohttp.ClientSession() as http:
            while True:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                try:
                    async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        if answer.status == 200:
                            break
                except OSError:
                    pass
                await asyncio.sleep(0.05)
            async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
                assert answer.status == 401
        process.terminate()
        assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "not permitted" not in log.read_text()
