"""A server of our own for a while: `sluice up` in a folder, found by what it prints."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
READY_S = 120.0
STOP_S = 20.0
LOOK_S = 0.05
TAIL = 15
"""Lines of its log, for an error's message."""

_READY = re.compile(r"^ready +(http://\S+)", re.MULTILINE)


class OwnError(Exception):
    """The server does not come up; the message says what it said last."""


class Own:
    """The server; it can be stopped, and started again where it was, with all that it has stored."""

    def __init__(self, folder: Path, workers: int, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are Sluice's own (`flush_rows` → `5000`)."""
        self.folder = folder
        self.url = ""
        self._workers = workers
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        self._environment |= {"PYTHONPATH": str(ROOT), "SLUICE_LOG_LEVEL": "warning", "SLUICE_LOG_FORMAT": "json"}
        self._environment |= {f"SLUICE_{name.upper()}": value for name, value in (settings or {}).items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of `sluice up`; 0 before it was launched."""
        return self._process.pid if self._process else 0

    @property
    def key(self) -> str:
        """The admin key."""
        return (self.folder / "admin.key").read_text().strip()

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "server.log"

    def launch(self) -> None:
        """Start it, on the same port as before if there was a before; `wait` until it is ready."""
        port = urlsplit(self.url).port or 0
        words = [sys.executable, "-m", "load.leashed", "server.cli", "up", "--data-dir", str(self.folder)]
        with self.log.open("wb") as log:
            # In that folder, not in the caller's: a .env there might name a database that must not be loaded.
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*words, "--port", str(port), "--workers", str(self._workers)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self.folder,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return when it is ready. Raises `OwnError`."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            if found := _READY.search(tail(self.log, 100)):
                self.url = found[1]
                return
            time.sleep(LOOK_S)
        raise OwnError(f"the server did not come up:\n{tail(self.log)}")

    def stop(self) -> None:
        """Stop it as an operator does; by force where that does not help."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def tail(path: Path, lines: int = TAIL) -> str:
    """The end of a log, for an error's message."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
