"""A bare WebSocket on `/ws`: the two lines of the contract, and how it ends."""

import itertools
import json
from typing import Any, Self

import aiohttp

from tests.conftest import Server


class Socket:
    """One connection; what it is told is read as it is asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(2)

    @classmethod
    async def open(
        cls,
        server: Server,
        key: str,
        http: aiohttp.ClientSession | None = None,
        headers: dict[str, str] | None = None,
    ) -> Self:
        """Connect with a key, which need not be a good one."""
        opened = cls(await (http or server.http).ws_connect(f"{server.url}/ws", headers=headers))
        await opened._socket.send_str(json.dumps({"id": 1, "connect": {"token": key}}))
        return opened

    async def connected(self) -> Self:
        """Wait for the answer to `connect`."""
        answer = json.loads(await self._socket.receive_str(timeout=10))
        assert answer["connect"]["client"], answer
        return self

    async def subscribe(self, channel: str) -> int | None:
        """Subscribe; gives the code of the error, or None."""
        number = next(self._ids)
        await self._socket.send_str(json.dumps({"id": number, "subscribe": {"channel": channel}}))
        while True:
            for line in (await self._socket.receive_str(timeout=10)).split("\n"):
                reply: dict[str, Any] = json.loads(line)
                if reply.get("id") == number:
                    return reply["error"]["code"] if "error" in reply else None

    async def close(self) -> None:
        """Leave."""
        await self._socket.close()

    async def closed(self, patience_s: float = 10.0) -> int:
        """Wait for the server to close; gives the code."""
        while True:
            message = await self._socket.receive(timeout=patience_s)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                assert self._socket.close_code is not None
                return self._socket.close_code
