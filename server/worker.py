"""One worker process: uvicorn around the app, on a socket that its supervisor made."""

import argparse
import asyncio
import ctypes
import os
import signal
import socket
import sys

import structlog
import uvicorn
import uvloop

from alerts.live.wire import Wire
from ingest.express import ExpressProtocol
from server import logs
from server.app import create_app
from server.settings import Settings

log = structlog.get_logger(__name__)

BEAT_S = 0.5  # between two signs of life to the supervisor, from the event loop: a blocked loop gives none
MAX_FRAME_BYTES = 64 << 10  # of a WebSocket, from a client; larger ones close it with 1009


class WorkerServer(uvicorn.Server):
    """uvicorn, but that winds the machine down before it closes connections."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called once SIGTERM or SIGINT was noticed."""
        machine = getattr(self.config.app.state, "machine", None)  # type: ignore[union-attr]
        if machine is not None:
            try:
                async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                    await machine.wind_down()
            except TimeoutError:
                log.warning("not everything in flight was answered in time")
        await super().shutdown(sockets)


def configure(settings: Settings) -> uvicorn.Config:
    """uvicorn's options, each for a reason that was measured (DESIGN.md)."""
    return uvicorn.Config(
        create_app(settings),
        http=ExpressProtocol,
        ws=Wire,
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,  # 15 KB in could be 15 MB out
        ws_ping_interval=None,  # ours is the protocol's own ping
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.drain_s),
        timeout_keep_alive=75,
        backlog=2_048,
    )


async def serve(settings: Settings, listening: socket.socket, heartbeat: int | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = WorkerServer(configure(settings))
    beat = asyncio.create_task(_beat(heartbeat)) if heartbeat is not None else None
    await server.serve(sockets=[listening])
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
    settings = Settings()
    logs.configure(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, socket.socket(fileno=options.socket), options.heartbeat))


if __name__ == "__main__":
    main()
