"""Wrong keys are counted by address, and valid ones never."""

import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from structlog.testing import capture_logs

from schemas.errors import TooManyFailures, Unauthorized
from schemas.keys import Principal, Scope
from server.auth import BURST, TELL_S, Failures, Gate
from server.bucket import MAX_NAMES, Bucket

PRINCIPAL = Principal("id", "name", frozenset({Scope.READ}))


class Clock:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def authenticate(key: str) -> Principal:
    if key != "good":
        raise Unauthorized
    return PRINCIPAL


def request(key: str, address: str = "10.0.0.1") -> Request:
    headers = [(b"authorization", b"Bearer " + key.encode())]
    return Request({"type": "http", "headers": headers, "client": (address, 1)})


async def test_a_flood_of_wrong_keys_is_429_and_a_valid_key_never() -> None:
    clock = Clock()
    gate = Gate(authenticate, Failures(clock))
    for _ in range(BURST):
        with pytest.raises(Unauthorized):
            await gate(request("bad"), Scope.READ)
    for _ in range(3):
        with pytest.raises(TooManyFailures):
            await gate(request("bad"), Scope.READ)
    assert await gate(request("good"), Scope.READ) == PRINCIPAL
    with pytest.raises(Unauthorized):
        await gate(request("bad", "10.0.0.2"), Scope.READ)
    clock.now += 1.0
    with pytest.raises(Unauthorized):
        await gate(request("bad"), Scope.READ)
    with pytest.raises(TooManyFailures):
        await gate(request("bad"), Scope.READ)


def test_names_remembered_are_bounded() -> None:
    bucket = Bucket(Clock(), BURST)
    for number in range(MAX_NAMES + 10):
        assert bucket.take(str(number)) == 0
    assert len(bucket) == MAX_NAMES


async def test_every_failure_is_counted_and_a_flood_of_them_is_one_line_in_the_log() -> None:
    clock, registry = Clock(), CollectorRegistry()
    failures = Failures(clock, registry)
    gate = Gate(authenticate, failures)
    with capture_logs() as lines:
        for number in range(50):
            with pytest.raises(Unauthorized):
                await gate(request("bad", f"10.0.0.{number}"), Scope.READ)
            failures.count("ws", "")
        assert [line["count"] for line in lines] == [1]
        clock.now += TELL_S
        with pytest.raises(Unauthorized):
            await gate(request("bad", "10.9.9.9"), Scope.READ)
    assert [(line["event"], line["count"], line["address"]) for line in lines[1:]] == [
        ("keys refused", 100, "10.9.9.9")
    ]
    for door, count in {"http": 51, "ws": 50}.items():
        assert registry.get_sample_value("sluice_auth_failures_total", {"door": door}) == count


async def test_who_acts_is_known_behind_the_gate() -> None:
    known = request("good")
    await Gate(authenticate, Failures(Clock()))(known, Scope.READ)
    assert (known.state.actor.key_id, known.state.actor.name, known.state.actor.address) == ("id", "name", "10.0.0.1")
