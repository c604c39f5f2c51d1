"""Credentials without a database: in which forms a key comes, what it may, what is recognised as one at all."""

import base64
from typing import Any

import asyncpg
import pytest
from pydantic import ValidationError
from starlette.requests import HTTPConnection

from schemas.cursor import decode_cursor, encode_cursor
from schemas.errors import DatabaseAway, Forbidden, Invalid, Unauthorized
from schemas.keys import KeyRequest, Principal, Scope
from server.auth import Failures, Gate, presented_key
from server.keys import KeyRing

KEY = "slk_abc123_secret_with_underscores-"


def connection(**headers: str) -> HTTPConnection:
    """A request with these headers."""
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": pairs})


def basic(text: str) -> str:
    """An Authorization header of the kind Basic."""
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"authorization": f"Token {KEY}"},
        {"authorization": basic(f"anybody:{KEY}")},
        {"authorization": basic(f":{KEY}")},
        {"x_api_key": KEY},
        {"authorization": f"Bearer {KEY}", "x_api_key": "another"},
    ],
)
def test_a_key_is_found_in_every_form(headers: dict[str, str]) -> None:
    assert presented_key(connection(**headers)) == KEY


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": KEY},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Digest {KEY}"},
        {"authorization": "Basic !!!"},
        {"authorization": basic("ü:ü")},
        {"authorization": "Basic " + "A" * 5},
    ],
)
def test_no_key_in_other_forms(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        presented_key(connection(**headers))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "slk",
        "slk_",
        "slk_abc",
        "slk_abc_",
        "slk__secret",
        "SLK_abc_secret",
        "xyz_abc_secret",
        "slk_äbc_secret",
        "slk_abc_sécret",
        "slk_\0_secret",
        "slk_a\0b_secret",
        "slk_ABC_secret",
        "slk_a b_secret",
        "slk_'; DROP TABLE keys_secret",
        "slk_abc_" + "x" * 8_192,
    ],
)
async def test_what_is_no_key_never_reaches_the_database(key: str) -> None:
    pool: Any = None  # using it would be an AttributeError
    with pytest.raises(Unauthorized):
        await KeyRing(pool, lambda: 0.0, lambda: 0).authenticate(key)


async def test_a_key_of_the_right_form_does_reach_it() -> None:
    pool = asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0)
    with pytest.raises(DatabaseAway):
        await KeyRing(pool, lambda: 0.0, lambda: 0).authenticate(KEY)


@pytest.mark.parametrize("held", list(Scope))
@pytest.mark.parametrize("needed", list(Scope))
async def test_a_scope_opens_its_own_door_and_admin_all(held: Scope, needed: Scope) -> None:
    principal = Principal("id", "name", frozenset({held}))

    async def authenticate(key: str) -> Principal:
        assert key == KEY
        return principal

    entering = Gate(authenticate, Failures(lambda: 0.0))(connection(x_api_key=KEY), needed)
    if held in (needed, Scope.ADMIN):
        assert await entering is principal
    else:
        with pytest.raises(Forbidden):
            await entering


def test_a_bound_key_may_use_its_own_devices() -> None:
    bound = Principal("id", "name", frozenset({Scope.INGEST}), "pump-?")
    assert [bound.may_use(name) for name in ("pump-1", "pump-", "pump-12", "room-1", "xpump-1")] == [
        True, False, False, False, False,
    ]  # fmt: skip
    assert Principal("id", "name", frozenset({Scope.INGEST})).may_use("anything")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 129},
        {"scopes": []},
        {"scopes": ["root"]},
        {"device_glob": ""},
        {"device_glob": "a\0*"},
        {"device_glob": "x" * 129},
        {"expires_at": "2026-11-20T10:00:00"},
        {"expires_at": "0001-01-01T00:00:00+14:00"},
        {"expires_at": "9999-12-31T23:59:59-14:00"},
        {"extra": 1},
    ],
)
def test_bad_wishes_for_a_key(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KeyRequest.model_validate({"name": "gateway", "scopes": ["ingest"]} | changes)


@pytest.mark.parametrize("glob", ["pump-*", "?", "*", "pump-7", None])
def test_good_globs(glob: str | None) -> None:
    assert KeyRequest(name="gateway", scopes=[Scope.INGEST], device_glob=glob).device_glob == glob


@pytest.mark.parametrize("place", ["pump-7", "日本", 0, 17, 2**62])
def test_a_cursor_comes_back(place: str | int) -> None:
    assert decode_cursor(encode_cursor(place), type(place)) == place


@pytest.mark.parametrize("kind", [str, int])
@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "!!!", "ü", "", "W10", "dHJ1ZQ", "bnVsbA", "W" * 1_000),
        *("IlxcdWQ4MDAi", "Ilx1ZDgwMCI"),  # text of a lone surrogate
        *(encode_cursor("a\0b"), encode_cursor(10**40), encode_cursor(-(2**63) - 1)),
    ],
)
def test_a_cursor_that_we_did_not_make(cursor: str, kind: type[str] | type[int]) -> None:
    try:
        place = decode_cursor(cursor, kind)
    except Invalid as error:
        assert error.faults[0].code == "cursor_invalid"  # noqa: PT017 - either may be right, by the kind asked for
    else:  # one that could be ours: what PostgreSQL takes as text or as bigint
        assert isinstance(place, kind)
        if isinstance(place, str):
            assert "\0" not in place
            place.encode()
        else:
            assert abs(place) < 2**63
