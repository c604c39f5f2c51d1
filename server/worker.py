"""One worker process: uvicorn around the app, on a socket that its supervisor made."""

import argparse
import asyncio
import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import socket
import sys
import time

import structlog
import uvicorn
import uvloop

from alerts.live.wire import Wire
from ingest.bounded import BoundedProtocol
from ingest.express import ExpressProtocol
from ingest.patience import Patience
from server import logs
from server.app import create_app
from server.database import forgive_release
from server.machine import Machine
from server.settings import Settings
from server.watchdog import TELL_WHERE

log = structlog.get_logger(__name__)

BEAT_S = 0.5  # between two signs of life to the supervisor, from the event loop: a blocked loop gives none
LAST_S = 1.5  # after what is in flight had its time: for closing connections and writing down what is in memory
# Containers made and not gone again before the young, the middle and all are searched for cycles. With Python's own
# (700, 10, 10) a worker with a thousand batches waiting searches all it holds many times a second: a fifth of its CPU.
CYCLES = (10_000, 2, 20)
MAX_FRAME_BYTES = 64 << 10  # of a WebSocket, from a client; larger ones close it with 1009


class WorkerServer(uvicorn.Server):
    """uvicorn, but that winds the machine down before it closes connections."""

    def __init__(self, config: uvicorn.Config, farewell_s: float, drain_s: float) -> None:
        super().__init__(config)
        self._farewell_s, self._drain_s = farewell_s, drain_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called once SIGTERM or SIGINT was noticed. Whatever hangs, the process ends in time and says where."""
        until = time.monotonic() + self._drain_s
        faulthandler.dump_traceback_later(self._drain_s + LAST_S, exit=True)
        await self._stop_listening(sockets or [])
        machine: Machine | None = getattr(self.config.app.state, "machine", None)  # type: ignore[union-attr]
        if machine is not None:
            machine.bid_farewell()
            try:
                async with asyncio.timeout(self._drain_s):
                    await self._say_farewell()
                    await machine.wind_down()
            except TimeoutError:
                log.warning("not everything in flight was answered in time")
        # What uvicorn waits for now has what is left, so that this process ends before its supervisor kills it.
        self.config.timeout_graceful_shutdown = max(0.1, until - time.monotonic())  # type: ignore[assignment]
        await super().shutdown(sockets)

    async def _stop_listening(self, sockets: list[socket.socket]) -> None:
        """Nobody new: whoever comes now is refused by the kernel, or waits for the next worker on the same socket.

        Who came already, and was not seen yet, would meet a reset: the kernel drops them with the socket.
        """
        came: list[socket.socket] = []
        for listening in sockets:
            with contextlib.suppress(BlockingIOError, OSError):
                while True:
                    came.append(listening.accept()[0])
        for server in self.servers:
            server.close()
        for listening in sockets:
            listening.close()
        loop = asyncio.get_running_loop()
        for each in came:
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(self._door, each)

    def _door(self) -> asyncio.Protocol:
        door = self.config.http_protocol_class
        return door(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]

    async def _say_farewell(self) -> None:
        """Answer what comes on open connections, with advice to close, until none is left or `farewell_s` are over.

        To close an idle one at once would cut the request that is just on its way here.
        """
        until = time.monotonic() + self._farewell_s
        while doors := [door for door in self.server_state.connections if isinstance(door, BoundedProtocol)]:
            for door in doors:
                door.soften()
            if time.monotonic() >= until:
                break
            await asyncio.sleep(0.02)


def configure(settings: Settings) -> uvicorn.Config:
    """uvicorn's options, each for a reason that was measured (DESIGN.md)."""

    class Door(ExpressProtocol):
        patience = Patience(settings.head_s, settings.receive_s, settings.idle_s)

    return uvicorn.Config(
        create_app(settings),
        http=Door,
        ws=Wire,
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,  # 15 KB in could be 15 MB out
        ws_ping_interval=None,  # ours is the protocol's own ping
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=2_048,
    )


async def serve(settings: Settings, listening: socket.socket, heartbeat: int | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = WorkerServer(configure(settings), settings.farewell_s, settings.drain_s)
    server.config.app.state.sockets = server.server_state.connections  # type: ignore[union-attr]
    asyncio.get_running_loop().set_exception_handler(forgive_release)
    gc.freeze()  # what was made until now stays for good
    gc.set_threshold(*CYCLES)
    beat = asyncio.create_task(_beat(heartbeat)) if heartbeat is not None else None
    await server.serve(sockets=[listening])
    faulthandler.cancel_dump_traceback_later()
    if beat:
        beat.cancel()


async def _beat(descriptor: int) -> None:
    while True:
        os.write(descriptor, b".")
        await asyncio.sleep(BEAT_S)


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG; a stopped process heeds no other
        if os.getppid() != parent:  # it ended before we could ask
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """``python -m server.worker --socket FD --heartbeat FD --parent PID``."""
    parser = argparse.ArgumentParser()
    for name in ("--socket", "--heartbeat", "--parent"):
        parser.add_argument(name, type=int, required=True)
    options = parser.parse_args()
    die_with(options.parent)
    # A loop that is blocked says where: the supervisor asks before it kills, and hears it where the signs of life come.
    faulthandler.register(TELL_WHERE, file=options.heartbeat, all_threads=True)
    settings = Settings()
    logs.configure(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, socket.socket(fileno=options.socket), options.heartbeat))


if __name__ == "__main__":
    main()
