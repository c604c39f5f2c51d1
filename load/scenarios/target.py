"""What is loaded: a server somewhere, or one of our own that is started for the run."""

import os
import shutil
import tempfile
from pathlib import Path

from load.own import Own

WORKERS = 2


class Target:
    """A server somewhere; it is let alone."""

    own = False

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url.rstrip("/"), key

    def start(self) -> None:
        """It runs."""

    def stop(self) -> None:
        """It is not ours to stop."""

    def close(self) -> None:
        """Leave it."""


class OwnTarget(Target):
    """A server of our own, in a temporary folder: gone when the run is over."""

    own = True

    def __init__(self) -> None:
        super().__init__("", "")
        self._folder = Path(tempfile.mkdtemp(prefix="sluice-load-"))
        os.chmod(self._folder, 0o711)  # noqa: S103 - PostgreSQL is not run by root, and has to reach its own folder below
        self._server = Own(self._folder, WORKERS)

    def start(self) -> None:
        """Start it, or start it again where it was. Raises `OwnError`."""
        self._server.launch()
        self._server.wait()
        self.url, self.key = self._server.url, self._server.key

    def stop(self) -> None:
        """Stop it; what it has stored stays."""
        self._server.stop()

    def close(self) -> None:
        """Stop it, and delete what it has stored."""
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
