"""The bounds of a connection, byte by byte: pipelining, silence, bodies that come late, upgrades."""

import asyncio

import pytest

from ingest.bounded import MAX_HEAD_BYTES, MAX_WAITING
from schemas.columns import Receipt
from tests.unit.test_express import Door, request


async def closed(door: Door) -> None:
    """Wait until the server hangs up."""
    async with asyncio.timeout(30):
        while not door.wire.closed:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.01)


async def test_an_upgrade_that_we_do_not_offer_is_a_request_like_any_other() -> None:
    upgrade = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    door = Door()
    await door.send(upgrade + request(target=b"GET /healthz", body=b"next"))
    assert door.statuses == [299, 299]
    assert door.wire.written.endswith(b"next")


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
@pytest.mark.parametrize("step", [1, 7, 10_000], ids=["byte by byte", "in pieces", "at once"])
async def test_so_it_is_with_a_body(chunked: bool, step: int) -> None:
    """RFC 9110, 7.8: a server may ignore an upgrade; curl --http2 sends one with every first request."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 5"
    body = b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello"
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\n%b\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" % framing
    sent = (head + body) * 2 + request(target=b"GET /healthz", body=b"next")
    door = Door()
    for place in range(0, len(sent), step):
        await door.send(sent[place : place + step])
    assert door.statuses == [299] * 3
    assert door.wire.written.count(b"hello") == 2
    assert door.wire.written.endswith(b"next")


async def test_nobody_is_connected_to_anywhere() -> None:
    door = Door()
    await door.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]")
    assert door.wire.written.startswith(b"HTTP/1.1 400 ")
    assert door.wire.closed


async def test_small_pipelined_requests_are_parsed_only_as_far_as_they_may_wait() -> None:
    door = Door()
    await door.send(request())
    for _ in range(200):
        door.protocol.data_received(request(target=b"GET /healthz", body=b"") * 5)
    assert len(door.protocol.pipeline) <= MAX_WAITING + 5
    door.hall.handed[0][1](Receipt(1, 0))
    async with asyncio.timeout(10):
        while len(door.statuses) < 1_001:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert door.statuses == [200] + [299] * 1_000


async def test_what_is_not_read_yet_is_not_late() -> None:
    door = Door()
    await door.send(request())
    await door.send(
        request(b"Host: a", b"X-Pad: " + b"x" * 200, target=b"GET /healthz", body=b"") * 300
    )  # cut within a head
    assert door.protocol.flow.full
    await asyncio.sleep(3 * door.protocol.patience.head_s)
    door.hall.handed[0][1](Receipt(1, 0))
    async with asyncio.timeout(30):
        while len(door.statuses) < 301 and not door.wire.closed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert door.statuses == [200] + [299] * 300


async def test_a_body_that_was_answered_early_may_not_come_for_ever() -> None:
    door = Door()
    door.hall.intake.take(1_000)
    await door.send(request()[:-5])
    assert door.statuses == [503]
    assert not door.wire.closed
    await door.send(request()[-5:] + request())
    assert len(door.hall.handed) == 1, "the next request on this connection"
    door.hall.handed[0][1](Receipt(1, 0))
    await door.send(request()[:-5])
    assert door.statuses == [503, 200, 503]
    await closed(door)
    assert door.hall.intake.bytes == 1_000


async def test_who_says_nothing_is_hung_up_on() -> None:
    silent, busy = Door(), Door()
    await busy.send(request())
    await closed(silent)
    assert not busy.wire.closed, "the answer takes longer than a head may"
    busy.hall.handed[0][1](Receipt(1, 0))
    await asyncio.sleep(1.2 * busy.protocol.patience.head_s)
    assert not busy.wire.closed
    await closed(busy)


async def test_a_head_without_end_is_431_and_the_end() -> None:
    door = Door()
    await door.send(b"POST /v1/readings HTTP/1.1\r\nHost: a\r\nX-Long: ")
    await door.send(b"x" * MAX_HEAD_BYTES)
    assert door.statuses == [431]
    assert door.wire.closed


async def test_a_head_of_too_many_headers_is_431_though_it_ends() -> None:
    door = Door()
    await door.send(request(*[b"X-%d: 1234567890" % number for number in range(6_000)]))
    assert door.statuses == [431]
    assert door.wire.closed
    assert not door.hall.handed
