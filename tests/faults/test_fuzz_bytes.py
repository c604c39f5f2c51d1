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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import pytest
import pytest_asyncio

from server.local import LocalServices
from tests.acceptance.catalogue.case import KEY, batch, head, reading
from tests.acceptance.catalogue.site import Line, Site, resident_bytes, site
from tests.acceptance.catalogue.websocket import command, handshake
from tests.conftest import _execute, _url
from tests.faults.mutations import TYPE, foreign_requests, frames, mutated, often_whole, requests

SEED = int(os.environ.get("SLUICE_FUZZ_SEED", random.SystemRandom().randrange(1 << 32)))
GROWTH_BYTES = 64 << 20
AT_ONCE = 100
"""Inputs of one example, sent side by side."""
SIDE_BY_SIDE = 4
"""Examples: most of the time of one is half a second in which nothing more is said to an unfinished frame."""
SHORT, LONG = 4, 1_000
"""Examples; the long run has 100,000 inputs of each kind."""
TRIES = 5
"""Of a good request, which the server in a hurry gives up where we send it too late."""
PATIENCE_S = 60.0
"""For an answer, of which only that it comes is tested here."""
SETTINGS = {"head_s": "2", "receive_s": "0.3", "max_cached_series": "1000", "log_level": "error"}
Try = Callable[[Site, bytes], Awaitable[str]]
Spoil = Callable[[random.Random, Sequence[bytes]], bytes]


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
        answer = await line.answer(PATIENCE_S)
        if answer is None:
            return "closed"
        assert answer.status < 500 or (answer.code() == "overloaded" and "retry-after" in answer.headers), answer
        assert answer.status < 400 or len(answer.body) <= 4_096
        return str(answer.status)


async def over_foreign_http(running: Site, sent: bytes) -> str:
    """The same by doors whose protocols have a slow body, too, sent again: 503."""
    async with running.line() as line:
        await running.send(line, sent)
        answer = await line.answer(PATIENCE_S)
        if answer is None:
            return "closed"
        assert answer.status < 500 or (answer.status == 503 and "retry-after" in answer.headers), answer
        assert len(answer.body) <= 4_096
        return str(answer.status)


async def over_websocket(running: Site, sent: bytes) -> str:
    """Send frames behind `connect`; whether the connection was closed on them."""
    for _ in range(TRIES):
        async with running.line() as line:
            await running.send(line, handshake())
            answer = await line.answer(PATIENCE_S)
            if answer is None:  # we were late ourselves, on a busy machine
                continue
            assert answer.status == 101
            connect = command(1, connect={"token": running.keys[KEY].decode()})
            await running.send(line, connect + sent + command(999, ping={}))
            return await _until_pong(line)
    return "late"


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


async def assert_sound(running: Site, chance: random.Random, device: str = "sound") -> None:
    """The workers are the same ones, and what is sent now is stored bit by bit."""
    (value,) = struct.unpack("<d", struct.pack("<Q", chance.getrandbits(62)))
    item = reading(value=value)
    body = json.dumps(batch(readings=[item], device=device)).encode()
    for _ in range(TRIES):
        async with running.line() as line:
            await running.send(line, head(TYPE, b"Content-Length: %d" % len(body)) + body)
            answer = await line.answer(PATIENCE_S)
        if answer is None:  # we were late ourselves, on a busy machine
            continue
        assert answer.body == b'{"accepted":1,"duplicates":0}', answer
        break
    query = "SELECT value FROM telemetry WHERE device = $1 AND ts = to_timestamp($2::float8 / 1000)"
    stored = await running.database.fetchval(query, device, item["ts"])
    assert stored.hex() == value.hex()
    assert running.all_live(), "a worker ended"


class Fuzz:
    """One run: so many examples, each with its own seed."""

    def __init__(self, running: Site, attempt: Try, good: Sequence[bytes], spoil: Spoil) -> None:
        self._running, self._attempt, self._good, self._spoil = running, attempt, good, spoil
        self._before = {pid: resident_bytes(pid) for pid in running.pids}
        self._began = time.monotonic()
        self._turn = asyncio.Lock()  # one connection to the database, and one millisecond a reading
        self.outcomes: Counter[str] = Counter()

    async def work(self, numbers: Iterator[int]) -> None:
        """Try one example after the other."""
        for number in numbers:
            chance = random.Random(f"{SEED} {number}")
            inputs = [self._spoil(chance, self._good) for _ in range(AT_ONCE)]
            self.outcomes.update(await asyncio.gather(*(self._attempt(self._running, sent) for sent in inputs)))
            async with self._turn:
                await assert_sound(self._running, chance)
            if self.outcomes.total() % (AT_ONCE * 20) == 0:
                print(self)  # noqa: T201

    def grown(self) -> list[int]:
        """KiB more in the memory of each worker than at the beginning."""
        return [(resident_bytes(pid) - size) >> 10 for pid, size in self._before.items()]

    def __str__(self) -> str:
        done, seconds = self.outcomes.total(), time.monotonic() - self._began
        return f"{done:7} inputs, seed {SEED}, {seconds:.0f} s, {done / seconds:.0f}/s, up {self.grown()} KiB"


async def fuzz(running: Site, attempt: Try, good: Sequence[bytes], examples: int, spoil: Spoil = mutated) -> None:
    """Try so many examples, some of them side by side."""
    await assert_sound(running, random.Random(SEED))
    run, numbers = Fuzz(running, attempt, good, spoil), iter(range(examples))
    async with asyncio.TaskGroup() as group:
        for _ in range(SIDE_BY_SIDE):
            group.create_task(run.work(numbers))
    await running.assert_life_goes_on()
    print(f"\n{run}: {dict(run.outcomes.most_common())}")  # noqa: T201
    assert run.outcomes.total() == examples * AT_ONCE
    assert len(run.outcomes) > 2, "nothing but one outcome: these inputs are all alike"
    assert max(run.grown()) < GROWTH_BYTES >> 10


LENGTHS = [SHORT, pytest.param(LONG, marks=[pytest.mark.long, pytest.mark.timeout(7_200)])]


@pytest.mark.parametrize("examples", LENGTHS)
async def test_mutated_requests(running: Site, examples: int) -> None:
    await fuzz(running, over_http, requests(), examples)


@pytest.mark.parametrize("examples", [2, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(3_600)])])
async def test_mutated_requests_of_other_protocols(running: Site, examples: int) -> None:
    await fuzz(running, over_foreign_http, foreign_requests(), examples, often_whole)


@pytest.mark.parametrize("examples", LENGTHS)
async def test_mutated_frames(running: Site, examples: int) -> None:
    await fuzz(running, over_websocket, frames(), examples)
