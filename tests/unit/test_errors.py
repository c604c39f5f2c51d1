"""Problem documents: one shape, at most 4 KiB, and nothing of the input but bounded steps of a location."""

import json
from typing import Any

import pytest

from schemas import errors
from schemas.errors import (
    MAX_FAULTS,
    MAX_LOC_CHARS,
    MAX_PROBLEM_BYTES,
    DatabaseAway,
    Fault,
    HeadTooLarge,
    Invalid,
    Overloaded,
    QuotaExceeded,
    SluiceError,
    TooLarge,
    Unauthorized,
    Unknown,
    UrlTooLong,
)
from server.problems import render

SCOPE = {"type": "http", "path": "/v1/readings", "headers": []}


def document(error: SluiceError) -> dict[str, Any]:
    """The rendered problem, checked for what every problem has."""
    response = render(error, SCOPE)
    body: dict[str, Any] = json.loads(bytes(response.body))
    assert len(response.body) <= MAX_PROBLEM_BYTES
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "code"} <= set(body)
    assert body["status"] == response.status_code == error.status
    return body


def leaves(kind: type[SluiceError] = SluiceError) -> list[type[SluiceError]]:
    """Every error that has a status."""
    below = [leaf for sub in kind.__subclasses__() for leaf in leaves(sub)]
    return ([kind] if hasattr(kind, "status") else []) + below


@pytest.mark.parametrize("kind", leaves(), ids=lambda kind: kind.__name__)
def test_every_leaf_has_a_title_of_one_line_and_a_code(kind: type[SluiceError]) -> None:
    arguments: dict[type[SluiceError], tuple[Any, ...]] = {
        TooLarge: ("readings", 10_000),
        HeadTooLarge: ("head_bytes", 65_536),
        UrlTooLong: ("url_bytes", 65_536),
        Invalid: ([],),
        QuotaExceeded: ("requests", 5, 2),
    }
    body = document(kind(*arguments.get(kind, ())))
    assert body["title"] == (kind.__doc__ or "").splitlines()[0]
    assert body["code"] == kind.code
    assert "\n" not in body["title"]


def test_the_statuses_are_those_of_the_contract() -> None:
    assert {leaf.status for leaf in leaves()} == {
        400,
        401,
        403,
        404,
        408,
        409,
        413,
        414,
        415,
        422,
        429,
        431,
        500,
        503,
        504,
    }


def test_a_server_that_is_away_says_when_to_come_back() -> None:
    for error in (errors.Unavailable(), Overloaded(), DatabaseAway()):
        assert int(render(error, SCOPE).headers["retry-after"]) >= 1
    assert "retry-after" not in render(Unknown(), SCOPE).headers


def test_401_names_the_scheme() -> None:
    assert render(Unauthorized(), SCOPE).headers["www-authenticate"].startswith("Bearer")


def test_too_large_names_the_limit_and_its_value() -> None:
    body = document(TooLarge("readings", 10_000))
    assert (body["limit"], body["value"]) == ("readings", 10_000)


def test_twenty_faults_are_named_and_all_are_counted() -> None:
    faults = [Fault(("readings", number, "value"), "value_type", "no") for number in range(20_000)]
    body = document(Invalid(faults))
    assert len(body["errors"]) == MAX_FAULTS
    assert body["error_count"] == 20_000
    assert body["errors"][3] == {
        "loc": ["readings", 3, "value"],
        "code": "value_type",
        "message": "no",
        "retryable": False,
    }


@pytest.mark.parametrize("char", ["x", '"', "\0", "é", "🔥", "\ud800"])
def test_a_long_location_is_cut_and_never_makes_the_answer_long(char: str) -> None:
    secret = char * 200_000
    body = document(Invalid([Fault(("values", secret, "labels", secret), "unknown_field", "no")] * 30))
    assert body["error_count"] == 30
    assert body["errors"]
    for error in body["errors"]:
        assert all(len(step) <= 2 * MAX_LOC_CHARS for step in error["loc"])


def test_fewer_faults_are_named_where_they_would_not_fit() -> None:
    body = document(Invalid([Fault(("readings", 1), "code", "m" * 1_000)] * 25))
    assert 1 <= len(body["errors"]) < MAX_FAULTS
    assert body["error_count"] == 25
