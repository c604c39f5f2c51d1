"""The answers of foreign protocols: for all that can go wrong, the status by which no client loses or hammers."""

import json
from dataclasses import replace

import pytest

from ingest.foreign import influx, table
from ingest.foreign.dialect import Dialect, heard
from schemas import errors
from schemas.columns import PartReceipt, Receipt
from schemas.errors import Fault, Invalid, QuotaExceeded, SluiceError

DIALECTS = [influx.V1, influx.V2]


def every_error() -> list[SluiceError]:
    """One of each leaf, made with what its constructor wants."""
    made: list[SluiceError] = []
    waiting = list(SluiceError.__subclasses__())
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__ != errors.__name__:
            continue
        if issubclass(kind, errors.TooLarge):
            made.append(kind("body_bytes", 1))
        elif issubclass(kind, QuotaExceeded):
            made.append(kind("readings", 10, 3))
        elif issubclass(kind, Invalid):
            made.append(kind([Fault(("line", 3), "not_finite", "a value must be finite")]))
        else:
            made.append(kind())
    return made


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_error_is_told_by_a_status_that_clients_take_wrongly(dialect: Dialect) -> None:
    for error in every_error():
        answer = dialect.answer(error)
        assert answer.status not in {408, 422, 500} or isinstance(error, errors.HeadTooSlow), error
        assert (answer.status >= 500) == (heard(error).status >= 500)
        if answer.status in {429, 503} and error.retry_after is not None:
            assert int(answer.headers["Retry-After"]) >= 1
        document = json.loads(answer.body)
        assert document["code"] in {*influx.CODES.values(), "internal error"}
        assert document["error" if dialect is influx.V1 else "message"]
        assert all(text.isascii() for text in answer.headers.values())


def test_what_has_to_be_sent_again_is_told_so() -> None:
    told = {type(error).__name__: influx.V2.answer(error).status for error in every_error()}
    assert told["BodyTooSlow"] == told["Overloaded"] == told["DatabaseAway"] == 503
    assert told["Defect"] == told["Unknown"] == 504
    assert (told["QuotaExceeded"], told["Invalid"], told["Malformed"]) == (429, 400, 400)
    for error in (errors.DatabaseAway(), errors.Overloaded(), QuotaExceeded("readings", 10, 3)):
        for agent, wanted in ((b"influxdb-client-python/1.50", True), (b"influxdb-client-js/1.35.0", False)):
            told_to = influx.V2.answer(error, "", [(b"host", b"a"), (b"user-agent", agent)])
            assert ("Retry-After" in told_to.headers) is wanted
    prometheus = replace(influx.V2, quota_status=503)
    assert prometheus.answer(QuotaExceeded("readings", 1, 2)).status == 503
    assert prometheus.answer(QuotaExceeded("readings", 1, 2)).headers["Retry-After"] == "2"


def test_telegrafs_words_for_what_must_not_be_sent_again() -> None:
    faults = [Fault(("line", 2), "x", "wrong"), Fault(("line", 5), "x", "wrong too")]
    some, none = PartReceipt(3, 1, 0, faults), PartReceipt(0, 0, 0, faults)
    said = [
        json.loads(influx.V1.answer(each).body) for each in (some, none, Invalid(faults), errors.Malformed("bad gzip"))
    ]
    assert [each["error"].split(":")[0].split(" line")[0] for each in said] == [
        "partial write",
        "unable to parse",
        "unable to parse",
        "unable to parse",
    ]
    assert (said[0]["line"], said[1]["line"]) == (2, 2)
    assert said[0]["error"] == "partial write: 4 values stored, not line 2: wrong (and 1 more)"


def test_success_says_nothing_but_what_was_skipped() -> None:
    assert influx.V2.answer(Receipt(1, 0)).status == 204
    answer = influx.V2.answer(PartReceipt(1, 0, 7))
    assert (answer.status, answer.body, answer.headers["X-Sluice-Skipped"]) == (204, b"", "7")


def test_urls_of_doors_are_known_with_their_parameters_and_no_longer_ones_are_kept() -> None:
    found = table.express(b"/api/v2/write?org=a&precision=s", b"text/plain")
    assert found
    assert found[0] is influx.WRITE_V2
    for url in (b"/api/v2/write?precision=x", b"/query", b"/write2", b"/write?db=" + b"a" * 2_000, b"/v1/readings"):
        assert table.express(url, b"") is None
    assert table.dialect_at(b"/write?p=secret") is influx.V1
    assert table.dialect_at(b"/v1/readings") is None
