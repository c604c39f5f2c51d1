"""What an embedded server must find again at its next start: its port, its password, the mark of its processes."""

import contextlib
import json
import random
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from server.leash import LocalServiceError

HOST = "127.0.0.1"
# Below the ports that kernels hand to outgoing connections (Linux from 32768, macOS from 49152): a client that keeps
# trying a port of those ranges on which nobody listens may one day connect to itself, and then holds the port.
PORTS = range(15_000, 30_000)


@dataclass
class Memory:
    """Kept in a file, so that a server's URL stays the same from start to start."""

    path: Path
    port: int  # 0 = none yet
    password: str
    mark: str  # in the command line or title of each of its processes, to find those a killed parent left

    @classmethod
    def recall(cls, path: Path) -> Self:
        """Read what the last start remembered, or begin anew."""
        try:
            return cls(path, **json.loads(path.read_text()))
        except FileNotFoundError:
            return cls(path, 0, secrets.token_urlsafe(24), f"sluice-{secrets.token_hex(6)}")
        except (ValueError, TypeError) as error:
            raise LocalServiceError(f"{path} is damaged ({error}): put the right file back.") from error

    def remember(self) -> None:
        """Write it down, readable by us alone."""
        draft = self.path.with_suffix(".json.new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps({name: value for name, value in asdict(self).items() if name != "path"}))
        draft.replace(self.path)

    def choose_port(self) -> None:
        """Stay with the port of last time if nobody listens on it, else take one that is free now."""
        candidates = [self.port] if self.port else []
        self.port = next((port for port in candidates + random.sample(PORTS, 100) if is_free(port)), 0)
        if not self.port:
            raise LocalServiceError(f"No free port was found on {HOST} between {PORTS.start} and {PORTS.stop}.")
        self.remember()


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port now."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        probe.bind((HOST, port))
        return True
    return False
