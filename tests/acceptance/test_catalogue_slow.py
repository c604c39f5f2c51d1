"""The catalogue's lines about time and amount: who is slow, silent, endless or many costs little, and not for long."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.local import LocalServices
from tests.acceptance.catalogue.case import DOORS, JSON, batch, good_request, head
from tests.acceptance.catalogue.site import Line, Site, resident_bytes, site
from tests.conftest import _execute, _url

PIPELINED = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Pad: " + b"x" * 2_000 + b"\r\n\r\n"
HASTE_S = 0.8
"""Stands for the ten seconds that a head and a body may take."""
MARGIN_S = 20.0
"""On a busy machine; a body that is judged by its route has a second more besides."""
POST = b"POST /v1/readings"
JSON_LINE = JSON.removesuffix(b"\r\n")
SETTINGS = {"head_s": HASTE_S, "receive_s": HASTE_S, "idle_s": 3 * HASTE_S}


@pytest_asyncio.fixture(scope="module")
async def running(
    services: LocalServices, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """A server in a hurry."""
    folder = tmp_path_factory.mktemp("slow")
    await _execute(services, f'CREATE DATABASE "{folder.name}" TEMPLATE "{template}"')
    settings = {name: str(value) for name, value in SETTINGS.items()}
    async with site(folder, _url(services, folder.name), services.redis_url, **settings) as started:
        yield started


async def trickle(line: Line, data: bytes) -> None:
    """Send byte after byte, more often than anybody loses patience, until nobody is there."""
    try:
        for place in range(len(data)):
            line.writer.write(data[place : place + 1])
            await line.writer.drain()
            await asyncio.sleep(HASTE_S / 10)
    except ConnectionError:
        pass


@pytest.mark.parametrize("sent", [b"", b"\r\n" * 400], ids=["nothing", "empty lines"])
async def test_who_says_nothing_is_closed(running: Site, sent: bytes) -> None:
    async with running.line() as line:
        began = time.monotonic()
        sending = asyncio.create_task(trickle(line, sent))
        assert await line.ended(HASTE_S + MARGIN_S)
        assert time.monotonic() - began > HASTE_S * 0.9
        sending.cancel()
    await running.assert_life_goes_on()


@pytest.mark.parametrize("is_first", [True, False], ids=["the first request", "a later one"])
async def test_a_head_that_trickles_is_408_and_the_end(running: Site, is_first: bool) -> None:
    async with running.line() as line:
        if not is_first:
            await running.assert_life_goes_on(line)
        sending = asyncio.create_task(trickle(line, b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 100))
        answer = await line.answer(HASTE_S + MARGIN_S)
        assert answer is not None
        assert (answer.status, answer.code()) == (408, "head_too_slow")
        assert await line.ended()
        sending.cancel()
    await running.assert_life_goes_on()


async def test_a_body_that_trickles_is_408(running: Site) -> None:
    """Whichever door, and whether or not its length is known; all at once, since each of them waits."""
    before = await running.stored()
    running.logged()

    async def trickles(target: bytes, kind: bytes) -> None:
        async with running.line() as line:
            await running.send(line, head(JSON_LINE, kind, target=target))
            sending = asyncio.create_task(trickle(line, b"1\r\n[\r\n" * 100))
            answer = await line.answer(HASTE_S + 1 + MARGIN_S)
            assert answer is not None
            assert (answer.status, answer.code()) == (408, "body_too_slow"), (target, kind)
            assert await line.ended(HASTE_S + 1 + MARGIN_S), "the rest of the body may come for ever"
            sending.cancel()

    targets = [*(b"POST " + door for door in DOORS), b"POST /v1/rules"]
    kinds = [b"Content-Length: 500", b"Transfer-Encoding: chunked"]
    cases = list(itertools.product(targets, kinds))
    await asyncio.gather(*(trickles(*case) for case in cases))
    assert [record["status"] for record in running.logged() if record["event"] == "refused"] == [408] * len(cases)
    assert await running.stored() == before
    await running.assert_life_goes_on()


async def test_who_was_answered_may_be_idle_for_longer_and_not_for_ever(running: Site) -> None:
    async with running.line() as line:
        await running.assert_life_goes_on(line)
        await asyncio.sleep(1.2 * HASTE_S)
        await running.assert_life_goes_on(line)
        assert await line.ended(3 * HASTE_S + MARGIN_S)


@pytest.mark.parametrize("door", DOORS)
async def test_an_end_before_the_length_stores_nothing(running: Site, door: bytes) -> None:
    before = await running.stored()
    body = json.dumps(batch()).encode()
    async with running.line() as line:
        await running.send(
            line, head(JSON_LINE, b"Content-Length: %d" % (len(body) + 1), target=b"POST " + door) + body
        )
        line.writer.write_eof()
        assert await line.ended()
    assert await running.stored() == before
    await running.assert_life_goes_on()


async def test_ten_thousand_pipelined_requests_take_bounded_memory(running: Site) -> None:
    """All are answered, in order, though they are sent before any answer is read."""
    before = {pid: resident_bytes(pid) for pid in running.pids}
    async with running.line() as line:
        most = 0
        sending = asyncio.create_task(running.send(line, PIPELINED * 10_000 + good_request()))
        for number in range(10_000):
            answer = await line.answer(20)
            assert answer is not None
            assert answer.status == 200
            if number % 500 == 0:
                most = max(most, *(resident_bytes(pid) - size for pid, size in before.items()))
        await sending
        answer = await line.answer()
        assert answer is not None
        assert answer.body == b'{"accepted":1,"duplicates":0}'
    assert most < 16 << 20
    await running.assert_life_goes_on()
