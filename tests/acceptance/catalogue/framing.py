"""Framing: what is no HTTP, what is too much of it, and paths and methods that do not exist."""

from tests.acceptance.catalogue.case import AUTHORIZED, DOORS, HOST, JSON, Case, head, raw

BODY = b'{"device":"s3cretValue","readings":[]}'
CHUNKED = b"Transfer-Encoding: chunked"
JSON_LINE = JSON.removesuffix(b"\r\n")
GET = b"GET /healthz"
METHODS = ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


def bad(name: str, *lines: bytes, body: bytes = BODY) -> Case:
    """A POST of JSON with lines that no sound request has."""
    return raw(name, 400, "bad_http", head(JSON_LINE, *lines) + body)


def headed(name: str, block: bytes) -> Case:
    """A GET whose header block is exactly this."""
    return raw(name, 400, "bad_http", GET + b" HTTP/1.1\r\n" + block + b"\r\n")


def asked(name: str, status: int, code: str, target: bytes, *lines: bytes) -> Case:
    """A request without a body."""
    return raw(name, status, code, head(*lines, target=target))


FRAMING = [
    bad("Content-Length and Transfer-Encoding", b"Content-Length: 38", CHUNKED, body=b"0\r\n\r\n"),
    bad("Transfer-Encoding and Content-Length", CHUNKED, b"Content-Length: 38", body=b"0\r\n\r\n"),
    bad("conflicting lengths", b"Content-Length: 38", b"Content-Length: 39"),
    bad("the same length twice", b"Content-Length: 38", b"Content-Length: 38"),
    bad("lengths in a list", b"Content-Length: 38, 38"),
    bad("negative length", b"Content-Length: -1"),
    bad("signed length", b"Content-Length: +38"),
    bad("length in hexadecimal", b"Content-Length: 0x26"),
    bad("no length in Content-Length", b"Content-Length: s3cretValue"),
    bad("empty Content-Length", b"Content-Length: "),
    bad("20-digit length", b"Content-Length: 10000000000000000000"),
    bad("20-digit length that overflows", b"Content-Length: 99999999999999999999"),
    bad("unknown Transfer-Encoding", b"Transfer-Encoding: s3cretValue"),
    bad("chunked, but not at last", b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    bad("bad chunk size", CHUNKED, body=b"zz\r\n" + BODY + b"\r\n0\r\n\r\n"),
    bad("negative chunk size", CHUNKED, body=b"-1\r\n" + BODY + b"\r\n0\r\n\r\n"),
    bad("huge chunk size", CHUNKED, body=b"f" * 20 + b"\r\n" + BODY),
    bad("chunk longer than its size", CHUNKED, body=b"5\r\n" + BODY + b"\r\n0\r\n\r\n"),
    bad("chunk ended by a bare LF", CHUNKED, body=b"26\n" + BODY + b"\n0\n\n"),
    headed("no Host", AUTHORIZED),
    headed("two Hosts", HOST + b"Host: s3cretValue\r\n"),
    headed("NUL in a header", HOST + b"X-A: s3cret\x00Value\r\n"),
    headed("NUL in a header's name", HOST + b"X\x00A: s3cretValue\r\n"),
    headed("bare LF in a header", HOST + b"X-A: s3cretValue\nX-B: b\r\n"),
    headed("bare CR in a header", HOST + b"X-A: s3cret\rValue\r\n"),
    headed("folded header", HOST + b"X-A: a\r\n s3cretValue\r\n"),
    headed("folded first header", b" Host: sluice\r\n"),
    headed("space before the colon", HOST + b"X-A : s3cretValue\r\n"),
    headed("header without a colon", HOST + b"s3cretValue\r\n"),
    headed("header without a name", HOST + b": s3cretValue\r\n"),
    raw("1 MB header", 431, "head_too_large", GET + b" HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n"),
    raw("20,000 headers", 431, "head_too_large", head(*[b"X-%d: 1" % number for number in range(20_000)])),
    raw("1 MB URL", 414, "url_too_long", head(target=b"GET /" + b"x" * 1_000_000)),
    raw("1 MB query", 414, "url_too_long", head(target=b"GET /healthz?" + b"x" * 1_000_000)),
    raw("TLS hello", 400, "bad_http", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2),
    raw("HTTP/2 preface", 400, "bad_http", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    raw("HTTP/0.9", 400, "bad_http", b"GET /s3cretValue\r\n\r\n"),
    raw("a version that is none", 400, "bad_http", b"GET / HTTP/9.9\r\n" + HOST + b"\r\n"),
    raw("a method that is none", 400, "bad_http", head(target=b"S3CRETVALUE /v1/readings")),
    raw("CONNECT", 400, "bad_http", b"CONNECT s3cretValue:443 HTTP/1.1\r\nHost: s3cretValue:443\r\n\r\n"),
    raw("SSH", 400, "bad_http", b"SSH-2.0-s3cretValue\r\n"),
    raw("raw bytes in the path", 400, "bad_http", head(target=b"GET /\xff\xfe")),
    *[
        raw(
            f"Expect with an oversize length, door {number}",
            413,
            "too_large",
            head(JSON_LINE, b"Expect: 100-continue", b"Content-Length: 8388609", target=b"POST " + door),
        )
        for number, door in enumerate(DOORS)
    ],
    raw(
        "Expect with an oversize length, another route",
        413,
        "too_large",
        head(JSON_LINE, b"Expect: 100-continue", b"Content-Length: 8388609", target=b"POST /v1/rules"),
    ),
    asked("%00 in the path", 404, "not_found", b"GET /v1/devices/s3cretValue%00"),
    asked("%00 as an id", 404, "not_found", b"DELETE /v1/rules/%00"),
    asked("/../ in the path", 404, "http", b"GET /../../s3cretValue"),
    asked("/../ behind a route", 404, "not_found", b"GET /v1/devices/../../s3cretValue"),
    asked("/../ in the page's folder", 404, "not_found", b"GET /dashboard/../../s3cretValue"),
    asked("bad UTF-8 in the path", 404, "not_found", b"GET /v1/devices/%ff%fes3cretValue"),
    asked("an overlong UTF-8 slash", 404, "not_found", b"GET /v1/devices/%c0%afs3cretValue"),
    asked("an unknown path", 404, "http", b"GET /v1/s3cretValue"),
    *[asked(f"{method} where it is wrong", 405, "http", f"{method} /v1/readings".encode()) for method in METHODS],
    asked("GET where it is wrong", 405, "http", b"GET /v1/keys/s3cretValue"),
    asked("POST where it is wrong", 405, "http", b"POST /healthz", b"Content-Length: 0"),
]  # fmt: skip
