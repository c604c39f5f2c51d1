"""A dashboard's connection to `/ws` (contract §7) for threads or greenlets; it notices what is missed or doubled."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from websockets.sync.client import connect

MAX_FRAME_BYTES = 4 << 20
"""What a recovery may bring at once, and more; the library's own limit of 1 MiB is close to it."""


class RefusedError(Exception):
    """The server answered a command with an error."""


class Watcher:
    """A connection that is subscribed to `alerts`.

    Offsets on that channel are 1, 2, 3 … without gaps, so that one look at each is enough to know that nothing was
    missed and nothing came twice.
    """

    def __init__(self, url: str, token: str, timeout_s: float = 10) -> None:
        """Connect and subscribe; raises `RefusedError`, `TimeoutError`, `OSError` or a `WebSocketException`."""
        parts = urlsplit(url)
        address = urlunsplit(("wss" if parts.scheme == "https" else "ws", parts.netloc, "/ws", "", ""))
        # The server pings by the protocol of its own; the client library's pings would only be noise.
        self._socket = connect(
            address, open_timeout=timeout_s, ping_interval=None, max_size=MAX_FRAME_BYTES, compression=None, proxy=None
        )
        self._waiting: list[dict[str, Any]] = []
        self._timeout_s = timeout_s
        try:
            self._ask(1, {"connect": {"token": token, "name": "load"}})
            self.offset = int(self._ask(2, {"subscribe": {"channel": "alerts"}})["subscribe"].get("offset", 0))
            """Of the last publication."""
        except BaseException:
            self.close()
            raise
        self.skipped = 0
        """Publications that were missed or came again."""

    def publications(self) -> Iterator[dict[str, Any]]:
        """The `data` of every publication as it comes; ends by an exception when the connection does."""
        while True:
            push = self._next(None).get("push", {})
            if (publication := push.get("pub")) is None:
                continue
            offset = int(publication["offset"])
            self.skipped += abs(offset - self.offset - 1)
            self.offset = max(self.offset, offset)
            yield publication["data"]

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _ask(self, number: int, command: dict[str, Any]) -> dict[str, Any]:
        """Send a command and wait for its reply."""
        self._socket.send(json.dumps({"id": number} | command))
        passed = []
        while (reply := self._next(self._timeout_s)).get("id") != number:
            passed.append(reply)
        self._waiting[:0] = passed  # publications may overtake a reply
        if "error" in reply:
            raise RefusedError(f"{next(iter(command))}: {reply['error']}")
        return reply

    def _next(self, timeout_s: float | None) -> dict[str, Any]:
        """The next reply or push. An empty object is the server's ping: it is answered with another."""
        while True:
            while not self._waiting:
                lines = str(self._socket.recv(timeout_s)).split("\n")
                self._waiting = [json.loads(line) for line in lines if line.strip()]
            if reply := self._waiting.pop(0):
                return dict(reply)
            self._socket.send("{}")
