"""The catalogue of bad inputs, line by line, against a real server (guarantees.md; the cases are in catalogue/).

Always: the exact status, a body of at most 4 KiB without an echo, nothing stored, the worker alive, one log line, and
the next good request succeeds.
"""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.local import LocalServices
from tests.acceptance.catalogue.auth import AUTH
from tests.acceptance.catalogue.case import AUTHORIZED, DOORS, HOST, Case, batch, head
from tests.acceptance.catalogue.encoding import ENCODING
from tests.acceptance.catalogue.framing import FRAMING
from tests.acceptance.catalogue.json import JSON
from tests.acceptance.catalogue.site import Site, site
from tests.acceptance.catalogue.values import VALUES
from tests.conftest import _execute, _url

TYPE = b"Content-Type: application/json"
INTAKE_BYTES = 300_000
"""Of bodies on their way; a single larger one is taken all the same."""
CASES = [
    pytest.param(case, id=f"{section}: {case}")
    for section, cases in (
        ("framing", FRAMING),
        ("encoding", ENCODING),
        ("json", JSON),
        ("values", VALUES),
        ("auth", AUTH),
    )
    for case in cases
]


@pytest_asyncio.fixture(scope="module")
async def running(
    services: LocalServices, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """One server for all cases."""
    folder = tmp_path_factory.mktemp("catalogue")
    await _execute(services, f'CREATE DATABASE "{folder.name}" TEMPLATE "{template}"')
    async with site(folder, _url(services, folder.name), services.redis_url, intake_bytes=str(INTAKE_BYTES)) as started:
        yield started


@pytest.mark.parametrize("case", CASES)
async def test_it_answers_as_written(running: Site, case: Case) -> None:
    await running.assert_answers(case)


async def test_every_401_is_one_and_the_same(running: Site) -> None:
    answers = set()
    for case in (case for case in AUTH if case.status == 401):
        async with running.line() as line:
            await running.send(line, case.sent[0])
            answer = await line.answer()
            assert answer is not None
            answers.add((answer.body, answer.headers["www-authenticate"]))
    assert len(answers) == 1


async def test_bodies_on_their_way_have_a_bound_in_bytes(running: Site) -> None:
    """Those that cannot be held are refused before they are read; others go on, and so does the next one."""
    size = INTAKE_BYTES // 2 - 1_000
    body = json.dumps(batch()).encode().ljust(size)
    statuses: list[int] = []
    barrier = asyncio.Barrier(8 * len(DOORS))

    async def send(door: bytes) -> None:
        async with running.line() as line:
            await running.send(line, head(TYPE, b"Content-Length: %d" % size, target=b"POST " + door) + body[:100])
            await barrier.wait()
            await asyncio.sleep(0.1)
            await running.send(line, body[100:])
            answer = await line.answer()
            assert answer is not None
            if answer.status != 200:
                assert (answer.code(), answer.headers["retry-after"].isdigit()) == ("overloaded", True)
            statuses.append(answer.status)
            await running.assert_life_goes_on(line)

    await asyncio.gather(*(send(door) for door in DOORS * 8))
    assert set(statuses) == {200, 503}
    assert 4 <= statuses.count(200) <= 2 * 2 * len(running.pids)
    await running.assert_life_goes_on()
    async with running.line() as line:
        await asyncio.sleep(1.1)
        await running.send(line, b"GET /metrics HTTP/1.1\r\n" + HOST + AUTHORIZED + b"\r\n")
        answer = await line.answer()
        assert answer is not None
        assert b"\nsluice_intake_bytes 0.0\n" in answer.body
