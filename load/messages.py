"""`python -m load.messages`: what a message costs the bridge from MQTT, as a JSON line for each kind of payload.

A server and a Mosquitto of its own (`apt install mosquitto`); for each kind, messages wait in the broker for a bridge
that is then started: how many it settles a second, what of that is its own CPU, what its decoding alone, and what the
server and PostgreSQL used meanwhile. Every message has to be stored, else it fails.

    python -m load.messages --count 50000            # about a minute
"""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import aiomqtt
import typer

from load.bench.sluice import Sluice, started
from load.bench.subject import SubjectError, parse_figures
from load.own import ROOT

HOST = "127.0.0.1"
DEVICES = 200
AT_ONCE = 200  # messages that the publisher has under way
PATIENCE_S = 120.0
CONF = "listener {port} {host}\nallow_anonymous true\nuser root\nmax_queued_messages 0\n"
KINDS: dict[str, Callable[[int, int], str]] = {
    "number": lambda number, _: f"{number}.5",
    "object": lambda number, ms: json.dumps({"ts": ms, "a": number, "b": 0.5, "c": {"d": 1.5, "e": -number}}),
    "batch": lambda number, ms: json.dumps(
        {"ts": [ms - at for at in range(25)], "values": dict.fromkeys("abcd", [number] * 25)}
    ),
}
READINGS = {"number": 1, "object": 4, "batch": 100}


@asynccontextmanager
async def mosquitto(folder: Path) -> AsyncIterator[int]:
    """A broker; gives its port."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
    if program is None:
        raise SubjectError("mosquitto is not installed: `apt install mosquitto`, or what fits here")
    with socket.create_server((HOST, 0)) as free:
        port = int(free.getsockname()[1])
    (folder / "conf").write_text(CONF.format(port=port, host=HOST))
    process = subprocess.Popen([program, "-c", "conf"], cwd=folder, stderr=subprocess.DEVNULL)  # noqa: S603, ASYNC220
    try:
        await asyncio.sleep(1)
        yield port
    finally:
        process.terminate()
        process.wait()


class Bridge:
    """`sluice mqtt`, run once to have its session made, and once to be measured."""

    def __init__(self, folder: Path, url: str, port: int, key: str, group: str) -> None:
        self._output = folder / f"{group}.log"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")} | {
            "PYTHONPATH": str(ROOT),
            "SLUICE_MQTT_URL": f"mqtt://{HOST}:{port}",
            "SLUICE_MQTT_SERVER_URL": url,
            "SLUICE_MQTT_KEY": key,
            "SLUICE_MQTT_CLIENT_ID": group,
            "SLUICE_MQTT_TOPICS": f"{group}/{{device}}/{{metric}}",
            "SLUICE_MQTT_METRICS_PORT": "0",
        }
        self._folder = folder

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Gives the URL of its metrics."""
        with self._output.open("wb") as log:
            words = [sys.executable, "-m", "server.cli", "mqtt"]
            process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program
                words, env=self._environment, cwd=self._folder, stdout=log, stderr=log
            )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while "connected to the broker" not in (said := self._output.read_text()):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SubjectError(f"the bridge did not come up:\n{said[-2_000:]}")
                await asyncio.sleep(0.02)
            found = re.search(r"metrics +(\S+)", said)
            yield found[1] if found else ""
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait)


async def publish(port: int, topic: str, payloads: list[str]) -> None:
    """Have the broker take all of them, quality 1."""
    async with aiomqtt.Client(HOST, port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        client.pending_calls_threshold = 2 * AT_ONCE
        for first in range(0, len(payloads), AT_ONCE):
            some = enumerate(payloads[first : first + AT_ONCE], first)
            await asyncio.gather(
                *(client.publish(f"{topic}/bench-{number % DEVICES}/m", payload, qos=1) for number, payload in some)
            )


async def measure(folder: Path, sluice: Sluice, port: int, kind: str, count: int) -> dict[str, Any]:
    """One kind of payload."""
    bridge = Bridge(folder, sluice.url, port, sluice.key, kind)
    async with bridge.running():
        pass
    ms = time.time_ns() // 1_000_000 - 86_400_000 // 2
    await publish(port, kind, [KINDS[kind](number, ms + number * 40) for number in range(count)])
    before, stored, began = sluice.meter.read(), await sluice.stored(), time.perf_counter()
    async with bridge.running() as url, aiohttp.ClientSession() as http:
        settled = 0.0
        figures: dict[str, float] = {}
        first: dict[str, float] = {}
        while settled < count:
            if time.perf_counter() - began > PATIENCE_S:
                raise SubjectError(f"{settled:.0f} of {count} messages are settled after {PATIENCE_S:.0f} s")
            await asyncio.sleep(0.02)
            async with http.get(url) as response:
                figures = parse_figures(await response.text())
            settled = figures.get("sluice_mqtt_messages_acknowledged_total", 0)
            first = first or figures
        took = time.perf_counter() - began
    readings = count * READINGS[kind]
    cpu_s = figures["process_cpu_seconds_total"] - first["process_cpu_seconds_total"]  # without its start
    measured = settled - first.get("sluice_mqtt_messages_acknowledged_total", 0)
    if (new := await sluice.stored() - stored) != readings:
        raise SubjectError(f"{new} of {readings} readings are stored")
    used = {name: round(cpu / count * 1e6, 1) for name, cpu in sluice.meter.read().since(before).parts.items()}
    return {
        "payload": kind,
        "messages_per_s": round(count / took),
        "readings_per_s": round(readings / took),
        "bridge_us_a_message": round(cpu_s / measured * 1e6, 1),
        "messages_a_post": round(count / figures["sluice_mqtt_posts_total"]),
        "decode_us_a_reading": round(figures["sluice_mqtt_decode_seconds_total"] / readings * 1e6, 2),
        "cpu_us_a_message": used,
    }


def main(count: Annotated[int, typer.Option(min=100, help="Messages of each kind.")] = 20_000) -> None:
    """Measure, and print a line for each kind."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "sluice").mkdir()
            async with mosquitto(folder) as port, started(folder / "sluice", 1, None, {}, rules=0) as sluice:
                for kind in KINDS:
                    line = await measure(folder, sluice, port, kind, count // max(1, READINGS[kind] // 10))
                    sys.stdout.write(json.dumps(line) + "\n")

    asyncio.run(run())


if __name__ == "__main__":
    typer.run(main)
