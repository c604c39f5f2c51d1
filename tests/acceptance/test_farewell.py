"""SIGTERM while a fleet sends: every request that was sent is answered, and nobody meets a reset."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

import asyncpg
import pytest

from tests.acceptance.catalogue.case import reading
from tests.conftest import Server, StartServer

DEVICES = 40
RUNS = 3


@dataclass
class Fleet:
    """What became of the requests of a fleet that keeps its connections."""

    answers: list[int] = field(default_factory=list)
    accepted: int = 0
    cut: list[str] = field(default_factory=list)
    """Requests that were sent, and not answered."""


async def device(server: Server, number: int, fleet: Fleet, pause_s: float) -> None:
    """Send one request after the other on one connection, a new one where the server closes it, until none is taken."""
    host, port = server.url.removeprefix("http://").split(":")
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return  # refused before anything was sent: the service has gone
        with contextlib.closing(writer):
            if not await _send_until_told(server, number, fleet, reader, writer, pause_s):
                return


async def _send_until_told(
    server: Server,
    number: int,
    fleet: Fleet,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    pause_s: float,
) -> bool:
    for _ in range(10_000):
        body = json.dumps({"device": f"d-{number}", "readings": [reading(metric="m")]}).encode()
        head = f"POST /v1/readings HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {server.admin_key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
            document = json.loads(await reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError) as error:
            fleet.cut.append(repr(error))
            return False
        fleet.answers.append(int(answer.split()[1]))
        fleet.accepted += document.get("accepted", 0)
        if "connection: close" in answer:
            return True
        await asyncio.sleep(pause_s)
    return False


@pytest.mark.parametrize("pause_s", [0, 0.3], ids=["a busy fleet", "one that is mostly idle"])
async def test_no_request_is_cut(start_server: StartServer, pause_s: float) -> None:
    fleet = Fleet()
    server = await start_server(workers=2, farewell_s=1.5)
    sending = [asyncio.create_task(device(server, number, fleet, pause_s)) for number in range(DEVICES)]
    async with asyncio.timeout(30):
        while not fleet.answers:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    began = asyncio.get_running_loop().time()
    await server.supervisor.__aexit__(None, None, None)
    assert asyncio.get_running_loop().time() - began < 15  # ten are promised, and five for a machine that is busy
    await asyncio.wait_for(asyncio.gather(*sending), 30)
    assert not fleet.cut, fleet.cut
    assert set(fleet.answers) <= {200, 503}
    connection = await asyncpg.connect(server.database_url)
    stored = await connection.fetchval(
        "SELECT (SELECT count(*) FROM readings) + (SELECT coalesce(sum(cardinality(values)), 0) FROM runs)"
    )
    await connection.close()
    assert stored == fleet.accepted
