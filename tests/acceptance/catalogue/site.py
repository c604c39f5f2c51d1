"""The server that the catalogue is read to: two workers in processes of their own, and their log in a file."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from schemas.keys import KeyRequest, Scope
from server.keys import KeyRing
from tests.acceptance.catalogue.case import KEY, SECRET, Case, good_request
from tests.acceptance.sluice import environment

STORED = "SELECT (SELECT count(*) FROM readings) + (SELECT coalesce(sum(cardinality(values)), 0) FROM runs)"
WORKERS = 2
SERVING = re.compile(r"serving on http://127.0.0.1:(?P<port>\d+) ")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: an HTTP answer, or nothing before the end of the connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    def code(self) -> str:
        """The code of a problem, which is checked for what all have; empty for a success."""
        if self.status < 300:
            return ""
        assert self.headers["content-type"] == "application/problem+json", self
        assert len(self.body) <= 4_096
        document = json.loads(self.body)
        assert {"type", "title", "status", "code"} <= set(document)
        assert document["status"] == self.status
        return str(document["code"])


class Line:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self, timeout_s: float = 30.0) -> Answer | None:
        """The next answer; None where the connection ended without one."""
        async with asyncio.timeout(timeout_s):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                body = await self.reader.readexactly(int(headers.get("content-length", 0)))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
        return Answer(int(first.split()[1]), headers, body)

    async def ended(self, timeout_s: float = 30.0) -> bool:
        """Whether the other side ends the connection in time; what it still says is dropped."""
        try:
            async with asyncio.timeout(timeout_s):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


@dataclass
class Site:
    """A running server, and how to look behind it."""

    port: int
    log: Path
    database: asyncpg.Connection
    keys: dict[bytes, bytes]
    """What stands for keys in the cases, and those keys."""
    pids: set[int] = field(default_factory=set)
    _read: int = 0

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        """A new connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Line(reader, writer)
        finally:
            writer.transport.abort()

    def filled(self, sent: bytes) -> bytes:
        """The bytes of a case, with real keys."""
        for name, key in self.keys.items():
            sent = sent.replace(name, key)
        return sent

    async def send(self, line: Line, sent: bytes) -> None:
        """Send all of it, or as much as the other side takes before it hangs up."""
        line.writer.write(self.filled(sent))
        with contextlib.suppress(ConnectionError):
            await line.writer.drain()

    async def stored(self) -> int:
        """Readings in the tables."""
        return int(await self.database.fetchval(STORED))

    def logged(self) -> list[dict[str, Any]]:
        """What our own loggers have written since this was asked last."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            lines = file.read().splitlines(keepends=True)
        self._read += sum(len(line) for line in lines if line.endswith(b"\n"))
        records = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [record for record in records if not record["logger"].startswith("uvicorn")]

    async def assert_life_goes_on(self, line: Line | None = None) -> None:
        """The next good request is stored: on this connection, else on a new one. The workers are the same ones."""
        if line is not None:
            await self.send(line, good_request())
            answer = await line.answer()
        else:
            async with self.line() as fresh:
                await self.send(fresh, good_request())
                answer = await fresh.answer()
        assert answer is not None
        assert (answer.status, answer.body) == (200, b'{"accepted":1,"duplicates":0}')
        assert self.all_live(), "a worker ended"

    def all_live(self) -> bool:
        """Whether the workers are those of the beginning."""
        return all(map(_lives, self.pids))

    async def assert_answers(self, case: Case) -> None:
        """What is true of every line of the catalogue is true of this one, and the next good request succeeds."""
        before = await self.stored()
        self.logged()
        for number, sent in enumerate(case.sent):
            async with self.line() as line:
                await self.send(line, sent)
                answer = await line.answer(case.within_s)
                assert answer is not None, "the connection ended without an answer"
                assert (answer.status, answer.code()) == (case.status, case.code), answer.body
                assert SECRET not in _without_places(answer)
                assert SECRET.lower() not in str(answer.headers).lower()
                refusals = [record for record in self.logged() if record["event"] == "refused"]
                assert len(refusals) == (case.status >= 400), refusals
                assert all(record["status"] == case.status for record in refusals)
                assert await self.stored() == before + case.stored + number, "something was stored"
                is_over = answer.headers.get("connection") == "close" or case.status in (413, 431)
                await self.assert_life_goes_on(None if is_over else line)


def _without_places(answer: Answer) -> str:
    """The body, without the one thing in it that comes from the input: the places of faults, of bounded length."""
    document = json.loads(answer.body)
    for fault in document.get("errors", []) if isinstance(document, dict) else []:
        assert all(len(str(step)) <= 64 for step in fault.pop("loc"))
    return json.dumps(document)


@asynccontextmanager
async def site(folder: Path, database_url: str, redis_url: str, **settings: str) -> AsyncIterator[Site]:
    """Start `sluice serve`, and have it stop in the end."""
    variables = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "REDIS_PREFIX": folder.name,
        "LOG_FORMAT": "json",
        "FAREWELL_S": "0",
        **settings,
    }
    log, out = folder / "log", folder / "out"
    with log.open("wb") as stderr, out.open("wb") as stdout:
        process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond
            [sys.executable, "-m", "server.cli", "serve", "--port", "0", "--workers", str(WORKERS)],
            env=environment(**{f"SLUICE_{name.upper()}": value for name, value in variables.items()}),
            stdout=stdout,
            stderr=stderr,
        )
    database = await asyncpg.connect(database_url)
    try:
        port = await _serving_port(process, out)
        running = Site(port, log, database, await _keys(database_url))
        await _meet_workers(running)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 60)
        await database.close()


async def _serving_port(process: subprocess.Popen[bytes], out: Path) -> int:
    async with asyncio.timeout(90):
        while (found := SERVING.search(await asyncio.to_thread(out.read_text))) is None:
            assert process.poll() is None, "see the log beside"
            await asyncio.sleep(0.05)
    return int(found["port"])


async def _keys(database_url: str) -> dict[bytes, bytes]:
    async with asyncpg.create_pool(database_url, min_size=0) as pool:
        ring = KeyRing(pool, time.monotonic, lambda: time.time_ns() // 1_000)
        admin, revoked = [await ring.create(KeyRequest(name=name, scopes=[Scope.ADMIN])) for name in ("a", "b")]
        await ring.revoke(revoked.id)
        bound = await ring.create(KeyRequest(name="d", scopes=[Scope.READ], device_glob="pump-*"))
        expires = {"expires_at": "2020-01-01T00:00:00Z"}
        expired = await ring.create(KeyRequest.model_validate({"name": "c", "scopes": ["admin"], **expires}))
        modest = {"quota_readings_per_s": 1, "name": "e", "scopes": ["ingest"]}
        greedy = await ring.create(KeyRequest.model_validate(modest))
        modest = {"quota_requests_per_s": 1, "name": "f", "scopes": ["ingest"]}
        hasty = await ring.create(KeyRequest.model_validate(modest))
    named = {
        KEY: admin.key,
        b"$GREEDY$": greedy.key,
        b"$HASTY$": hasty.key,
        b"$BOUND$": bound.key,
        b"$ID$": admin.id,
        b"$REVOKED$": revoked.key,
        b"$EXPIRED$": expired.key,
    }
    return {name: key.encode() for name, key in named.items()}


async def _meet_workers(running: Site) -> None:
    """Learn who they are, and have each know the key and the series of a good request."""
    async with asyncio.timeout(90):  # a connection waits where a worker has not started yet
        while len(running.pids) < WORKERS:
            async with running.line() as line:
                await running.send(line, b"GET /readyz HTTP/1.1\r\nHost: sluice\r\n\r\n")
                answer = await line.answer(30)
                if answer is not None and answer.status == 200:
                    await running.assert_life_goes_on(line)
                    running.pids.add(int(answer.headers["x-worker"]))


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def resident_bytes(pid: int) -> int:
    """What a process has in memory of its own."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
