"""`SLUICE_REDIS_URL`: what each form means, and what is said of one that means nothing."""

import subprocess
import sys
from binascii import crc_hqx

import pytest
from pydantic import SecretStr, ValidationError
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisAway

from server.redis_places import Owners, RedisPlaces
from server.redis_url import RedisUrl
from server.settings import Settings


def test_one_server_is_what_redis_py_makes_of_it() -> None:
    url = RedisUrl.parse("redis://u:p%40w@h:1/2?socket_timeout=3&max_connections=5")
    wanted = {"host": "h", "port": 1, "db": 2, "socket_timeout": 3.0, "max_connections": 5}
    assert (url.kind, dict(url.options)) == ("server", {**wanted, "username": "u", "password": "p@w"})
    assert RedisUrl.parse("rediss://h").options["connection_class"] is SSLConnection
    assert RedisUrl.parse("unix:///run/x.sock?db=3").options["connection_class"] is UnixDomainSocketConnection


def test_a_cluster_has_members_and_one_password() -> None:
    url = RedisUrl.parse("redis+cluster://:p%40w@a:7000,b,[::1]:7001/0")
    assert (url.kind, dict(url.options)) == ("cluster", {"password": "p@w"})
    assert url.members == (("a", 7000), ("b", 6379), ("::1", 7001))
    assert RedisUrl.parse("rediss+cluster://a?ssl_ca_certs=/ca").options["ssl_ca_certs"] == "/ca"
    assert RedisPlaces(url).sharded


def test_sentinels_have_a_password_of_their_own_and_share_tls() -> None:
    url = RedisUrl.parse("rediss+sentinel://u:p@a:1,b/main/2?sentinel_password=x%26y&ssl_ca_certs=/ca&socket_timeout=1")
    assert (url.kind, url.service, url.members) == ("sentinel", "main", (("a", 1), ("b", 26379)))
    tls = {"connection_class": SSLConnection, "ssl_ca_certs": "/ca"}
    assert url.options == {**tls, "username": "u", "password": "p", "db": 2, "socket_timeout": 1.0}
    assert url.sentinel_options == {**tls, "password": "x&y"}
    made = RedisPlaces(url).sentinel(url.members[1]).connection_pool.connection_kwargs
    assert (made["host"], made["port"], made["password"], made["socket_timeout"]) == ("b", 26379, "x&y", 0.5)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis-sentinel://a/main", "redis+sentinel://"),
        ("postgresql://a/b", "has to begin with one of redis://"),
        ("redis+sentinel://a:1", "name of the service"),
        ("redis+sentinel://a:1/main/x", "/service/database"),
        ("redis+cluster://a/1", "no database but 0"),
        ("redis+cluster://a?db=1", "no database but 0"),
        ("redis+cluster://a:1,,b:2", "member without a host"),
        ("redis+cluster://a:99999", "99999"),
        ("redis+cluster://a,:secret@b", "stand once, before all members"),
        ("redis+cluster://:se/cret@a", "percent-encode"),
        ("redis+sentinel://:secret:1,a/main", "percent-encode"),
        ("redis://:12/secret@h", "percent-encode"),
        ("redis://h?foo=1", "does not know: foo"),
        ("redis+cluster://a?foo=1", "does not know: foo"),
        ("redis+cluster://a?protocol=9", "does not take: protocol"),
        ("rediss+sentinel://a/main?ssl_cert_reqs=perhaps", "does not take: Invalid SSL"),
        ("redis://h?retry=3", "does not work with: retry"),
        ("redis+sentinel://a/main?decode_responses=true", "does not work with: decode_responses"),
        ("redis+cluster://a?socket_timeout=soon", "socket_timeout"),
        ("redis+cluster://a?ssl_ca_certs=/ca", "rediss+"),
        ("redis+cluster://a?sentinel_password=secret", "no sentinels"),
    ],
)
def test_what_is_wrong_is_said_and_no_password(url: str, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"redis_url": SecretStr(url)})
    assert told in str(caught.value)
    assert "cret" not in str(caught.value)


def test_a_command_that_asks_no_redis_does_not_load_its_client() -> None:
    code = "import sys, server.cli; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_a_key_is_where_its_slot_is() -> None:
    a, b = ("a", 1), ("b", 2)
    owners = Owners([(0, 5_000, [a, b]), (5_001, 10_000, [b]), (12_182, 16_383, [a])])
    assert owners.of("foo") == a  # slot 12182, as `CLUSTER KEYSLOT` says
    assert owners.of("any{foo}thing") == a
    assert owners.of("bar") == b  # 5061
    with pytest.raises(RedisAway, match="slot 10001"):
        owners.of(next(key for key in map(str, range(10**6)) if _slot(key) == 10_001))


def _slot(key: str) -> int:
    return crc_hqx(key.encode(), 0) % 16_384
