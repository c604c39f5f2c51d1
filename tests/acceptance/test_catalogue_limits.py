"""The catalogue's lines about abuse: what a key or an address has used up, and one batch that comes fifty times."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.auth import BURST
from server.local import LocalServices
from tests.acceptance.catalogue.auth import GREEDY, LIMITED
from tests.acceptance.catalogue.case import DOORS, KEY, Case, batch, head, reading
from tests.acceptance.catalogue.site import Answer, Site, site
from tests.conftest import _execute, _url

TYPE = b"Content-Type: application/json"
ON_CREDIT = 3_000
"""Readings, which a key that may send one a second has to wait for longer than any test lasts."""


@pytest_asyncio.fixture(scope="module")
async def running(
    services: LocalServices, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """A server on which the admin has made as many series as a key may: the one that every good request writes to."""
    folder = tmp_path_factory.mktemp("limits")
    await _execute(services, f'CREATE DATABASE "{folder.name}" TEMPLATE "{template}"')
    async with site(folder, _url(services, folder.name), services.redis_url, max_series_per_key="1") as started:
        await use_up(started)
        yield started


def write(key: bytes, body: object, door: bytes = DOORS[0]) -> bytes:
    """A request that writes."""
    data = json.dumps(body).encode()
    sent = head(TYPE, b"Content-Length: %d" % len(data), target=b"POST " + door) + data
    return sent.replace(KEY, key)


async def told(running: Site, sent: bytes) -> Answer:
    """The answer to a request on a connection of its own."""
    async with running.line() as line:
        await running.send(line, sent)
        answer = await line.answer(20)
        assert answer is not None
        return answer


async def use_up(running: Site) -> None:
    """Have a key use up its quota, on credit, until every worker knows."""
    assert (await told(running, write(GREEDY, batch(ON_CREDIT)))).status == 200
    refused = 0
    async with asyncio.timeout(30):
        while refused < 20:
            answer = await told(running, write(GREEDY, batch()))
            # A worker that has not heard of it yet refuses, too, once its own second's worth is gone: for a second.
            knows = answer.status == 429 and int(answer.headers["retry-after"]) > ON_CREDIT / 2
            refused = refused + 1 if knows else 0


@pytest.mark.parametrize("case", LIMITED, ids=str)
async def test_it_answers_as_written(running: Site, case: Case) -> None:
    await running.assert_answers(case)


@pytest.mark.parametrize("door", DOORS)
async def test_a_quota_says_which_and_for_how_long(running: Site, door: bytes) -> None:
    answer = await told(running, write(GREEDY, batch(), door))
    wait = int(answer.headers["retry-after"])
    assert ON_CREDIT / 2 < wait <= ON_CREDIT + 1
    assert answer.headers["ratelimit-policy"] == '"readings";q=1;w=1'
    assert answer.headers["ratelimit"] == f'"readings";r=0;t={wait}'


async def test_a_quota_of_requests(running: Site) -> None:
    """Of a key that sends as fast as it can, one worker takes a request a second, and a second's worth besides."""
    began, before = time.monotonic(), await running.stored()
    async with running.line() as line:
        answers = []
        for number in range(40):
            await running.send(line, write(b"$HASTY$", batch(), DOORS[number % 2]))
            answers.append(await line.answer())
        statuses = Counter(answer.status for answer in answers if answer is not None)
        assert set(statuses) == {200, 429}
        assert statuses[200] <= 2 + time.monotonic() - began
        assert {answer.code() for answer in answers if answer is not None} == {"", "quota_exceeded"}
        assert await running.stored() == before + statuses[200]
        await running.assert_life_goes_on(line)


async def test_with_partial_only_the_readings_of_new_series_are_refused(running: Site) -> None:
    before = await running.stored()
    sent = write(KEY, batch(readings=[reading(), reading(metric="new"), reading()]), DOORS[0] + b"?partial=true")
    answer = await told(running, sent)
    document = json.loads(answer.body)
    assert (answer.status, document["accepted"], document["rejected_count"]) == (200, 2, 1)
    assert [fault["code"] for fault in document["rejected"]] == ["cardinality"]
    assert await running.stored() == before + 2


async def test_failed_authentications_of_an_address_are_limited(running: Site) -> None:
    """So many are 401 at once, then one a second; a valid key from there passes on the same connection."""
    before = await running.stored()
    running.logged()
    async with running.line() as line:
        began = time.monotonic()
        answers: list[Answer] = []
        while not answers or answers[-1].status == 401:
            assert len(answers) <= BURST + 10 + (time.monotonic() - began)
            await running.send(line, write(b"slk_nobody_s3cretValue", batch()))
            answer = await line.answer()
            assert answer is not None
            answers.append(answer)
        assert len(answers) > BURST
        assert (answers[-1].status, answers[-1].code()) == (429, "too_many_failures")
        assert int(answers[-1].headers["retry-after"]) >= 1
        await running.assert_life_goes_on(line)
    refusals = [record["status"] for record in running.logged() if record["event"] == "refused"]
    assert refusals == [answer.status for answer in answers]
    assert await running.stored() == before + 1
    await running.assert_life_goes_on()


@pytest.mark.parametrize("door", DOORS)
async def test_fifty_replays_at_once_store_a_batch_once(running: Site, door: bytes) -> None:
    before, sent = await running.stored(), write(KEY, batch(20), door)
    answers = await asyncio.gather(*(told(running, sent) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    receipts = [json.loads(answer.body) for answer in answers]
    assert all(receipt["accepted"] + receipt["duplicates"] == 20 for receipt in receipts)
    assert sum(receipt["accepted"] for receipt in receipts) == 20
    assert await running.stored() == before + 20
    await running.assert_life_goes_on()
