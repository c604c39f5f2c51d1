"""A Mosquitto of a test's own, and `sluice mqtt` as a process, of which only what it shows is known."""

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import aiohttp
import aiomqtt

from tests.acceptance.sluice import environment
from tests.conftest import HOST, Server

BINARY = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
PATIENCE_S = 120
USER, PASSWORD = "line-3", "a-long-password"
_NAMED = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST},DNS:localhost"]


class Mosquitto:
    """A broker with one user, which keeps its sessions over a restart; listens plainly, and by TLS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port = _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
        await self._run(*key, "-days", "2", *_NAMED)
        await self._run("mosquitto_passwd", "-b", "-c", "users", USER, PASSWORD)
        lines = [f"listener {self.port} {HOST}", f"listener {self.tls_port} {HOST}", "certfile cert.pem"]
        lines += ["keyfile key.pem", "allow_anonymous false", "password_file users", "user root", "persistence true"]
        lines += [f"persistence_location {self.folder}/"]
        (self.folder / "conf").write_text("\n".join([*lines, "max_queued_messages 0", ""]))
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    async def start(self) -> None:
        """Returns when it listens."""
        assert BINARY
        with (self.folder / "log").open("ab") as log:
            command = [BINARY, "-c", "conf", "-v"]
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)  # noqa: ASYNC220
        process = self._process

        async def listens() -> bool:
            assert process.poll() is None, (self.folder / "log").read_text()[-2_000:]
            with socket.socket() as probe:
                return probe.connect_ex((HOST, self.port)) == 0

        await until(listens)

    def stop(self) -> None:
        """As an operator stops it."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def client(self, **more: object) -> aiomqtt.Client:
        """A publisher."""
        said = {"username": USER, "password": PASSWORD, "protocol": aiomqtt.ProtocolVersion.V5} | more
        client = aiomqtt.Client(HOST, self.port, **said)  # type: ignore[arg-type]
        client.pending_calls_threshold = 1_000
        return client

    async def publish(self, topic: str, payload: str, *more: str) -> None:
        """By Mosquitto's own tool, quality 1."""
        where = ["-h", HOST, "-p", str(self.port), "-u", USER, "-P", PASSWORD]
        await self._run("mosquitto_pub", *where, "-q", "1", "-t", topic, "-m", payload, *more)

    async def _run(self, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *words, cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, (words, out)


class BridgeProcess:
    """`sluice mqtt` that runs."""

    def __init__(self, folder: Path, name: str, variables: dict[str, str]) -> None:
        self.log = folder / f"{name}.log"
        self._folder, self._variables = folder, variables
        self._process: subprocess.Popen[bytes] | None = None
        self._lines = 0

    async def start(self) -> None:
        """Returns when it has a connection to the broker."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-m", "server.cli", "mqtt"],
                cwd=self._folder,
                env=environment(**self._variables),
                stdout=log,
                stderr=log,
            )

        async def connected() -> bool:
            assert self._process is None or self._process.poll() is None, self.text
            return "connected to the broker" in self.text

        await until(connected)

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.log.read_text() if self.log.exists() else ""

    async def told(self, name: str, **labels: str) -> float:
        """One of its metrics, summed over the labels that are not given."""
        found = re.search(r"metrics\s+(http://\S+)", self.text)
        assert found, self.text
        async with aiohttp.ClientSession() as session, session.get(found[1]) as response:
            text = await response.text()
        values = re.findall(rf"^sluice_mqtt_{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(value) for shown, value in values if all(each in shown for each in wanted))

    def kill(self) -> None:
        """Without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def stop(self) -> int:
        """By SIGTERM; gives the exit code, which has to come within ten seconds or so."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, 30)


@asynccontextmanager
async def bridging(
    broker: Mosquitto, server: Server, name: str = "bridge", **more: str
) -> AsyncIterator[BridgeProcess]:
    """A bridge from this broker to this server."""
    variables = {
        "URL": f"mqtt://{HOST}:{broker.port}",
        "USERNAME": USER,
        "PASSWORD": PASSWORD,
        "CLIENT_ID": name,
        "SERVER_URL": server.url,
        "METRICS_PORT": "0",
    }
    if "KEY" not in more:
        variables["KEY"] = await server.key("ingest")
    process = BridgeProcess(
        broker.folder, name, {f"SLUICE_MQTT_{each}": value for each, value in (variables | more).items()}
    )
    await process.start()
    try:
        yield process
    finally:
        process.kill()


async def until(true: Callable[[], Awaitable[bool]], patience_s: float = PATIENCE_S) -> None:
    """Wait for it."""
    deadline = time.monotonic() + patience_s
    while not await true():
        assert time.monotonic() < deadline, f"not so after {patience_s} s"
        await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as free:
        return int(free.getsockname()[1])
