"""Contract §3, row by row: each status through a real server, what is stored after it, and that life goes on.

A plain request whose key and series are known takes the express door, all others the app. So every refusal is provoked
on a connection's first request and again when everything about it is known.
"""

import asyncio
import contextlib
import gzip
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
import zstandard

from server.local import LocalPostgres, LocalServices
from server.migrations import migrate
from tests.acceptance.defective import DEVICE
from tests.conftest import Server, StartServer, _start
from tests.proxy import COMMIT, Proxy, through

MAX_PROBLEM_BYTES = 4_096
Headers = dict[str, str]
BOTH_DOORS: tuple[dict[str, Any], ...] = ({}, {"partial": "true"})
"""Parameters of a request that takes the express door, where it can, and of one that never does."""

_times = itertools.count(time.time_ns() // 1_000_000 - 3_600_000)  # milliseconds, none of them twice


def now_ms() -> int:
    """Now, as devices send it."""
    return time.time_ns() // 1_000_000


def batch(count: int = 1, device: str = "pump-7", **more: Any) -> dict[str, Any]:
    """A good batch, of times that were never sent before."""
    readings = [{"ts": next(_times), "metric": "temperature", "value": place + 0.5} for place in range(count)]
    return {"device": device, "readings": readings} | more


async def post(
    server: Server, body: bytes | dict[str, Any], headers: Headers | None = None, key: str | None = None, **params: Any
) -> tuple[int, dict[str, Any], Headers]:
    """POST raw bytes, or a document; gives status, body and headers. A problem is checked for what all have."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | server.headers(key) | (headers or {})
    async with server.http.post(f"{server.url}/v1/readings", data=data, params=params, headers=sent) as response:
        raw = await response.read()
        answer: dict[str, Any] = json.loads(raw)
        if response.status != 200:
            assert response.content_type == "application/problem+json"
            assert len(raw) <= MAX_PROBLEM_BYTES
            assert answer["status"] == response.status
            assert {"type", "title", "code"} <= set(answer)
        return response.status, answer, {name.lower(): value for name, value in response.headers.items()}


async def stored(server: Server) -> int:
    """Readings in the table."""
    return int(
        (
            await server.fetch(
                "SELECT (SELECT count(*) FROM readings) + (SELECT coalesce(sum(cardinality(values)), 0) FROM runs)"
            )
        )[0][0]
    )


async def assert_life_goes_on(server: Server, key: str | None = None) -> None:
    """The next good request succeeds, through both doors."""
    for params in BOTH_DOORS:
        status, answer, _ = await post(server, batch(2), key=key, **params)
        assert (status, answer["accepted"], answer["duplicates"]) == (200, 2, 0), answer


@pytest.fixture
async def server(start_server: StartServer) -> Server:
    """One worker that knows the key and the series of `batch()`."""
    one = await start_server(workers=1)
    await assert_life_goes_on(one)
    return one


# -- 200 ---------------------------------------------------------------------------------------------------------------


async def test_200_counts_what_is_new_and_what_is_not(server: Server) -> None:
    before = await stored(server)
    good = batch(3)
    assert (await post(server, good))[:2] == (200, {"accepted": 3, "duplicates": 0})
    assert await stored(server) == before + 3
    for _ in range(3):
        assert (await post(server, good))[:2] == (200, {"accepted": 0, "duplicates": 3})
    longer = good | {"readings": [*good["readings"], *good["readings"][:1], *batch(1)["readings"]]}
    assert (await post(server, longer))[:2] == (200, {"accepted": 1, "duplicates": 4})
    assert await stored(server) == before + 4


async def test_200_the_first_value_stays_and_with_replace_the_last(server: Server) -> None:
    ts = now_ms()

    def valued(value: float) -> dict[str, Any]:
        return {"device": "pump-7", "ts": [ts], "values": {"temperature": [value]}}

    async def value() -> float:
        at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ts)
        return float((await server.fetch("SELECT value FROM telemetry WHERE ts = $1", at))[0]["value"])

    assert (await post(server, valued(1)))[1] == {"accepted": 1, "duplicates": 0}
    assert (await post(server, valued(2)))[1] == {"accepted": 0, "duplicates": 1}
    assert await value() == 1
    assert (await post(server, valued(3), on_conflict="replace"))[1] == {"accepted": 0, "duplicates": 1}
    assert await value() == 3
    two = {"device": "pump-7", "ts": [ts, ts], "values": {"temperature": [4, 5]}}
    assert (await post(server, two, on_conflict="replace"))[1] == {"accepted": 0, "duplicates": 2}
    assert await value() == 5


async def test_200_partial_leaves_out_what_is_invalid_and_says_so(server: Server) -> None:
    before = await stored(server)
    mixed = batch(3)
    mixed["readings"][1] |= {"value": "21.5"}
    mixed["readings"].append({"ts": now_ms() + 700_000, "metric": "temperature", "value": 1})
    status, answer, _ = await post(server, mixed, partial="true")
    assert (status, answer["accepted"], answer["duplicates"], answer["rejected_count"]) == (200, 2, 0, 2)
    assert {(tuple(fault["loc"]), fault["code"], fault["retryable"]) for fault in answer["rejected"]} == {
        (("readings", 1, "value"), "value_type", False),
        (("readings", 3, "ts"), "ts_in_future", True),
    }
    assert await stored(server) == before + 2


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "identity"])
async def test_200_in_every_encoding(server: Server, encoding: str) -> None:
    plain = json.dumps(batch(5)).encode()
    packed = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}.get(encoding, bytes)(plain)
    assert (await post(server, packed, {"Content-Encoding": encoding}))[1] == {"accepted": 5, "duplicates": 0}


async def test_200_bit_by_bit(server: Server) -> None:
    values = [-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2**53 + 1]
    start = now_ms()
    body = {"device": "exact", "ts": [start + place for place in range(5)], "values": {"v": values}}
    assert (await post(server, body))[0] == 200
    found = await server.fetch("SELECT value FROM telemetry WHERE device = 'exact' ORDER BY ts")
    assert [record["value"].hex() for record in found] == [float(value).hex() for value in values]


# -- 4xx: nothing stored, the body at most 4 KiB, nothing of the input in it -------------------------------------------

SECRET = "s3cretValue"
REFUSED: list[tuple[str, bytes, Headers, int]] = [
    ("not JSON", b'{"device": "s3cretValue", ', {}, 400),
    ("empty", b"", {}, 400),
    ("bad UTF-8", b'{"device":"s3cretValue\xff","readings":[]}', {}, 400),
    ("byte order mark", b"\xef\xbb\xbf[]", {}, 400),
    ("deeply nested", b"[" * 100_000, {}, 400),
    ("bad gzip", b"s3cretValue", {"Content-Encoding": "gzip"}, 400),
    ("truncated gzip", gzip.compress(b"[]" * 50)[:-4], {"Content-Encoding": "gzip"}, 400),
    ("bad zstd", b"s3cretValue", {"Content-Encoding": "zstd"}, 400),
    ("no type", b"[]", {"Content-Type": ""}, 415),
    ("another type", b"[]", {"Content-Type": "text/plain"}, 415),
    ("another charset", b"[]", {"Content-Type": "application/json; charset=utf-16"}, 415),
    ("another encoding", b"[]", {"Content-Encoding": "br"}, 415),
    ("two encodings", b"[]", {"Content-Encoding": "gzip, gzip"}, 415),
    ("a bomb", gzip.compress(bytes(64 << 20)), {"Content-Encoding": "gzip"}, 413),
    ("null", b"null", {}, 422),
    ("text", b'"s3cretValue"', {}, 422),
]


@pytest.mark.parametrize(
    ("body", "headers", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
async def test_400_413_415_422_of_what_is_no_batch(server: Server, body: bytes, headers: Headers, status: int) -> None:
    before = await stored(server)
    for params in BOTH_DOORS:
        got, answer, _ = await post(server, body, headers, **params)
        assert got == status, answer
        assert SECRET not in json.dumps(answer)
    assert await stored(server) == before
    await assert_life_goes_on(server)


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"value": SECRET}, "value_type"),
    ({"value": None}, "value_type"),
    ({"value": [1]}, "value_type"),
    ({"value": float("nan")}, "not_finite"),
    ({"value": float("inf")}, "not_finite"),
    ({"unit": SECRET}, "unknown_field"),
    ({"ts": SECRET}, "ts_invalid"),
    ({"ts": "2026-12-31T23:59:60Z"}, "ts_invalid"),
    ({"ts": 1.5}, "ts_type"),
    ({"ts": 1_795_428_000}, "ts_unit"),
    ({"ts": "9999-01-01T00:00:00Z"}, "ts_in_future"),
    ({"ts": "0001-01-01T00:00:00Z"}, "ts_too_old"),
    ({"metric": f"{SECRET}\0"}, "name_invalid"),
    ({"metric": "x" * 200_000}, "name_invalid"),
    ({"metric": 5}, "string_type"),
]


@pytest.mark.parametrize(("change", "code"), FAULTS)
async def test_422_one_bad_reading_and_nothing_of_the_batch_is_stored(
    server: Server, change: dict[str, Any], code: str
) -> None:
    before = await stored(server)
    body = batch(5)
    body["readings"][3] |= change
    status, answer, _ = await post(server, body)
    assert status == 422
    assert answer["error_count"] == 1
    (error,) = answer["errors"]
    assert set(error) == {"loc", "code", "message", "retryable"}
    assert (error["loc"], error["code"]) == (["readings", 3, *change], code)
    assert SECRET not in json.dumps(answer)
    assert await stored(server) == before
    await assert_life_goes_on(server)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"device": ""}, "name_invalid"),
        ({"device": "x" * 200_000}, "name_invalid"),
        ({"labels": {str(number): "" for number in range(33)}}, "too_many_labels"),
        ({"labels": {"a": SECRET * 100}}, "label_invalid"),
        ({SECRET * 1_000: 1}, "unknown_field"),
        ({"readings": {}}, "list_type"),
        ({"ts": [1]}, "layout"),
    ],
)
async def test_422_a_fault_of_the_batch_itself(server: Server, change: dict[str, Any], code: str) -> None:
    before = await stored(server)
    for params in BOTH_DOORS:
        status, answer, _ = await post(server, batch(2) | change, **params)
        assert (status, answer["errors"][0]["code"]) == (422, code)
        assert SECRET * 6 not in json.dumps(answer)
    assert await stored(server) == before
    await assert_life_goes_on(server)


async def test_422_of_many_faults_names_twenty_and_counts_all(server: Server) -> None:
    body = batch(9_000)
    for reading in body["readings"]:
        reading["value"] = SECRET
    status, answer, _ = await post(server, body)
    assert (status, answer["error_count"]) == (422, 9_000)
    assert 0 < len(answer["errors"]) <= 20
    status, answer, _ = await post(server, body, partial="true")
    assert (status, answer["accepted"], answer["rejected_count"], len(answer["rejected"])) == (200, 0, 9_000, 20)


@pytest.mark.parametrize("params", [{"partial": "perhaps"}, {"on_conflict": "explode"}])
async def test_422_of_parameters(server: Server, params: dict[str, Any]) -> None:
    assert (await post(server, batch(), **params))[0] == 422
    await assert_life_goes_on(server)


# -- 401, 403 ----------------------------------------------------------------------------------------------------------


async def test_401_is_one_and_the_same_for_every_reason(server: Server) -> None:
    good = await server.key("ingest")
    key_id = good.split("_")[1]
    revoked = await server.key("ingest")
    assert (await post(server, batch(), key=revoked))[0] == 200
    assert (await server.call("DELETE", f"/v1/keys/{revoked.split('_')[1]}"))[0] == 204
    expired = await server.key("ingest", expires_at="2020-01-01T00:00:00Z")
    before = await stored(server)
    presented: list[Headers] = [
        {"Authorization": f"Bearer {key}"}
        for key in ("nonsense", "slk__", "slk_unknownid_secret", f"slk_{key_id}_wrong", revoked, expired, "x" * 8_192)
    ]
    presented += [{"Authorization": "Bearer "}, {"Authorization": "Basic bm9ib2R5OgBfAA=="}, {"X-API-Key": "slk_a_b"}]
    answers = set()
    url = f"{server.url}/v1/readings"
    for headers in [{}, *presented, *presented]:
        async with server.http.post(url, json=batch(), headers=headers) as response:
            assert response.status == 401
            assert response.content_type == "application/problem+json"
            answers.add((await response.read(), response.headers["WWW-Authenticate"]))
    assert len(answers) == 1
    assert await stored(server) == before
    await assert_life_goes_on(server, good)


async def test_401_comes_before_the_body_is_looked_at(server: Server) -> None:
    for body in (b"not json", b"", b'{"value":"x"}'):
        async with server.http.post(f"{server.url}/v1/readings", data=body) as response:
            assert response.status == 401


async def test_a_key_is_taken_in_every_form(server: Server) -> None:
    for headers in (
        {"Authorization": f"Token {server.admin_key}"},
        {"Authorization": aiohttp.encode_basic_auth("anybody", server.admin_key)},
        {"X-API-Key": server.admin_key},
    ):
        async with server.http.post(f"{server.url}/v1/readings", json=batch(), headers=headers) as response:
            assert response.status == 200


async def test_403_of_a_scope_and_of_devices(server: Server) -> None:
    reader = await server.key("read")
    pumps = await server.key("ingest", device_glob="pump-*")
    assert (await post(server, batch(), key=pumps))[0] == 200
    before = await stored(server)
    for _ in range(2):
        assert (await post(server, batch(), key=reader))[0] == 403
        assert (await post(server, batch(device="room-1"), key=pumps))[0] == 403
        both = json.dumps([batch(), batch(device="room-1")]).encode()
        assert (await post(server, both, key=pumps))[0] == 403
    assert await stored(server) == before
    assert not await server.fetch("SELECT FROM devices WHERE name = 'room-1'")
    await assert_life_goes_on(server, pumps)


# -- 408, 413: raw sockets ---------------------------------------------------------------------------------------------


async def raw(server: Server, head: str, body: bytes, patience_s: float = 10) -> tuple[int, dict[str, Any], float]:
    """Send a head and some of a body, and then nothing; gives status, problem, and the seconds it took."""
    parts = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        began = time.monotonic()
        lines = f"POST /v1/readings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.admin_key}\r\n{head}\r\n"
        writer.write(lines.encode() + body)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience_s)
        took = time.monotonic() - began
        fields = dict(line.split(": ", 1) for line in answer.decode().lower().split("\r\n")[1:] if line)
        assert fields["content-type"] == "application/problem+json"
        document = json.loads(await reader.readexactly(int(fields["content-length"])))
        return int(answer.split()[1]), document, took
    finally:
        writer.close()


@pytest.mark.parametrize("kind", ["Content-Length: 500", "Transfer-Encoding: chunked"])
async def test_408_of_a_slow_body(start_server: StartServer, kind: str) -> None:
    server = await start_server(workers=1, receive_s=0.5)
    await assert_life_goes_on(server)
    before = await stored(server)
    beginning = b"5\r\n[    \r\n" if "chunked" in kind else b'{"device":"pump-7",'
    status, problem, took = await raw(server, f"Content-Type: application/json\r\n{kind}\r\n", beginning)
    assert (status, problem["code"]) == (408, "body_too_slow")
    assert 0.4 < took < 3
    assert await stored(server) == before
    await assert_life_goes_on(server)


async def test_413_by_its_length_unread(server: Server) -> None:
    before = await stored(server)
    head = f"Content-Type: application/json\r\nContent-Length: {(8 << 20) + 1}\r\n"
    status, problem, took = await raw(server, head, b"")
    assert (status, problem["limit"], problem["value"]) == (413, "body_bytes", 8 << 20)
    assert took < 2
    assert await stored(server) == before
    await assert_life_goes_on(server)


async def test_413_of_readings(server: Server) -> None:
    before = await stored(server)
    for params in BOTH_DOORS:
        status, problem, _ = await post(server, batch(10_001), **params)
        assert (status, problem["limit"], problem["value"]) == (413, "readings", 10_000)
    assert await stored(server) == before
    assert (await post(server, batch(10_000)))[1] == {"accepted": 10_000, "duplicates": 0}


async def test_413_of_an_inflated_body(start_server: StartServer) -> None:
    server = await start_server(workers=1, max_body_bytes=20_000)
    status, problem, _ = await post(server, gzip.compress(bytes(20_001)), {"Content-Encoding": "gzip"})
    assert (status, problem["limit"], problem["value"]) == (413, "body_bytes", 20_000)
    await assert_life_goes_on(server)


# -- 429 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["requests", "readings"])
async def test_429_of_a_quota_of_this_key(start_server: StartServer, policy: str) -> None:
    server = await start_server(workers=1, **{f"quota_{policy}_per_s": 5})
    greedy, modest = await server.key("ingest"), await server.key("ingest")
    size = 1 if policy == "requests" else 3
    accepted = 0
    for _ in range(50):
        status, answer, headers = await post(server, batch(size), key=greedy)
        if status != 200:
            break
        accepted += size
        await asyncio.sleep(0.002)
    assert (status, answer["code"]) == (429, "quota_exceeded")
    wait = int(headers["retry-after"])
    assert 1 <= wait <= 2
    assert headers["ratelimit-policy"] == f'"{policy}";q=5;w=1'
    assert headers["ratelimit"] == f'"{policy}";r=0;t={wait}'
    assert await stored(server) == accepted, "a refused batch was stored"
    assert (await post(server, batch(1, "other"), key=modest))[0] == 200, "another key pays for it"
    await asyncio.sleep(wait)
    assert (await post(server, batch(1), key=greedy))[0] == 200


# -- 503 ---------------------------------------------------------------------------------------------------------------


def assert_retryable(status: int, answer: dict[str, Any], headers: Headers, code: str) -> None:
    """A 503 says why, and in whole seconds when to come back."""
    assert (status, answer["code"]) == (503, code), answer
    assert int(headers["retry-after"]) >= 1


async def test_503_when_too_much_is_waiting(start_server: StartServer) -> None:
    server = await start_server(workers=1, queue_rows=4, flush_rows=2, lanes=1)
    await assert_life_goes_on(server)
    before = await stored(server)
    blocking = await asyncpg.connect(server.database_url)
    try:
        held = blocking.transaction()
        await held.start()
        await blocking.execute("LOCK TABLE readings, runs, newest IN ACCESS EXCLUSIVE MODE")
        taken = []
        for _ in range(3):  # one group in flight, four rows waiting
            taken.append(asyncio.create_task(post(server, batch(2))))
            await asyncio.sleep(0.1)
        for params in BOTH_DOORS:
            began = time.monotonic()
            assert_retryable(*await post(server, batch(2), **params), code="overloaded")
            assert time.monotonic() - began < 1
        await held.rollback()
    finally:
        await blocking.close()
    assert [(status, answer) for status, answer, _ in await asyncio.gather(*taken)] == [
        (200, {"accepted": 2, "duplicates": 0})
    ] * 3
    assert await stored(server) == before + 6
    await assert_life_goes_on(server)


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[LocalPostgres]:
    """A PostgreSQL that a test may stop."""
    async with LocalPostgres(tmp_path / "data") as postgres:
        await migrate(postgres.url)
        yield postgres


async def test_503_while_the_database_is_away(own_postgres: LocalPostgres, services: LocalServices) -> None:
    async with AsyncExitStack() as stack:
        server = await _start(stack, services, own_postgres.url, 2, {"redis_prefix": "away", "log_level": "critical"})
        for _ in range(20):
            await assert_life_goes_on(server)
        before = await stored(server)
        await own_postgres.stop()
        refused = []
        for params in BOTH_DOORS * 5:
            began = time.monotonic()
            sent = batch(3)
            assert_retryable(*await post(server, sent, **params), code="database_away")
            assert time.monotonic() - began < 1
            refused.append(sent)
        async with server.http.get(f"{server.url}/healthz") as response:
            assert response.status == 200
        async with server.http.get(f"{server.url}/readyz") as response:
            assert (response.status, (await response.json())["status"]) == (503, "not ready")
        await own_postgres.start()
        returned = time.monotonic()
        while (await post(server, refused[0]))[0] != 200:
            assert time.monotonic() - returned < 1, "the first 200 took more than a second"
            await asyncio.sleep(0.02)
        assert await stored(server) == before + 3, "a refused batch was stored"
        for sent in refused[1:]:
            while True:
                status, answer, _ = await post(server, sent)
                if status == 200:
                    break
                assert time.monotonic() - returned < 2
            assert answer == {"accepted": 3, "duplicates": 0}
        await assert_life_goes_on(server)


# -- 504 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [True, False], ids=["connection reset", "silence"])
async def test_504_where_the_answer_to_commit_is_lost(services: LocalServices, database: str, reset: bool) -> None:
    parts = urlsplit(database)
    async with Proxy(str(parts.hostname), int(parts.port or 5432)) as proxy, AsyncExitStack() as stack:
        url = through(database, proxy, sslmode="disable")
        server = await _start(stack, services, url, 1, {"redis_prefix": f"commit-{reset}", "deadline_s": 2})
        server.database_url = database
        await assert_life_goes_on(server)
        before = await stored(server)
        for params in BOTH_DOORS:
            sent = batch(4)
            proxy.swallow_the_answer_to(COMMIT, reset=reset)
            began = time.monotonic()
            status, problem, headers = await post(server, sent, **params)
            assert (status, problem["code"]) == (504, "commit_unknown"), problem
            assert time.monotonic() - began < 5.5
            assert proxy.triggered.is_set()
            assert "retry-after" not in headers
            status, answer, _ = await post(server, sent, **params)
            assert (status, answer["accepted"], answer["duplicates"]) == (200, 0, 4)
            await assert_life_goes_on(server)
        assert await stored(server) == before + 2 * (4 + 4)


# -- 500 ---------------------------------------------------------------------------------------------------------------


async def test_500_is_a_defect_of_ours_and_the_worker_lives_on(services: LocalServices, database: str) -> None:
    async with AsyncExitStack() as stack:
        sane = await _start(stack, services, database, 1, {"redis_prefix": "defect"})
        with socket.create_server(("127.0.0.1", 0)) as listening:
            environment = os.environ | {
                "SLUICE_DATABASE_URL": database,
                "SLUICE_REDIS_URL": services.redis_url,
                "SLUICE_REDIS_PREFIX": "defect",
            }
            process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond, and its end is waited for by none
                [sys.executable, "-m", "tests.acceptance.defective", str(listening.fileno())],
                pass_fds=[listening.fileno()],
                env=environment,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            port = listening.getsockname()[1]
        defective = Server(f"http://127.0.0.1:{port}", database, "", sane.admin_key, sane.supervisor, sane.http)
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with sane.http.get(f"{defective.url}/readyz") as response:
                        if response.status == 200:
                            break
                await asyncio.sleep(0.05)
        await assert_life_goes_on(defective)
        before = await stored(sane)
        for params in (*BOTH_DOORS, *BOTH_DOORS):
            status, problem, _ = await post(defective, batch(device=DEVICE), **params)
            assert (status, problem["code"]) == (500, "defect")
            assert "ZeroDivision" not in json.dumps(problem)
        assert await stored(sane) == before
        await assert_life_goes_on(defective)
        assert process.poll() is None
