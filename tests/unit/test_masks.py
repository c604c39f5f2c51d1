"""Masks: what they take out, what they leave, and that no text makes them slow."""

import json
import time

import pytest
from pydantic import SecretStr, ValidationError

from server.masks import Masks, shown
from server.settings import Settings

KEY = "slk_k3v9q2hd0000_Zk1nq-_WERTZ12345678901234567890"
PASSWORD = 'pa"ss/wörd\\1234'
QUOTED = "pa%22ss%2Fw%C3%B6rd%5C1234"


def settings(**values: str) -> Settings:
    """Settings of nothing but these."""
    return Settings.model_validate({name: SecretStr(value) for name, value in values.items()})


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"key {KEY} is wrong", "key slk_k3v9q2hd0000_*** is wrong"),
        (f"/api/v1/{KEY}/telemetry", "/api/v1/slk_k3v9q2hd0000_***/telemetry"),
        ("{'Authorization': 'Basic dXNlcjpzbGtfYWJjX2RlZg=='}", "{'Authorization': 'Basic ***'}"),
        ("(b'authorization', b'Token abcdefghijklmnopqrst')", "(b'authorization', b'Token ***')"),
        ("a basic authentication, a token bucket", "a basic authentication, a token bucket"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "***"),
        ("postgresql://sluice:secret@db:5432/x", "postgresql://sluice:***@db:5432/x"),
        ("redis://:secret@cache:6379/0", "redis://:***@cache:6379/0"),
        ("postgresql://u:p@ss@db/x", "postgresql://u:***@db/x"),
        ("postgresql://db/x?password=secret", "postgresql://db/x?***"),
        ("https://hooks.example/T0/B0/XXXX", "https://hooks.example/***"),
        ("https://u:p@hooks.example?token=1 gone", "https://u:***@hooks.example?*** gone"),
        ("serving on http://127.0.0.1:8000 with 2", "serving on http://127.0.0.1:8000 with 2"),
        ("nothing to hide: a/b, 12:30, x@y", "nothing to hide: a/b, 12:30, x@y"),
    ],
)
def test_what_looks_like_a_secret(text: str, masked: str) -> None:
    assert Masks()(text) == masked


def test_what_is_known_to_be_one_in_every_spelling() -> None:
    masks = Masks.of(settings(database_url=f"postgresql://sluice:{QUOTED}@db/x", webhook_key="correct horse"))
    for spelling in (PASSWORD, QUOTED, json.dumps(PASSWORD), repr(PASSWORD)):
        masked = masks(f"user sluice, password {spelling}, failed")
        assert "1234" not in masked
        assert "user sluice" in masked
    assert masks("signed with correct horse") == "signed with ***"
    masks = Masks.of(settings(redis_url=f"redis+sentinel://:{QUOTED}@[::1],b/main?sentinel_password=battery%20staple"))
    assert masks(f"auth with {PASSWORD} and battery staple failed") == "auth with *** and *** failed"
    masks = Masks.of(settings(database_url=f"postgresql://u:{QUOTED}@a,b:5433/x?sslpassword=of-the-key"))
    assert masks(f"auth with {PASSWORD} and of-the-key failed") == "auth with *** and *** failed"


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("postgresql://sluice:secret@db:5432/x", "postgresql://sluice:***@db:5432/x"),
        ("postgresql://sluice@db/x?password=secret", "postgresql://sluice:***@db/x"),
        ("redis://:secret@cache:6379/0", "redis://:***@cache:6379/0"),
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("postgresql://u:p@ss@db/x", "***"),
        ("postgresql://u:se/cret@db/x", "***"),
        ("redis://:se?cret@db/x", "***"),
        ("redis+cluster://:secret@a:1,[::1]:2", "redis+cluster://:***@a:1,[::1]:2"),
        ("rediss+sentinel://a,b/main/0?sentinel_password=secret", "rediss+sentinel://a,b/main/0"),
        ("a webhook's key", "***"),
    ],
)
def test_a_secret_setting_is_shown_without_its_secret(url: str, line: str) -> None:
    assert shown(url) == line


@pytest.mark.parametrize("password", ["xq/yz", "xq?yz", "xq#yz", "12/34", "[12"])
def test_a_url_in_which_a_driver_would_take_the_password_for_a_port_is_refused_without_naming_it(password: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(database_url=f"postgresql://u:{password}@db/x")
    assert password[:2] not in str(caught.value)
    assert "percent-encode" in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://a:1,b:2/x", "postgres://u:p@[::1]:5432/x", "postgresql:///x?host=/run"])
def test_a_url_that_drivers_understand_is_taken(url: str) -> None:
    assert settings(database_url=url).database == url


@pytest.mark.parametrize(
    "piece", ["slk_", "slk_a_", "://", "http", "https://", "a@", "eyJ", "eyJa.", "Basic ", "Token a"]
)
def test_no_text_makes_them_slow(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    Masks(["a known secret"])(text)
    assert time.process_time() - began < 1.0  # seconds; what is quadratic takes minutes
