"""A reading goes in, an alert comes out. Run by the host's Python, or by the one inside of a container (`python -`).

It knows nothing but aiohttp and a URL; the key is in SLUICE_KEY. Every line that it prints is JSON.

    visitor.py rule URL PREFIX               a rule about all devices that begin with PREFIX
    visitor.py listen URL PREFIX COUNT       hears alerts of so many of them on /ws
    visitor.py send URL PREFIX COUNT [FROM]  has them send a good reading and a bad one
    visitor.py stored URL -                  says how many batches this node has stored
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

import aiohttp

PATIENCE_S = 60.0
LINGER_S = 1.0
"""After the last alert, for one that comes twice."""


def tell(**what: Any) -> None:
    """One line."""
    print(json.dumps(what), flush=True)  # noqa: T201


async def rule(http: aiohttp.ClientSession, prefix: str) -> None:
    """Make a rule."""
    levels = [{"severity": "warning", "above": 70, "clear": 65}]
    document = {"name": f"Overheating of {prefix}", "device": f"{prefix}*", "metric": "temperature"}
    document |= {"condition": {"type": "threshold", "levels": levels}}  # type: ignore[dict-item]
    async with http.post("/v1/rules", json=document) as response:
        tell(status=response.status, body=await response.json())


async def send(http: aiohttp.ClientSession, prefix: str, count: int, first: int) -> None:
    """Each device sends two readings, of which the second breaks the rule."""
    answers: dict[str, int] = {}
    at = {}
    for number in range(first, first + count):
        device = f"{prefix}-{number}"
        for value in (50.0, 75.0):
            reading = {"ts": time.time_ns() // 1_000_000, "metric": "temperature", "value": value}
            at[device] = time.time()
            async with http.post("/v1/readings", json={"device": device, "readings": [reading]}) as response:
                answers[str(response.status)] = answers.get(str(response.status), 0) + 1
            await asyncio.sleep(0.002)  # so that the next one is later
    tell(answers=answers, at=at)


async def listen(http: aiohttp.ClientSession, prefix: str, count: int) -> None:
    """Hear so many alerts, each once; says for each device when."""
    heard: dict[str, float] = {}
    offsets: list[int] = []
    async with http.ws_connect("/ws") as socket:
        await socket.send_json({"id": 1, "connect": {"token": os.environ["SLUICE_KEY"]}})
        await socket.send_json({"id": 2, "subscribe": {"channel": "alerts"}})
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(heard) < count:
                    await hear(socket, prefix, heard, offsets)
            async with asyncio.timeout(LINGER_S):
                while True:
                    await hear(socket, prefix, heard, offsets)
        except TimeoutError:
            pass
    tell(at=heard, doubled=len(offsets) - len(set(offsets)), ascending=offsets == sorted(offsets))


async def hear(
    socket: aiohttp.ClientWebSocketResponse, prefix: str, heard: dict[str, float], offsets: list[int]
) -> None:
    """Take one frame, which may hold several replies."""
    text: str = await socket.receive_str()
    if text == "{}":
        await socket.send_str("{}")
        return
    for line in text.splitlines():
        reply = json.loads(line)
        if "error" in reply:
            raise SystemExit(f"refused: {line}")
        if reply.get("id") == 2:
            tell(listening=True)
        publication = reply.get("push", {}).get("pub")
        if publication and publication["data"]["alert"]["device"].startswith(prefix):
            offsets.append(publication["offset"])
            heard[publication["data"]["alert"]["device"]] = time.time()


async def stored(http: aiohttp.ClientSession) -> None:
    """By its metrics."""
    async with http.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    tell(batches=sum(float(line.split()[-1]) for line in lines if line.startswith("sluice_batches_stored_total")))


async def main(errand: str, url: str, prefix: str, count: str = "1", first: str = "0") -> None:
    """Do one errand."""
    headers = {"Authorization": f"Bearer {os.environ['SLUICE_KEY']}"}
    async with aiohttp.ClientSession(url, headers=headers, timeout=aiohttp.ClientTimeout(PATIENCE_S)) as http:
        match errand:
            case "rule":
                await rule(http, prefix)
            case "listen":
                await listen(http, prefix, int(count))
            case "send":
                await send(http, prefix, int(count), int(first))
            case "stored":
                await stored(http)
            case _:
                raise SystemExit(__doc__)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
