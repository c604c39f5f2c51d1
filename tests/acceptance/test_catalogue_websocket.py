"""The catalogue's section on WebSockets, by bytes, against a real server (the cases are in catalogue/websocket.py)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from alerts.live.eventlog import HEAD
from server.local import LocalServices
from tests.acceptance.catalogue.case import KEY, SECRET
from tests.acceptance.catalogue.site import Line, Site, resident_bytes, site
from tests.acceptance.catalogue.websocket import (
    BEFORE_CONNECT,
    CLOSE,
    COMMANDS,
    FRAMES,
    HANDSHAKES,
    NOWHERE,
    PING,
    PONG,
    TEXT,
    WELCOME,
    Answered,
    Closed,
    Refused,
    command,
    frame,
    handshake,
    recover,
)
from tests.conftest import _execute, _url

GROWTH_BYTES = 24 << 20  # of one worker, by anything here


@pytest_asyncio.fixture(scope="module")
async def running(
    services: LocalServices, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """One server for all cases."""
    folder = tmp_path_factory.mktemp("frames")
    await _execute(services, f'CREATE DATABASE "{folder.name}" TEMPLATE "{template}"')
    origins = "https://friend.example, https://other.example"
    async with site(folder, _url(services, folder.name), services.redis_url, allowed_origins=origins) as started:
        yield started


async def next_frame(line: Line, timeout_s: float = 12.0) -> tuple[int, bytes] | None:
    """Opcode and payload of the next frame; None where the connection ended."""
    async with asyncio.timeout(timeout_s):
        try:
            first, size = await line.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await line.reader.readexactly(2))
            elif size == 127:
                size = int.from_bytes(await line.reader.readexactly(8))
            return first & 15, await line.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None


async def replies(line: Line) -> AsyncIterator[dict[str, Any] | int | None]:
    """Replies as they come; then the code of the close frame, or None where there was none."""
    while (found := await next_frame(line)) is not None:
        opcode, payload = found
        if opcode == CLOSE:
            assert SECRET.encode() not in payload
            yield int.from_bytes(payload[:2])
            return
        if opcode == TEXT:
            for each in payload.split(b"\n"):
                yield json.loads(each)
    yield None


@asynccontextmanager
async def upgraded(running: Site, key: bytes | None = KEY) -> AsyncIterator[Line]:
    """A WebSocket, connected with a key unless there is none."""
    async with running.line() as line:
        await running.send(line, handshake())
        answer = await line.answer()
        assert answer is not None
        assert answer.status == 101
        if key is not None:
            await running.send(line, command(1, connect={"token": running.keys[key].decode()}))
            async for reply in replies(line):
                assert isinstance(reply, dict)
                assert "connect" in reply
                break
        yield line


@pytest.mark.parametrize("case", HANDSHAKES, ids=str)
async def test_a_handshake_that_is_refused(running: Site, case: Refused) -> None:
    running.logged()
    async with running.line() as line:
        await running.send(line, case.sent)
        answer = await line.answer()
        assert answer is not None
        assert answer.status == case.status
        assert answer.code()
        assert SECRET.encode() not in answer.body
        assert await line.ended()
    assert [record["status"] for record in running.logged() if record["event"] == "refused"] == [case.status]
    await running.assert_life_goes_on()


@pytest.mark.parametrize("sent", WELCOME)
async def test_a_handshake_that_is_taken(running: Site, sent: bytes) -> None:
    async with running.line() as line:
        await running.send(line, sent)
        answer = await line.answer()
        assert answer is not None
        assert answer.status == 101


@pytest.mark.parametrize("case", [*FRAMES, *BEFORE_CONNECT], ids=str)
async def test_it_is_closed_as_written(running: Site, case: Closed) -> None:
    before = {pid: resident_bytes(pid) for pid in running.pids}
    stored = await running.stored()
    running.logged()
    async with upgraded(running, None if case in BEFORE_CONNECT else KEY) as line:
        await running.send(line, case.sent)
        errors, code = [], None
        async for reply in replies(line):
            if isinstance(reply, dict):
                errors.append(reply["error"]["code"])
                assert SECRET not in json.dumps(reply)
            else:
                code = reply
        # What is closed in the middle of a flood may be reset: then nothing more is heard of it.
        assert code == case.code or (code is None and (len(case.sent) > 16_384 or not case.code)), code
        assert tuple(errors[: len(case.errors)]) == case.errors or code is None
    await asyncio.sleep(0.02)
    records = [record for record in running.logged() if record["event"] == "closed"]
    assert len(records) == 1
    assert records[0]["code"] == (case.code or records[0]["code"])
    assert await running.stored() == stored
    assert all(resident_bytes(pid) - size < GROWTH_BYTES for pid, size in before.items())
    await running.assert_life_goes_on()


@pytest.mark.parametrize("case", COMMANDS, ids=str)
async def test_a_command_is_answered_as_written(running: Site, case: Answered) -> None:
    async with upgraded(running, case.key) as line:
        await running.send(line, case.sent)
        count = case.sent.count(b"\x81")
        last: dict[str, Any] = {}
        async for reply in replies(line):
            assert isinstance(reply, dict)
            last = reply
            count -= 1
            if "error" in reply:
                break
        assert count == 0
        assert last["error"]["code"] == case.error
        assert SECRET not in json.dumps(last)
        await running.send(line, frame(TEXT, b'{"id":999,"ping":{}}'))
        async for reply in replies(line):
            assert reply == {"id": 999, "ping": {}}
            break


@pytest.mark.parametrize(("epoch", "offset"), NOWHERE)
async def test_a_place_that_is_none_is_not_recovered(running: Site, epoch: str, offset: int) -> None:
    real: str = await running.database.fetchval(HEAD)
    async with upgraded(running) as line:
        await running.send(line, recover(9, epoch.replace("the epoch", real), offset))
        async for reply in replies(line):
            assert isinstance(reply, dict)
            assert reply["subscribe"]["recovered"] is False
            assert reply["subscribe"]["epoch"] == real
            break


async def test_what_comes_with_the_handshake_waits_for_it(running: Site) -> None:
    async with running.line() as line:
        connect = command(1, connect={"token": running.keys[KEY].decode()})
        await running.send(line, handshake() + connect + frame(PING, b"x"))
        answer = await line.answer()
        assert answer is not None
        assert answer.status == 101
        found = [await next_frame(line), await next_frame(line)]
        assert sorted(each[0] for each in found if each) == [TEXT, PONG]
