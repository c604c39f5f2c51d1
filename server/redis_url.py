"""Where Redis is, as `SLUICE_REDIS_URL` says it: one server, a cluster, or what Sentinel watches over.

    redis://:password@host:6379/0                               rediss:// by TLS, unix:// by a socket
    redis+cluster://:password@host:6379,host:6379               rediss+cluster:// by TLS
    redis+sentinel://:password@host:26379,host:26379/service/0  rediss+sentinel:// by TLS, to the sentinels as well

Behind a question mark stand redis-py's options; `sentinel_username` and `sentinel_password` are the sentinels' own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

PORTS = {"cluster": 6379, "sentinel": 26379}
SCHEMES = ("redis", "rediss", "unix", *(f"{base}+{kind}" for kind in PORTS for base in ("redis", "rediss")))
UNREADABLE = "not a URL with host and port; in a password, percent-encode all but letters and digits"
# As a driver would take the part of a password behind it for a port, a place that is none is not even named.
_PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:\[\]@]*)(?::(?P<port>[0-9]{1,5})?)?")
_DATABASE = re.compile(r"[0-9]{1,4}")
UNFIT = {"decode_responses", "retry"}
"""Options by which answers would be text instead of bytes, or something be an object that a URL cannot hold."""

Address = tuple[str, int]
"""Host and port."""


class Kind(StrEnum):
    """What answers there."""

    SERVER = "server"
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A URL, taken apart and looked at: what it leads to can be connected to as far as that is known here."""

    kind: Kind
    options: Mapping[str, Any]
    """Of a connection to Redis itself, as redis-py takes them; with host and port where there is one server."""
    members: tuple[Address, ...] = ()
    """Of the cluster, or sentinels: those that are asked where Redis is."""
    service: str = ""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, which says what is wrong and names no part of a password."""
        scheme, _, rest = text.partition("://")
        base, _, kind = scheme.partition("+")
        if scheme not in SCHEMES:
            raise ValueError(f"has to begin with one of {', '.join(f'{each}://' for each in SCHEMES)}")
        if not kind:
            return cls(Kind.SERVER, _checked(_one_server(text)))
        authority, path, query = _cut(rest)
        user, at, places = authority.rpartition("@")
        if "," in user:
            raise ValueError("has a comma before its last @: user and password stand once, before all members")
        members = tuple(_address(place, PORTS[kind]) for place in places.split(","))
        own, theirs = _sorted_query(query, base)
        service, database = _path(path, Kind(kind))
        options = _parsed(f"{base}://{user}{at}host/{database}?{urlencode(own)}")
        options.pop("host")
        if kind == Kind.CLUSTER:
            if theirs:
                raise ValueError(f"{scheme}:// knows no option {next(iter(theirs))}: there are no sentinels")
            if options.pop("db", 0):
                raise ValueError("a cluster has no database but 0")
            return cls(Kind.CLUSTER, _checked(options), members)
        shared = {name: value for name, value in options.items() if name.startswith("ssl_")}
        if "connection_class" in options:
            shared["connection_class"] = options["connection_class"]
        return cls(Kind.SENTINEL, _checked(options), members, service, _checked({**shared, **theirs}))


def _one_server(text: str) -> dict[str, Any]:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(UNREADABLE) from None
    if "@" in parts.path or not _PLACE.fullmatch(parts.netloc.rpartition("@")[2]):
        raise ValueError(UNREADABLE)
    return _parsed(text)


def _parsed(url: str) -> dict[str, Any]:
    """What redis-py reads in the URL of one server. Raises ValueError."""
    from redis.asyncio.connection import parse_url  # noqa: PLC0415 - see `_checked`

    return dict(parse_url(url))


def _cut(rest: str) -> tuple[str, str, str]:
    """What is behind `://`, as authority, path without its first slash, and query. `urlsplit` wants one host."""
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    if "@" in path or "#" in rest:
        raise ValueError(UNREADABLE)
    return authority, path, query


def _address(place: str, port: int) -> Address:
    found = _PLACE.fullmatch(place.strip())
    if found is None:
        raise ValueError(UNREADABLE)
    if not found["host"]:
        raise ValueError("names a member without a host; separate host:port and host:port by one comma")
    if found["port"] and not 0 < int(found["port"]) < 65_536:
        raise ValueError(f"has a port outside 1 to 65535: {found['port']}")
    return unquote(found["host"].strip("[]")), int(found["port"] or port)


def _sorted_query(query: str, base: str) -> tuple[dict[str, str], dict[str, str]]:
    """Options of connections to Redis, and those of connections to sentinels alone."""
    own, theirs = {}, {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name.startswith("ssl_") and base == "redis":
            raise ValueError(f"the option {name} needs rediss+ instead of redis+ in front")
        if name in {"sentinel_username", "sentinel_password"}:
            theirs[name.removeprefix("sentinel_")] = value
        else:
            own[name] = value
    return own, theirs


def _path(path: str, kind: Kind) -> tuple[str, str]:
    """The service's name and the database, each perhaps empty."""
    service, _, database = path.partition("/") if kind is Kind.SENTINEL else ("", "", path)
    database = database.removesuffix("/")
    if kind is Kind.SENTINEL and not service:
        raise ValueError("needs the name of the service behind the sentinels: …:26379/mymaster/0")
    if database and not _DATABASE.fullmatch(database):
        wanted = "/service/database" if kind is Kind.SENTINEL else "nothing"
        raise ValueError(f"has a path that is none: behind the members stands {wanted}, the database as a number")
    return unquote(service), database


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, if redis-py takes them all: to make a connection connects nothing."""
    # Here, as redis-py takes a fifth of a second to load: a command that asks no Redis need not wait for it.
    from redis.asyncio.connection import ConnectionPool  # noqa: PLC0415
    from redis.exceptions import RedisError  # noqa: PLC0415

    if unfit := UNFIT & options.keys():
        raise ValueError(f"has an option that Sluice does not work with: {min(unfit)}")
    try:
        ConnectionPool(**options).make_connection()  # type: ignore[no-untyped-call]
    except TypeError as error:
        found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        raise ValueError(f"has an option that redis-py does not know: {found[1] if found else error}") from None
    except RedisError as error:
        raise ValueError(f"has an option that redis-py does not take: {error}") from None
    return dict(options)
