"""The socket under a WebSocket: what the kernel may keep for a client, for how long, and a short way for frames.

uvicorn's send wakes a task, passes three layers and builds the frame for each client anew: 12 µs. Where nothing waits
for a client, its connection writes to the transport itself, the same bytes for all.
"""

import socket
from functools import lru_cache
from typing import Any, cast

from starlette.websockets import WebSocket
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from alerts.live.frames import BoundedFrames

EXTENSION = "sluice.wire"

VANISHED_MS = 8_000
"""Bytes or keepalives without an acknowledgement, or a window that stays shut, for so long: the client has vanished."""

IDLE_S, PROBE_S = 4, 3
"""Of silence before the kernel asks whether the client is there, and between two such questions."""

SEND_BUFFER_BYTES = 128 << 10
"""What the kernel may keep for one client (it takes twice as much, with its own overhead). More would only hide from
us that the client does not read. 64 KiB are as fast, 32 KiB make 1 MiB over loopback take 700 ms instead of 0.1 (by
delayed acknowledgements); so HTTP answers keep the kernel's own choice."""


class Wire(BoundedFrames):
    """uvicorn's WebSocket protocol on a socket with options of ours; the endpoint finds it in the scope."""

    def handle_connect(self, event: Request) -> None:
        """Begin: the upgrade was asked for."""
        super().handle_connect(event)
        if not self.close_sent:
            set_options(self.transport.get_extra_info("socket"))
            cast(dict[str, Any], self.scope["extensions"])[EXTENSION] = self

    def cut(self) -> None:
        """Free the socket at once: what was not sent is lost."""
        self.transport.abort()

    def write(self, text: str) -> bool:
        """Write a text frame at once; False, and nothing is written, where the transport waits for the client."""
        if not self.writable.is_set() or self.close_sent or self.disconnected or self.transport.is_closing():
            return False  # the queue's turn: its writer finds out what is wrong
        self.transport.write(encode_frame(text))
        return True


@lru_cache(maxsize=8)
def encode_frame(text: str) -> bytes:
    """A text frame as a server sends it, unmasked; kept, as many clients get the same one after the other."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def set_options(endpoint: socket.socket) -> None:
    """Set what the platform has of the options."""
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_USER_TIMEOUT", VANISHED_MS),
        ("TCP_KEEPIDLE", IDLE_S),
        ("TCP_KEEPINTVL", PROBE_S),
    ):
        if (option := getattr(socket, name, None)) is not None:
            endpoint.setsockopt(socket.IPPROTO_TCP, option, value)


def wire_of(websocket: WebSocket) -> Wire | None:
    """The protocol under a WebSocket, if it is ours."""
    found = websocket.scope.get("extensions", {}).get(EXTENSION)
    return found if isinstance(found, Wire) else None
