"""The sending device against a server that answers from a script: every row of the contract's status table."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from load.batch import Batch, Layout
from load.device import Device, KeyRefusedError, Tally
from load.ledger import Ledger
from load.verdict import MAX_RETRY_AFTER_S, Backoff, retry_after_s
from schemas.columns import Receipt

T0 = 1_795_428_000_000_000
BATCH = Batch("pump-7", [T0, T0 + 1_000], {"temperature": [21.5, None], "running": [True, False]}, {"site": "A"})

Step = int | str | web.Response
"""A status, "cut" for a connection that breaks after the body was read, or a whole answer."""


@dataclass
class Script:
    """A server that plays its steps, then says yes to everything, and remembers what it was sent."""

    steps: list[Step] = field(default_factory=list)
    url: str = ""
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        document = json.loads(await request.read())
        self.bodies.append(document)
        self.headers.append(dict(request.headers))
        self.at.append(time.monotonic())
        step = self.steps.pop(0) if self.steps else 200
        if isinstance(step, web.Response):
            return step
        if step == "cut":
            assert request.transport is not None
            request.transport.abort()
        if step == 200:
            return web.json_response({"accepted": count(document), "duplicates": 0})
        return web.json_response({"title": "No."}, status=step if isinstance(step, int) else 500)


def count(document: Any) -> int:
    """How many readings a body holds."""
    if isinstance(document, list):
        return sum(map(count, document))
    if "readings" in document:
        return len(document["readings"])
    return sum(cell is not None for cells in document["values"].values() for cell in cells)


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    script = Script()
    app = web.Application()
    app.router.add_post("/v1/readings", script.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    script.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield script
    await runner.cleanup()


MakeDevice = Callable[..., Device]


@pytest.fixture
async def make_device(script: Script) -> AsyncIterator[MakeDevice]:
    async with aiohttp.ClientSession() as session:
        yield lambda **kwargs: Device(
            session, script.url, "slk_id_secret", **({"backoff": Backoff(first_s=0.001, most_s=0.01)} | kwargs)
        )


async def test_200_is_the_end_of_a_batch(script: Script, make_device: MakeDevice) -> None:
    ledger = Ledger()
    device = make_device(on_receipt=ledger.note)
    assert await device.send([BATCH]) == Receipt(3, 0)
    assert len(script.bodies) == 1
    assert script.headers[0]["Authorization"] == "Bearer slk_id_secret"
    assert device.tally == Tally(requests=1, acknowledged=3)
    assert (len(ledger), ledger.accepted, ledger.miscounted) == (3, 3, 0)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, "cut"])
async def test_the_same_batch_is_sent_again(script: Script, make_device: MakeDevice, status: Step) -> None:
    script.steps = [status, status, status]
    device = make_device()
    assert (await device.send([BATCH])).accepted == 3
    assert len(script.bodies) == 4
    assert all(body == script.bodies[0] for body in script.bodies)
    assert (device.tally.retried, device.tally.acknowledged, device.tally.dropped) == (3, 3, 0)
    assert device.trouble is None


async def test_a_200_without_a_receipt_acknowledges_nothing(script: Script, make_device: MakeDevice) -> None:
    script.steps = [web.Response(text="<h1>Welcome to the hotel's network</h1>")]
    device = make_device()
    assert (await device.send([BATCH])).accepted == 3
    assert (len(script.bodies), device.tally.acknowledged) == (2, 3)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_waited_for(script: Script, make_device: MakeDevice, status: int) -> None:
    script.steps = [web.json_response({}, status=status, headers={"Retry-After": "1"})]
    await make_device().send([BATCH])
    assert 1 <= script.at[1] - script.at[0] < 2


@pytest.mark.parametrize("status", [400, 404, 415, 422, 301])
async def test_what_will_never_be_taken_is_dropped_and_reported(
    script: Script, make_device: MakeDevice, status: int
) -> None:
    script.steps = [status]
    troubles: list[str] = []
    device = make_device(on_trouble=troubles.append)
    assert await device.send([BATCH]) == Receipt(0, 0)
    assert len(script.bodies) == 1
    assert (device.tally.dropped, device.tally.acknowledged) == (3, 0)
    assert len(troubles) == 1
    assert f"pump-7: 3 readings refused, {status}" in troubles[0]
    assert (await device.send([BATCH])).accepted == 3, "the next batch has its own chance"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_stops_the_device(script: Script, make_device: MakeDevice, status: int) -> None:
    script.steps = [status]
    device = make_device()
    for _ in range(2):
        with pytest.raises(KeyRefusedError, match=str(status)):
            await device.send([BATCH])
    assert len(script.bodies) == 1, "a stopped device is silent"
    assert device.stopped is not None


async def test_a_request_that_is_too_large_is_split_in_order(script: Script, make_device: MakeDevice) -> None:
    ledger = Ledger()
    device = make_device(on_receipt=ledger.note)
    batches = [BATCH, Batch("pump-8", [T0, T0 + 1_000, T0 + 2_000], {"temperature": [1.0, 2.0, 3.0]})]
    script.steps = [413, 413, 200, 413, 200, 200, 200]
    assert (await device.send(batches)).accepted == 6
    assert device.tally == Tally(requests=7, acknowledged=6, split=3)
    taken = [script.bodies[n] for n in (2, 4, 5, 6)]
    assert [body["device"] for body in taken] == ["pump-7", "pump-7", "pump-7", "pump-8"]
    assert [list(body["values"]) for body in taken[:3]] == [["temperature", "running"], ["temperature"], ["running"]]
    assert len(ledger) == 6


async def test_one_reading_cannot_be_split(script: Script, make_device: MakeDevice) -> None:
    script.steps = [413]
    device = make_device()
    await device.send([Batch("pump-7", [T0], {"temperature": [1.0]})])
    assert (len(script.bodies), device.tally.dropped) == (1, 1)


@pytest.mark.parametrize("layout", list(Layout))
async def test_both_layouts_and_gzip_say_the_same(script: Script, make_device: MakeDevice, layout: Layout) -> None:
    await make_device(layout=layout, compress=True).send([BATCH, BATCH])
    assert script.headers[0]["Content-Encoding"] == "gzip"
    assert count(script.bodies[0]) == 6
    expected: dict[str, Any] = {"device": "pump-7", "labels": {"site": "A"}}
    if layout is Layout.COLUMNS:
        expected |= {"ts": [T0 // 1_000, T0 // 1_000 + 1], "values": BATCH.values}
    else:
        expected["readings"] = [
            {"ts": T0 // 1_000, "metric": "temperature", "value": 21.5},
            {"ts": T0 // 1_000, "metric": "running", "value": True},
            {"ts": T0 // 1_000 + 1, "metric": "running", "value": False},
        ]
    assert script.bodies[0] == [expected, expected]


async def test_nobody_there_is_waited_for(script: Script) -> None:
    async with aiohttp.ClientSession() as session:
        device = Device(session, "http://127.0.0.1:9", "slk_id_secret", backoff=Backoff(first_s=0.001, most_s=0.01))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await device.send([BATCH])
        assert device.tally.retried > 3
        assert device.trouble is not None
        assert device.trouble.startswith("no answer")


def test_pauses_grow_to_a_bound_and_never_undercut_the_server() -> None:
    backoff = Backoff(first_s=1, most_s=8)
    for ceiling in (1, 2, 4, 8, 8, 8):
        assert ceiling / 2 <= backoff.pause_s() <= ceiling
    assert backoff.pause_s(30) >= 30
    backoff.attempts = 1_000_000
    assert backoff.pause_s() <= 8
    backoff.reset()
    assert backoff.pause_s() <= 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("99999999999", MAX_RETRY_AFTER_S),
        ("-1", 0),
        ("Fri, 20 Nov 2026 10:00:00 GMT", 0),
        ("", 0),
    ],
)
def test_retry_after_is_read_with_care(text: str, seconds: int) -> None:
    assert retry_after_s({"Retry-After": text}) == seconds
    assert retry_after_s({}) == 0
