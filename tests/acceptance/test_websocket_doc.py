"""docs/websocket.md, sent to a server line by line; and whether it names every error and every close there is."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alerts.live import protocol
from alerts.live.commands import ReplyError
from alerts.live.protocol import Disconnect
from tests.acceptance.test_openapi import RULE, fits, raise_alert, shape
from tests.conftest import Server, StartServer

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "websocket.md").read_text()
BLOCKS = re.findall(r"```\n(.*?)```", DOCUMENT, re.DOTALL)


class Line:
    """A WebSocket, and what came on it that nobody has asked for yet."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self._came = socket, list[Any]()

    async def next(self) -> Any:
        """The next reply or push."""
        while not self._came:
            lines = (await self.socket.receive_str(timeout=30)).split("\n")
            self._came += [reply for each in lines if (reply := json.loads(each))]
            if "{}" in lines:
                await self.socket.send_str("{}")
        return self._came.pop(0)


async def measure(server: Server, value: float) -> None:
    """Store a reading of the device that the document watches."""
    reading = {"ts": time.time_ns() // 1_000_000, "metric": "temperature", "value": value}
    assert (await server.write({"device": "pump-7", "labels": {"site": "A"}, "readings": [reading]}))[0] == 200


async def follow(server: Server, line: Line, block: str, places: dict[str, str]) -> None:
    """Send what a block sends, and compare what comes with what it shows."""
    for each in block.splitlines():
        text = each[2:]
        for name, value in places.items():
            text = text.replace(name, value)
        if each.startswith("→"):
            await line.socket.send_str(text)
            continue
        assert each.startswith("←"), each
        shown = json.loads(text)
        if "firing" in each:
            await raise_alert(server)
        if '"readings": [' in each:
            await measure(server, 81.5)
        came = await line.next()
        while "push" in came and "push" not in shown:  # what follows an answer comes when it comes
            came = await line.next()
        assert came.get("id") == shown.get("id")
        assert "publications" in str(shown) or fits(shape(came), shape(shown)), f"{came}\n{shown}"
        assert came.get("error") == shown.get("error")
        if epoch := came.get("subscribe", {}).get("epoch"):
            places["$EPOCH"] = epoch
        if "publications" in str(shown):
            assert came["subscribe"]["publications"][0]["offset"] == 1
            assert came["subscribe"].keys() == shown["subscribe"].keys()


async def test_what_it_shows_is_what_comes(start_server: StartServer) -> None:
    server = await start_server(workers=1)
    assert (await server.call("POST", "/v1/rules", RULE))[0] == 201
    await measure(server, 21.5)
    _, token = await server.call("POST", "/v1/tokens")
    places = {"$KEY": server.admin_key, "$TOKEN": token["token"]}
    connects = [place for place, block in enumerate(BLOCKS) if '"connect"' in block]
    assert len(BLOCKS) >= 7
    async with (
        server.http.ws_connect(f"{server.url}/ws") as by_key,
        server.http.ws_connect(f"{server.url}/ws") as by_token,
    ):
        await follow(server, Line(by_key), BLOCKS[connects[0]], places)
        line = Line(by_token)
        for block in BLOCKS[connects[1] :]:
            async with asyncio.timeout(60):
                await follow(server, line, block, places)


@pytest.mark.parametrize("kind", [ReplyError, Disconnect])
def test_it_names_all_that_can_go_wrong(kind: type) -> None:
    codes = {
        each.code
        for each in vars(protocol).values()
        if isinstance(each, ReplyError | Disconnect) and type(each) is kind
    }
    named = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", DOCUMENT, re.MULTILINE) for code in row.split(", ")}
    assert codes - {protocol.CONNECTION_CLOSED.code} == {
        code for code in named if (code < 1_000) is (kind is ReplyError)
    } - {
        1002,
        1007,
        1009,
    }
