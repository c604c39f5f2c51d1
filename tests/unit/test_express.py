"""The express door, byte by byte: which way a request goes, and what comes back on the same connection."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from ingest.admission import Crowd
from ingest.body import BodyLimits
from ingest.express import ExpressProtocol
from ingest.intake import Intake
from ingest.patience import Patience
from ingest.waiting import Outcome
from schemas.columns import Receipt
from schemas.errors import Unknown
from schemas.keys import Principal, Scope

BODY = b'{"device":"a","readings":[]}'
PRINCIPAL = Principal("id", "name", frozenset({Scope.INGEST}))


class Wire(asyncio.Transport):
    """What the protocol writes, and whether it hung up."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Hall:
    """A corridor that keeps what is handed over until the test answers."""

    class _Refused:
        def labels(self, *_: object) -> "Hall._Refused":
            return self

        def inc(self) -> None: ...

    class _Metrics:
        def __init__(self) -> None:
            self.refused = Hall._Refused()

    def __init__(self) -> None:
        self.body_limits = BodyLimits(receive_s=0.5)
        self.intake = Intake(1_000)
        self.metrics = Hall._Metrics()
        self.admits = self.takes = True
        self.crowd = Crowd()
        self.handed: list[tuple[bytes, Callable[[Outcome], None]]] = []

    def admit_at_once(self, key: str) -> Principal | None:
        return PRINCIPAL if self.admits and key == "slk_a_b" else None

    def crowded(self) -> None:
        return None

    def write_at_once(self, _: Principal, encoding: str, body: bytes, reply: Any, foreign: Any = None) -> bool:
        if self.takes:
            self.foreign = foreign
            self.handed.append((body, reply))
        return self.takes


