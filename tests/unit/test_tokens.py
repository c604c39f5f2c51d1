"""Tokens without a database: what is in one, and all that is none."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import jwt
import pytest

from schemas.errors import TokenExpired, Unauthorized
from schemas.keys import Holder
from server.tokens import AUDIENCE, MAX_CHARS, TokenKeys, Tokens, kid_of

SECRET, OLD, OTHER = b"n" * 32, b"o" * 32, b"x" * 32
NOW_S = int(time.time())
HOLDER = Holder("abc123", "f" * 64)
GOOD = {"aud": AUDIENCE, "sub": "abc123", "iat": NOW_S, "exp": NOW_S + 600, "jti": "1"}


def tokens(*secrets: bytes, clock_us: Callable[[], int] = lambda: NOW_S * 1_000_000) -> Tokens:
    """What a worker with these secrets in its settings signs and reads."""
    pool = asyncpg.create_pool("postgresql://nobody@localhost/none", min_size=0)  # never asked: there are settings
    return Tokens(TokenKeys(pool, time.monotonic, secrets or (SECRET, OLD)), clock_us, ttl_s=600)


def forged(claims: dict[str, Any], secret: bytes = SECRET, algorithm: str = "HS256", **header: str) -> str:
    """A token as somebody else would make it."""
    return jwt.encode(claims, secret, algorithm, headers={"kid": kid_of(SECRET), **header})


async def test_a_token_says_who_until_when_and_for_what() -> None:
    made = await tokens().sign(HOLDER, None)
    claims = jwt.decode(made.text, options={"verify_signature": False})
    assert claims.pop("jti")
    assert claims == {"aud": AUDIENCE, "sub": HOLDER.key_id, "sid": HOLDER.session, "iat": NOW_S, "exp": NOW_S + 600}
    assert (made.ttl_s, made.expires_s) == (600, NOW_S + 600)
    assert await tokens().read(made.text) == (HOLDER, 600.0)
    of_key = await tokens().sign(Holder("abc123"), None)
    assert await tokens().read(of_key.text) == (Holder("abc123"), 600.0)


async def test_a_token_never_outlives_its_key() -> None:
    made = await tokens().sign(HOLDER, (NOW_S + 7) * 1_000_000)
    assert made.ttl_s == 7
    assert (await tokens().read(made.text))[1] == 7.0


async def test_two_secrets_count_at_once_and_no_third() -> None:
    made = await tokens(OLD).sign(HOLDER, None)
    assert (await tokens(SECRET, OLD).read(made.text))[0] == HOLDER
    with pytest.raises(Unauthorized):
        await tokens(SECRET, OTHER).read(made.text)


def unsigned() -> str:
    """A token of the algorithm that is none."""
    parts = ({"alg": "none", "typ": "JWT", "kid": kid_of(SECRET)}, GOOD)
    return ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts) + "."


BAD = {
    "none at all": "..",
    "no JSON": "a.b.c",
    "unsigned": unsigned(),
    "another algorithm": forged(GOOD, SECRET * 2, "HS512"),
    "another algorithm, the same secret": jwt.encode(GOOD, SECRET + SECRET, "HS384", headers={"kid": kid_of(SECRET)}),
    "another secret": forged(GOOD, OTHER),
    "an unknown secret": forged(GOOD, OTHER, kid=kid_of(OTHER)),
    "no secret's name": jwt.encode(GOOD, SECRET, "HS256"),
    "for something else": forged(GOOD | {"aud": "sluice"}),
    "for nothing": forged({name: value for name, value in GOOD.items() if name != "aud"}),
    "without an end": forged({name: value for name, value in GOOD.items() if name != "exp"}),
    "without a holder": forged({name: value for name, value in GOOD.items() if name != "sub"}),
    "another end": forged(GOOD)[:-2] + "AA",
    "one that lives for a day": forged(GOOD | {"exp": NOW_S + 86_400}),
    "too long": forged(GOOD | {"x": "y" * MAX_CHARS}),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_token(name: str) -> None:
    with pytest.raises(Unauthorized) as raised:
        await tokens().read(BAD[name])
    assert not isinstance(raised.value, TokenExpired)


async def test_the_same_forged_well_is_one() -> None:
    """Or the refusals above would prove nothing."""
    assert (await tokens().read(forged(GOOD)))[0] == Holder("abc123")


async def test_one_that_has_expired_is_told_apart_and_only_if_it_was_one() -> None:
    late = GOOD | {"exp": NOW_S - 1}
    with pytest.raises(TokenExpired):
        await tokens().read(forged(late))
    with pytest.raises(Unauthorized) as raised:
        await tokens().read(forged(late, OTHER))
    assert not isinstance(raised.value, TokenExpired)
