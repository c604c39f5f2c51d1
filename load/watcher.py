"""A dashboard's connection to `/ws` (contract §7) for threads or greenlets; it notices what is missed or doubled."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from websockets.sync.client import connect

MAX_FRAME_BYTES = 4 << 20
"""What a recovery may bring at once, and more; the library's own limit of 1 MiB is close to it."""


class RefusedError(Exception):
    """The server answered a command with an error."""


class Place(NamedTuple):
    """How far a dashboard has heard: what it says when it comes back."""

    epoch: str
    offset: int


class Watcher:
    """A connection that is subscribed to `alerts`.

    Offsets on that channel are 1, 2, 3 … without gaps, so that one look at each is enough to know that nothing was
    missed and nothing came twice.
    """

    def __init__(self, url: str, token: str, timeout_s: float = 10, back_at: Place | None = None) -> None:
        """Connect and subscribe, from a place on where it was heard up to there.

        Raises `RefusedError`, `TimeoutError`, `OSError` or a `WebSocketException`.
        """
        parts = urlsplit(url)
        address = urlunsplit(("wss" if parts.scheme == "https" else "ws", parts.netloc, "/ws", "", ""))
        # The server pings by the protocol of its own; the client library's pings would only be noise.
        self._socket = connect(
            address, open_timeout=timeout_s, ping_interval=None, max_size=MAX_FRAME_BYTES, compression=None, proxy=None
        )
        self._waiting: list[dict[str, Any]] = []
        self._timeout_s = timeout_s
        self.missed = 0
        """Publications that did not come, so far."""
        self.repeated = 0
        """Publications that came again."""
        try:
            self._ask(1, {"connect": {"token": token, "name": "load"}})
            self._subscribe(back_at)
        except BaseException:
            self.close()
            raise

    def _subscribe(self, back_at: Place | None) -> None:
        channel: dict[str, Any] = {"channel": "alerts"}
        if back_at is not None:
            channel |= {"recover": True, "epoch": back_at.epoch, "offset": back_at.offset}
        told = self._ask(2, {"subscribe": channel})["subscribe"]
        self.epoch = str(told.get("epoch", ""))
        self.offset = int(told.get("offset", 0))
        """Of the last publication."""
        if back_at is not None and told.get("recovered"):
            self.offset = back_at.offset
            self._waiting[:0] = [{"push": {"pub": each}} for each in told.get("publications", [])]
        elif back_at is not None:
            self.missed += 1  # nobody knows how many

    @property
    def place(self) -> Place:
        """Where to come back to."""
        return Place(self.epoch, self.offset)

    def publications(self, patience_s: float | None = None) -> Iterator[dict[str, Any]]:
        """The `data` of every publication as it comes; ends by an exception when the connection does, and by
        `TimeoutError` where nothing comes for so long."""
        while True:
            push = self._next(patience_s).get("push", {})
            if (publication := push.get("pub")) is None:
                continue
            offset = int(publication["offset"])
            self.missed += max(0, offset - self.offset - 1)
            self.repeated += offset <= self.offset
            self.offset = max(self.offset, offset)
            yield publication["data"]

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def drop(self) -> None:
        """Leave without a word, as one whose network is gone."""
        with suppress(OSError):
            self._socket.socket.shutdown(socket.SHUT_RDWR)
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
