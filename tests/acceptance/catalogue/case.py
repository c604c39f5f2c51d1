"""One line of the catalogue: what is sent, and what has to come back."""

import itertools
import json
import time
from dataclasses import dataclass
from typing import Any

SECRET = "s3cretValue"
"""In much of what is sent; never in what comes back."""

KEY = b"$KEY$"
"""Stands for the admin key, which exists only once the server runs."""

DEVICE, METRIC = "pump-7", "temperature"
HOST = b"Host: sluice\r\n"
AUTHORIZED = b"Authorization: Bearer " + KEY + b"\r\n"
JSON = b"Content-Type: application/json\r\n"
DOORS = (b"/v1/readings", b"/v1/readings?on_conflict=keep")
"""The same request, as it takes the express door where it can, and as it never does."""

_times = itertools.count(time.time_ns() // 1_000_000 - 3_600_000)  # milliseconds, none of them twice


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is sent on a connection of its own."""

    name: str
    status: int
    code: str
    """Of the problem; empty for a success."""
    sent: tuple[bytes, ...]
    """One or more whole requests that have to be answered alike, each on its own connection."""
    stored: int = 0
    """Readings that each of them stores."""
    within_s: float = 5.0

    def __str__(self) -> str:
        return self.name


def raw(name: str, status: int, code: str, sent: bytes) -> Case:
    """Bytes as they are."""
    return Case(name, status, code, (sent,))


def head(*lines: bytes, target: bytes = b"POST /v1/readings") -> bytes:
    """A head with these lines besides the usual ones, to its end."""
    return b"".join((target, b" HTTP/1.1\r\n", HOST, AUTHORIZED, *(line + b"\r\n" for line in lines), b"\r\n"))


def posted(name: str, status: int, code: str, body: Any, *headers: bytes, stored: int = 0) -> Case:
    """A body, through both doors; as JSON unless headers say otherwise."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = headers or (b"Content-Type: application/json",)
    length = b"Content-Length: %d" % len(data)
    sent = tuple(head(*lines, length, target=b"POST " + door) + data for door in DOORS)
    # What is stored is stored by the first; the second one's are duplicates.
    return Case(name, status, code, sent, stored)


def reading(**change: Any) -> dict[str, Any]:
    """A reading that was never sent before, with something about it changed."""
    return {"ts": next(_times), "metric": METRIC, "value": 1.5} | change


def batch(count: int = 1, **change: Any) -> dict[str, Any]:
    """A good batch, with something about it changed."""
    return {"device": DEVICE, "readings": [reading() for _ in range(count)]} | change


def one_bad(name: str, code: str, **change: Any) -> Case:
    """A batch of five, of which one is bad: 422, and nothing of it is stored."""
    return posted(name, 422, code, batch(readings=[*(reading() for _ in range(4)), reading(**change)]))


def good_request() -> bytes:
    """A request that has to be answered with 200 and one reading accepted."""
    body = json.dumps(batch()).encode()
    return head(b"Content-Type: application/json", b"Content-Length: %d" % len(body)) + body