async def long_way(scope: Any, receive: Any, send: Any) -> None:
    """The app: says that it was asked, and what it was sent."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 299, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Hasty(ExpressProtocol):
    """A door without patience."""

    patience = Patience(head_s=0.3, body_s=0.3, idle_s=1.0)


async def turns() -> None:
    """Let the loop turn often enough for all that is to be done; by the clock, a busy machine might turn it once."""
    for _ in range(50):
        await asyncio.sleep(0)


class Door:
    """One connection to the door."""

    def __init__(self) -> None:
        self.hall, self.wire = Hall(), Wire()
        config = Config(cast(Any, long_way), log_config=None)
        self.protocol = Hasty(config, ServerState(), {"corridor": self.hall}, asyncio.get_running_loop())
        self.protocol.connection_made(self.wire)

    async def send(self, data: bytes) -> None:
        self.protocol.data_received(data)
        await turns()

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.wire.written.split(b"HTTP/1.1 ")[1:]]


def request(*headers: bytes, target: bytes = b"POST /v1/readings", body: bytes = BODY) -> bytes:
    usual = (b"Host: a", b"Authorization: Bearer slk_a_b", b"Content-Type: application/json")
    lines = (target + b" HTTP/1.1", *(headers or usual), b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_a_plain_request_is_answered_by_its_callback() -> None:
    door = Door()
    await door.send(request())
    assert door.wire.written == b""
    ((body, reply),) = door.hall.handed
    assert body == BODY
    reply(Receipt(2, 1))
    assert door.statuses == [200]
    assert door.wire.written.endswith(b'\r\n\r\n{"accepted":2,"duplicates":1}')
    await door.send(request())
    assert len(door.hall.handed) == 2
    assert not door.wire.closed


async def test_a_body_may_come_in_pieces() -> None:
    door = Door()
    whole = request()
    for place in range(len(whole)):
        door.protocol.data_received(whole[place : place + 1])
    assert [body for body, _ in door.hall.handed] == [BODY]


@pytest.mark.parametrize(
    "headers",
    [
        (b"Host: a", b"Authorization: Bearer slk_wrong_b", b"Content-Type: application/json"),
        (b"Host: a", b"X-API-Key: slk_a_b", b"Content-Type: application/json"),
        (b"Host: a", b"Authorization: Bearer slk_a_b", b"Content-Type: text/plain"),
        (b"Host: a", b"Authorization: Bearer slk_a_b"),
        (b"Host: a", b"Authorization: Bearer slk_a_b", b"Content-Type: application/json", b"Content-Encoding: br"),
        (b"Host: a", b"Authorization: Bearer slk_a_b", b"Content-Type: application/json", b"X-Request-Id: a b"),
        (b"Host: a", b"Authorization: Bearer x", b"Authorization: Bearer slk_a_b", b"Content-Type: application/json"),
        (b"Host: a", b"Authorization: Bearer slk_a_b", b"Content-Type: text/plain", b"Content-Type: application/json"),
    ],
)
async def test_what_is_not_plain_goes_the_long_way(headers: tuple[bytes, ...]) -> None:
    door = Door()
    await door.send(request(*headers))
    assert door.statuses == [299]
    assert door.wire.written.endswith(BODY)
    assert not door.hall.handed


@pytest.mark.parametrize("target", [b"POST /v1/readings?partial=true", b"PUT /v1/readings", b"POST /v1/rules"])
async def test_other_targets_go_the_long_way(target: bytes) -> None:
    door = Door()
    await door.send(request(target=target))
    assert door.statuses == [299]


async def test_what_the_corridor_will_not_take_goes_the_long_way_whole() -> None:
    door = Door()
    door.hall.takes = False
    await door.send(request())
    assert door.statuses == [299]
    assert door.wire.written.endswith(BODY)


async def test_pipelined_requests_are_answered_in_order() -> None:
    door = Door()
    await door.send(request() + request(target=b"GET /healthz", body=b"second") + request(body=b"third!"))
    assert len(door.hall.handed) == 1
    assert door.statuses == []
    door.hall.handed[0][1](Receipt(1, 0))
    await turns()
    assert door.statuses == [200, 299, 299]
    assert (
        door.wire.written.index(b"accepted") < door.wire.written.index(b"second") < door.wire.written.index(b"third!")
    )


async def test_an_unknown_outcome_is_a_problem_document() -> None:
    door = Door()
    await door.send(request())
    door.hall.handed[0][1](Unknown())
    assert door.statuses == [504]
    assert b"application/problem+json" in door.wire.written
    assert b"x-request-id: " in door.wire.written


async def test_a_sender_that_left_is_not_written_to() -> None:
    door = Door()
    await door.send(request())
    door.protocol.connection_lost(None)
    door.hall.handed[0][1](Receipt(1, 0))
    assert door.wire.written == b""


async def test_a_body_that_does_not_come_is_408_and_the_end() -> None:
    door = Door()
    await door.send(request()[:-5])
    async with asyncio.timeout(30):
        while not door.wire.closed:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.01)
    assert door.statuses == [408]
    assert not door.hall.handed


async def test_garbage_behind_an_unanswered_request_gets_no_status_but_ends_the_connection() -> None:
    door = Door()
    await door.send(request() + b"\x00garbage\r\n\r\n")
    await door.send(request())
    assert door.statuses == []
    ((_, reply),) = door.hall.handed
    reply(Receipt(1, 0))
    assert door.statuses == [200]
    assert b"connection: close" in door.wire.written
    assert door.wire.closed


async def test_a_shutdown_in_the_middle_lets_the_request_end() -> None:
    for takes in (True, False):
        door = Door()
        door.hall.takes = takes
        await door.send(request()[:-5])
        door.protocol.shutdown()
        assert not door.wire.closed
        await door.send(request()[-5:])
        for _, reply in door.hall.handed:
            reply(Receipt(1, 0))
        assert b"connection: close" in door.wire.written
        assert door.wire.closed


async def test_one_who_does_not_read_is_not_written_to_without_end() -> None:
    door = Door()
    door.protocol.pause_writing()
    await door.send(request())
    assert not door.hall.handed
    door.protocol.resume_writing()  # the long way waited for this
    await turns()
    assert door.statuses == [299]
