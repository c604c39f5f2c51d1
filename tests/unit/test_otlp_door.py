"""OTLP's answers: a success with what it says, and a Status, in the encoding of the request."""

import json
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from ingest.foreign import otlp as door
from ingest.foreign.door import Head
from ingest.foreign.otlp import AWAY_S, JSON, ONLY_METRICS, PROTOBUF
from ingest.formats import otlp
from schemas.columns import PartReceipt, Receipt
from schemas.errors import (
    BodyTooSlow,
    DatabaseAway,
    Defect,
    Fault,
    Invalid,
    Malformed,
    NotFound,
    Overloaded,
    QuotaExceeded,
    SluiceError,
    TooLarge,
    Unauthorized,
    Unknown,
    UnsupportedMediaType,
)
from tests.unit.test_dialect import every_error

FAULTS = [Fault(("metric", "a\nb", "data_point", 3), "not_finite", "a value must be finite")] * 2
PARTIAL = PartReceipt(3, 1, 0, FAULTS)
BAD = "metric 'a_b': a value must be finite (not_finite)"


@pytest.mark.parametrize(
    ("kind", "decode"),
    [
        (PROTOBUF, otlp.decode), ("Application/X-Protobuf; q=1", otlp.decode),
        (JSON, otlp.decode_json), ('application/json; charset="UTF-8"', otlp.decode_json),
    ],
)  # fmt: skip
def test_kinds_that_are_read(kind: str, decode: Any) -> None:
    assert door.WRITE.decoder(Head(kind=kind)) is decode


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json; charset=utf-16", "application/protobuf"])
def test_kinds_that_are_not_hear_what_is(kind: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=r"application/x-protobuf.*application/json"):
        door.WRITE.decoder(Head(kind=kind))


def test_success_is_an_empty_message() -> None:
    for receipt in (Receipt(2, 1), PartReceipt(2, 1, skipped=4)):
        for kind, body in ((PROTOBUF, b""), (JSON, b"{}")):
            answer = door.DIALECT.answer(receipt, kind)
            assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, body, kind)


@pytest.mark.parametrize(
    ("receipt", "rejected", "message"),
    [
        (PARTIAL, 2, f"{BAD} (the first of 2 data points that were not stored)"),
        (PartReceipt(3, 0, 5, (), ["5 × x"]), 0, "not stored: 5 × x"),
        (PartReceipt(0, 0, 5, (), ["5 × x", "1 × y"]), 0, "not stored: 5 × x; 1 × y"),
        (PartReceipt(1, 0, 1, FAULTS[:1], ["1 × y"]), 1, f"{BAD}. not stored: 1 × y"),
        (PartReceipt(1, 0, 0, [Fault(("series", "d", "met"), "cardinality", "m")]), 1, "metric 'met': m (cardinality)"),
    ],
)  # fmt: skip
def test_a_partial_success_says_how_many_and_why(receipt: PartReceipt, rejected: int, message: str) -> None:
    answer = door.DIALECT.answer(receipt, PROTOBUF)
    said = ExportMetricsServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, said.rejected_data_points, said.error_message) == (200, rejected, message)
    answer = door.DIALECT.answer(receipt, JSON)
    said = json.loads(answer.body)["partialSuccess"]
    assert (answer.status, said.get("rejectedDataPoints", "0"), said["errorMessage"]) == (200, str(rejected), message)


def test_where_nothing_is_good_it_is_a_refusal_as_not_everybody_reads_what_a_success_says() -> None:
    answer = door.DIALECT.answer(PartReceipt(0, 0, 0, FAULTS), PROTOBUF)
    status = Status.FromString(answer.body)
    assert (answer.status, status.code) == (400, 3)
    assert status.message.startswith("metric 'a_b': a value must be finite")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Overloaded(), 503, 14), (QuotaExceeded("readings", 5, 2), 429, 8), (BodyTooSlow(), 503, 14),
        (Defect(), 504, 14),
        (Invalid(FAULTS), 400, 3), (Malformed(), 400, 3), (TooLarge("readings", 5), 413, 3), (Unauthorized(), 401, 16),
        (NotFound(ONLY_METRICS), 404, 5), (Unknown(), 504, 14), (UnsupportedMediaType("x"), 415, 3),
    ],
)  # fmt: skip
def test_refusals_are_a_status_in_both_encodings(error: SluiceError, status: int, code: int) -> None:
    binary, written = (
        door.DIALECT.answer(error, PROTOBUF),
        door.DIALECT.answer(error, "application/json; charset=utf-8"),
    )
    told = Status.FromString(binary.body)
    assert (binary.status, binary.headers["Content-Type"], told.code) == (status, PROTOBUF, code)
    assert (written.status, written.headers["Content-Type"]) == (status, JSON)
    assert json.loads(written.body) == {"code": code, "message": told.message}
    assert ("Retry-After" in binary.headers) == (status in {429, 503})


def test_every_error_has_a_status_on_which_exporters_do_the_right_thing() -> None:
    for error in every_error():
        answer = door.DIALECT.answer(error, PROTOBUF)
        assert answer.status in {400, 401, 403, 404, 409, 413, 414, 415, 429, 431, 503, 504}, error
        assert Status.FromString(answer.body).message


def test_who_waits_for_postgresql_is_told_to_wait_long_enough() -> None:
    assert door.DIALECT.answer(DatabaseAway(), PROTOBUF).headers["Retry-After"] == str(AWAY_S)
    assert door.DIALECT.answer(Overloaded(retry_after=2), PROTOBUF).headers["Retry-After"] == "2"
