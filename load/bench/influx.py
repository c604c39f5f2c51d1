"""InfluxDB 1.x as a subject: the program `influxd` of this machine on a folder of its own, as it comes (WAL fsync on).

Only what keeps it to itself is set: folders, ports on the loopback, no reports home, no request log.
"""

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from load.bench.body import Door, Format
from load.bench.case import Case
from load.bench.meter import Meter
from load.bench.subject import SubjectError, on_cores
from load.own import tail

HOST = "127.0.0.1"
READY_S = 30.0
STOP_S = 15.0
IDLE_S = 0.5  # without any CPU for so long, it has nothing left to do
PATIENCE_S = 20.0

CONFIGURATION = """
reporting-disabled = true
bind-address = {rpc}
[meta]
  dir = {meta}
[data]
  dir = {data}
  wal-dir = {wal}
  query-log-enabled = false
[http]
  bind-address = {http}
  log-enabled = false
[monitor]
  store-enabled = false
[logging]
  level = "warn"
"""


@dataclass(slots=True)
class Influx:
    """A running InfluxDB."""

    port: int
    meter: Meter
    version: str
    name: str = "influxdb"

    def door(self, case: Case) -> Door:
        """The same readings as line protocol, whatever the case's layout."""
        return Door(HOST, self.port, "/write?db=bench&precision=ms", "", Format.LINES, case.gzip)

    def workers(self) -> list[int]:
        """Its one process."""
        return [self.meter.roots["server"]]

    async def figures(self) -> dict[str, float]:
        """Nothing that is asked for here."""
        return {}

    async def stored(self) -> int:
        """The sum over all measurements."""
        async with aiohttp.ClientSession() as session:
            query = {"db": "bench", "q": "SELECT count(value) FROM /.*/"}
            async with session.get(f"http://{HOST}:{self.port}/query", params=query) as response:
                return count_points(await response.json())

    async def settle(self) -> None:
        """Return when it has been idle for a while: snapshots and compactions are done."""
        deadline, last, since = time.monotonic() + PATIENCE_S, -1.0, time.monotonic()
        while time.monotonic() < min(deadline, since + IDLE_S) or last < 0:
            used = self.meter.read().parts["server"]
            if used > last + 0.02:  # a collector's heartbeat is no work
                last, since = used, time.monotonic()
            await asyncio.sleep(0.05)


def count_points(answer: dict[str, Any]) -> int:
    """Add up the answer to a query that counts every measurement."""
    series = answer["results"][0].get("series", [])
    return sum(one["values"][0][one["columns"].index("count")] for one in series)


def program() -> str:
    """Where `influxd` is. Raises SubjectError where it is not."""
    found = shutil.which("influxd")
    if found is None:
        raise SubjectError("influxd is not installed: `apt install influxdb` (1.6.7 in Debian 12), or what fits here")
    return found


@asynccontextmanager
async def started(folder: Path, cores: set[int] | None) -> AsyncIterator[Influx]:
    """Run it in a folder, on these cores."""
    influxd = program()
    rpc, http = _free_ports(2)
    paths = {name: json.dumps(str(folder / name)) for name in ("meta", "data", "wal")}
    addresses = {"rpc": json.dumps(f"{HOST}:{rpc}"), "http": json.dumps(f"{HOST}:{http}")}
    configuration, output = folder / "influxdb.conf", folder / "influxdb.log"
    configuration.write_text(CONFIGURATION.format(**paths, **addresses))
    version = (await asyncio.to_thread(subprocess.run, [influxd, "version"], capture_output=True, text=True)).stdout
    with output.open("wb") as log, on_cores(cores):
        words = [influxd, "-config", str(configuration)]
        process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)  # noqa: S603, ASYNC220
    try:
        await _ready(process, http, output)
        yield Influx(http, Meter({"server": process.pid}), " ".join(version.split()[1:2]))
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _ready(process: "subprocess.Popen[bytes]", port: int, output: Path) -> None:
    deadline = time.monotonic() + READY_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                query = {"q": 'CREATE DATABASE "bench"'}
                async with session.post(f"http://{HOST}:{port}/query", data=query) as response:
                    if response.status == 200:
                        return
            except (OSError, aiohttp.ClientError):
                await asyncio.sleep(0.05)
    raise SubjectError(f"influxd did not come up:\n{tail(output)}")


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
