"""Contract §3, 400, 413, 415, 422: nothing stored, at most 4 KiB, nothing of the input, and life goes on."""

import gzip
import json
from typing import Any

import pytest

from tests.acceptance.posting import BOTH_DOORS, Headers, assert_life_goes_on, batch, post, raw, stored
from tests.conftest import Server

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


async def test_413_by_its_length_unread(server: Server) -> None:
    before = await stored(server)
    head = f"Content-Type: application/json\r\nContent-Length: {(8 << 20) + 1}\r\n"
    status, problem, took = await raw(server, head, b"")
    assert (status, problem["limit"], problem["value"]) == (413, "body_bytes", 8 << 20)
    assert took < 5  # and not after the ten seconds that a body may take
    assert await stored(server) == before
    await assert_life_goes_on(server)


async def test_413_of_readings(server: Server) -> None:
    before = await stored(server)
    for params in BOTH_DOORS:
        status, problem, _ = await post(server, batch(10_001), **params)
        assert (status, problem["limit"], problem["value"]) == (413, "readings", 10_000)
    assert await stored(server) == before
    assert (await post(server, batch(10_000)))[1] == {"accepted": 10_000, "duplicates": 0}
