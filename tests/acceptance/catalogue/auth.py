"""Auth and abuse: who is refused, and hears nothing but that.

`LIMITED` is read to a server where the keys have used up what they may: tests/acceptance/test_catalogue_limits.py.
"""

import base64
from dataclasses import replace

from tests.acceptance.catalogue.case import HOST, JSON, KEY, SECRET, Case, batch, head, posted, raw, reading

BODY = b"s3cretValue, which is no JSON"
TARGETS = (
    b"POST /v1/readings",
    b"POST /v1/readings?partial=perhaps",
    b"POST /v1/rules",
    b"GET /v1/alerts?limit=nonsense",
    b"GET /v1/devices?limit=1e9",
    b"DELETE /v1/keys/NO%20ID",
    b"PUT /v1/rules/none",
)


def unauthorized(name: str, *lines: bytes) -> Case:
    """Refused alike at every route, before anything else about the request is judged."""
    tail = b"".join((*(line + b"\r\n" for line in lines), JSON, b"Content-Length: %d\r\n\r\n" % len(BODY), BODY))
    return Case(name, 401, "unauthorized", tuple(target + b" HTTP/1.1\r\n" + HOST + tail for target in TARGETS))


def bearer(name: str, key: bytes) -> Case:
    """A key that is none."""
    return unauthorized(name, b"Authorization: Bearer " + key)


def asked(name: str, status: int, code: str, target: bytes, *lines: bytes) -> Case:
    """A request of the admin."""
    return raw(name, status, code, head(*lines, target=target))


AUTH = [
    unauthorized("no key"),
    unauthorized("an empty Authorization", b"Authorization: "),
    unauthorized("a kind without a key", b"Authorization: Bearer"),
    unauthorized("an unknown kind", b"Authorization: Digest s3cretValue"),
    unauthorized("Basic that is no base64", b"Authorization: Basic s3cret!Value"),
    unauthorized("Basic without a password", b"Authorization: Basic " + base64.b64encode(b"s3cretValue")),
    unauthorized("a wrong X-API-Key", b"X-API-Key: s3cretValue"),
    bearer("a malformed key", b"s3cretValue"),
    bearer("an unknown id", b"slk_unknownid_s3cretValue"),
    bearer("a wrong secret", b"slk_$ID$_s3cretValue"),
    bearer("a revoked key", b"$REVOKED$"),
    bearer("an expired key", b"$EXPIRED$"),
    bearer("a key that is not ASCII", "slk_schlüssel_größe".encode()),
    bearer("an 8 KB key", b"slk_a_" + b"x" * 8_192),
    asked("limit=1e9", 422, "invalid", b"GET /v1/devices?limit=1e9"),
    asked("limit=0", 422, "invalid", b"GET /v1/alerts?limit=0"),
    asked("a cursor that is none", 422, "invalid", b"GET /v1/devices?cursor=s3cretValue"),
    asked("a state that is none", 422, "invalid", b"GET /v1/alerts?state=s3cretValue"),
    asked("an offset that is none", 422, "invalid", b"GET /v1/alerts/events?after=-1"),
    asked(
        "a preflight of a foreign origin",
        405,
        "http",
        b"OPTIONS /v1/readings",
        b"Origin: https://evil.example",
        b"Access-Control-Request-Method: POST",
    ),
]
# Of the read side's routes: order=pg_sleep(1), from > to, limit=1e9 on readings (tests/acceptance, with those routes).


def of_key(name: bytes, case: Case) -> Case:
    """The same with another key than the admin's."""
    return replace(case, sent=tuple(sent.replace(KEY, name) for sent in case.sent))


GREEDY, HASTY = b"$GREEDY$", b"$HASTY$"
LIMITED = [
    of_key(GREEDY, posted("a reading beyond the quota", 429, "quota_exceeded", batch(labels={"site": SECRET}))),
    of_key(GREEDY, posted("a thousand readings beyond the quota", 429, "quota_exceeded", batch(1_000))),
    of_key(GREEDY, posted("a new series beyond the quota", 429, "quota_exceeded", batch(device=SECRET))),
    posted("a metric more than the cap on series", 422, "invalid", batch(readings=[reading(metric=SECRET)])),
    posted("a device more than the cap on series", 422, "invalid", batch(device=SECRET)),
    posted("a label more than the cap on series", 422, "invalid", batch(labels={"site": SECRET})),
    posted(
        "a series more than the cap among good ones",
        *(422, "invalid"),
        batch(readings=[reading(), reading(metric=SECRET), reading()]),
    ),
]
