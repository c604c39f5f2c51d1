"""Fuzzing by bytes: mutated requests and frames on raw sockets, thousands at a time.

Whatever comes: no 5xx (but a 503 that says overload), no dead worker, resident memory up at most 64 MiB, and a good
request afterwards is stored bit by bit. A failing run names its seed: SLUICE_FUZZ_SEED repeats it.
"""

import asyncio
import json
import os
import random
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from server.local import LocalServices
from tests.acceptance.catalogue.case import KEY, batch, head, reading
from tests.acceptance.catalogue.site import Line, Site, resident_bytes, site
from tests.acceptance.catalogue.websocket import command, handshake
from tests.conftest import _execute, _url
from tests.faults.mutations import TYPE, frames, mutated, requests

SEED = int(os.environ.get("SLUICE_FUZZ_SEED", random.SystemRandom().randrange(1 << 32)))
GROWTH_BYTES = 64 << 20
AT_ONCE = 100
"""Inputs of one example, sent side by side."""
SHORT, LONG = 4, 1_000
"""Examples; the long run has 100,000 inputs of each kind."""
SETTINGS = {"head_s": "0.5", "receive_s": "0.3", "max_cached_series": "1000", "log_level": "error"}
Try = Callable[[Site, bytes], Awaitable[str]]


@pytest_asyncio.fixture(scope="module")
async def running(
    services: LocalServices, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """A server in a hurry: half a request is soon given up."""
    folder = tmp_path_factory.mktemp("fuzz")
    await _execute(services, f'CREATE DATABASE "{folder.name}" TEMPLATE "{template}"')
    async with site(folder, _url(services, folder.name), services.redis_url, **SETTINGS) as started:
        yield started
        assert not started.log.read_text(), "the server logged an error"


async def over_http(running: Site, sent: bytes) -> str:
    """Send a request; what became of it, in a word."""
    async with running.line() as line:
        await running.send(line, sent)
        answer = await line.answer(20)
        if answer is None:
            return "closed"
        assert answer.status < 500 or (answer.code() == "overloaded" and "retry-after" in answer.headers), answer
        assert answer.status < 400 or len(answer.body) <= 4_096
        return str(answer.status)


async def over_websocket(running: Site, sent: bytes) -> str:
    """Send frames behind `connect`; whether the connection was closed on them."""
    async with running.line() as line:
        await running.send(line, handshake())
        answer = await line.answer(20)
        if answer is None:
            return "late"  # on a busy machine
        assert answer.status == 101
        connect = command(1, connect={"token": running.keys[KEY].decode()})
        await running.send(line, connect + sent + command(999, ping={}))
        return await _until_pong(line)


async def _until_pong(line: Line) -> str:
    heard = b""
    try:
        async with asyncio.timeout(0.5):  # half a frame may be waited for
            while b'"id":999' not in heard:
                data = await line.reader.read(65_536)
                if not data:
                    return "closed"
                heard += data
    except TimeoutError:
        return "silent"
    except ConnectionError:
        return "closed"
    return "alive"


async def assert_sound(running: Site, chance: random.Random) -> None:
    """The workers are the same ones, and what is sent now is stored bit by bit."""
    (value,) = struct.unpack("<d", struct.pack("<Q", chance.getrandbits(62)))
    item = reading(value=value)
    body = json.dumps(batch(readings=[item], device="sound")).encode()
    async with running.line() as line:
        await running.send(line, head(TYPE, b"Content-Length: %d" % len(body)) + body)
        answer = await line.answer(20)
        assert answer is not None
        assert answer.body == b'{"accepted":1,"duplicates":0}', answer
    query = "SELECT value FROM telemetry WHERE device = 'sound' AND ts = to_timestamp($1::float8 / 1000)"
    stored = await running.database.fetchval(query, item["ts"])
    assert stored.hex() == value.hex()
    await running.assert_life_goes_on()


async def fuzz(running: Site, attempt: Try, good: Sequence[bytes], examples: int) -> None:
    """Try so many examples, each with its own seed."""
    outcomes: Counter[str] = Counter()
    began, loop = time.monotonic(), asyncio.get_running_loop()
    await assert_sound(running, random.Random(SEED))
    before = {pid: resident_bytes(pid) for pid in running.pids}

    async def example(number: int) -> None:
        chance = random.Random(f"{SEED} {number}")
        outcomes.update(await asyncio.gather(*(attempt(running, mutated(chance, good)) for _ in range(AT_ONCE))))
        await assert_sound(running, chance)
        done = outcomes.total()
        if done % (AT_ONCE * 20) == 0:
            print(f"{done:7} inputs, seed {SEED}, {done / (time.monotonic() - began):.0f}/s, up {grown()} KiB")  # noqa: T201

    def grown() -> list[int]:
        return [(resident_bytes(pid) - size) >> 10 for pid, size in before.items()]

    @seed(SEED)
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, (1 << 64) - 1))
    def run(number: int) -> None:
        asyncio.run_coroutine_threadsafe(example(number), loop).result(120)

    await asyncio.to_thread(run)
    print(f"\n{outcomes.total()} inputs, seed {SEED}: {dict(outcomes.most_common())}; up {grown()} KiB")  # noqa: T201
    assert outcomes.total() >= examples * AT_ONCE
    assert len(outcomes) > 2, "nothing but one outcome: these inputs are all alike"
    assert max(grown()) < GROWTH_BYTES >> 10


LENGTHS = [SHORT, pytest.param(LONG, marks=[pytest.mark.long, pytest.mark.timeout(7_200)])]


@pytest.mark.parametrize("examples", LENGTHS)
async def test_mutated_requests(running: Site, examples: int) -> None:
    await fuzz(running, over_http, requests(), examples)


@pytest.mark.parametrize("examples", LENGTHS)
async def test_mutated_frames(running: Site, examples: int) -> None:
    await fuzz(running, over_websocket, frames(), examples)
