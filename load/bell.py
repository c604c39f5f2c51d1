"""What a message costs Redis, by how many hear it."""

import asyncio
from urllib.parse import unquote, urlsplit

from load.bench.sluice import Sluice

CHANNEL = b"model"
MESSAGE = b"x" * 300  # about what an alert's event takes
MESSAGES = 20_000


async def message_us(subject: Sluice, redis_url: str, listeners: int) -> float:
    """CPU µs of Redis for a message that so many connections hear."""
    parts = urlsplit(redis_url)
    hearing = [await _connected(parts.hostname or "", parts.port or 6379, parts.password) for _ in range(listeners)]
    reader, writer = await _connected(parts.hostname or "", parts.port or 6379, parts.password)
    for _, ear in hearing:
        ear.write(b"SUBSCRIBE %b\r\n" % CHANNEL)
    drained = [asyncio.create_task(_drain(told)) for told, _ in hearing]
    await asyncio.sleep(0.5)
    before = subject.meter.read()
    for _ in range(MESSAGES):  # one at a time, as events come: each is written to each socket by itself
        writer.write(b"PUBLISH %b %b\r\n" % (CHANNEL, MESSAGE))
        if int((await reader.readline())[1:]) != listeners:
            raise ConnectionError("somebody does not listen any more")
    used = subject.meter.read().since(before).parts["redis"]
    for task in drained:
        task.cancel()
    for _, ear in [*hearing, (reader, writer)]:
        ear.close()
    return used / MESSAGES * 1e6


async def _connected(host: str, port: int, password: str | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, port)
    if password:
        writer.write(b"AUTH %b\r\n" % unquote(password).encode())
        if await reader.readline() != b"+OK\r\n":
            raise ConnectionError("Redis refuses the password of its URL")
    return reader, writer


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 20):
        pass
