"""The supervisor of the workers: starts them, replaces those that end, freeze or block, stops them together.

Each worker has a listening socket of its own on the one port (SO_REUSEPORT), and the supervisor keeps it open: the
kernel spreads connections evenly, and those that arrive while a worker is replaced wait for the next one instead of
being refused. uvicorn's own supervisor shares one socket and asks a thread for signs of life, which a blocked event
loop still gives.
"""

import asyncio
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog
from prometheus_client import multiprocess

from server.watchdog import ask_where, wait_for_silence

log = structlog.get_logger(__name__)

RESTART_S = 0.5  # between two starts of the same worker, so that a crash at start does not spin
VANISHED_MS = 60_000  # a client that takes nothing of an answer for so long; WebSockets have less (alerts/live/wire.py)
STOP_S = 9.0  # for a worker to end after SIGTERM: with killing and reaping the rest, within the promised 10 s


class AddressError(Exception):
    """Nothing can listen on the address; the message says what to do next."""


@dataclass(slots=True)
class _Worker:
    number: int
    listening: socket.socket
    process: asyncio.subprocess.Process | None = None


class Supervisor:
    """Runs N workers on one address while it is entered."""

    def __init__(self, host: str, port: int, workers: int, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._sockets = _listen(host, port, workers)
        self._workers = [_Worker(number, listening) for number, listening in enumerate(self._sockets)]
        self._stopping = False
        self._watches: list[asyncio.Task[None]] = []
        self._metrics_dir = ""

    @property
    def port(self) -> int:
        """The port, also where 0 asked for any free one."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run."""
        return [worker.process.pid for worker in self._workers if worker.process]

    async def __aenter__(self) -> Self:
        _raise_file_limit()
        self._metrics_dir = tempfile.mkdtemp(prefix="sluice-metrics-")
        self._environment["PROMETHEUS_MULTIPROC_DIR"] = self._metrics_dir
        self._watches = [asyncio.create_task(self._watch(worker)) for worker in self._workers]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        # The workers hold them too: nobody listens any more from the moment at which each of them stops.
        for listening in self._sockets:
            listening.close()
        for worker in self._workers:
            _signal(worker, signal.SIGTERM)
        _, late = await asyncio.wait(self._watches, timeout=STOP_S)
        for worker in self._workers:
            _signal(worker, signal.SIGKILL)
        if late:
            log.warning("workers killed, as they did not stop in time", count=len(late))
            await asyncio.wait(late)
        shutil.rmtree(self._metrics_dir, ignore_errors=True)

    async def _watch(self, worker: _Worker) -> None:
        """Start a worker, again and again, until all are to stop."""
        while not self._stopping:
            started = time.monotonic()
            try:
                code = await self._run(worker)
            except OSError as error:  # out of descriptors, or of memory: there may be some again
                log.warning("a worker cannot be started", worker=worker.number, error=repr(error))
            except Exception:  # a defect of ours must not leave a worker without a watch
                log.exception("the watch over a worker broke", worker=worker.number)
                _signal(worker, signal.SIGKILL)
            else:
                if not self._stopping:
                    log.error("worker ended; starting another", worker=worker.number, code=code)
            await asyncio.sleep(0 if self._stopping else max(0, started + RESTART_S - time.monotonic()))

    async def _run(self, worker: _Worker) -> int:
        """Run a worker until it ends; returns its exit code."""
        reading, writing = os.pipe()
        try:
            os.set_blocking(writing, False)
            worker.process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "server.worker",
                *("--socket", str(worker.listening.fileno())),
                *("--heartbeat", str(writing)),
                *("--parent", str(os.getpid())),
                pass_fds=(worker.listening.fileno(), writing),
                env=self._environment,
            )
            if self._stopping:
                _signal(worker, signal.SIGTERM)
            watchdog = asyncio.create_task(self._replace_silent(worker, process.pid, reading))
            code = await process.wait()
            watchdog.cancel()
            worker.process = None
            multiprocess.mark_process_dead(process.pid, self._metrics_dir)  # type: ignore[no-untyped-call]
            return code
        finally:
            os.close(writing)
            os.close(reading)

    async def _replace_silent(self, worker: _Worker, pid: int, descriptor: int) -> None:
        """Kill a worker that gives no signs of life."""
        await wait_for_silence(descriptor, pid)
        if not self._stopping:
            where = await ask_where(descriptor, lambda number: _signal(worker, number))
            log.error("worker gives no sign of life; killing it", worker=worker.number, where=where or "frozen")
            _signal(worker, signal.SIGKILL)


def _listen(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` listening sockets on one address, inherited by the workers. Raises AddressError."""
    sockets: list[socket.socket] = []
    try:
        # SO_REUSEPORT would also let another `sluice` take its share of this one's connections: without it, first.
        with _bound(host, port, shared=False):
            pass
        for _ in range(count):
            listening = _bound(host, port, shared=count > 1)
            sockets.append(listening)
            listening.listen(2_048)
            listening.set_inheritable(True)
            port = listening.getsockname()[1]
    except (OSError, OverflowError) as error:
        for listening in sockets:
            listening.close()
        reason = getattr(error, "strerror", None) or error
        raise AddressError(f"cannot listen on {host}, port {port}: {reason}; see --host and --port") from error
    return sockets


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; the sockets it accepts inherit it
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_MS)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _signal(worker: _Worker, number: signal.Signals) -> None:
    if worker.process is not None and worker.process.returncode is None:
        worker.process.send_signal(number)


def _raise_file_limit() -> None:
    """Let workers open as many sockets as they may: many systems start programs with 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
