"""JSON: what is none, and what is but is no batch."""

import json

from tests.acceptance.catalogue.case import SECRET, Case, batch, posted, reading

GOOD = json.dumps(batch()).encode()


def malformed(name: str, body: bytes) -> Case:
    """A body that is no JSON."""
    return posted(name, 400, "malformed", body)


def valued(name: str, literal: str, status: int, code: str) -> Case:
    """A good batch but for one value, which is written so."""
    body = json.dumps(batch(readings=[reading(value="@")])).replace('"@"', literal).encode()
    return posted(name, status, code, body)


def nested(depth: int) -> str:
    """Lists within lists."""
    return "[" * depth + "]" * depth


JSON = [
    malformed("a byte order mark", b"\xef\xbb\xbf" + GOOD),
    malformed("invalid UTF-8", GOOD.replace(b"pump-7", b"pump-\xff")),
    malformed("overlong UTF-8", GOOD.replace(b"pump-7", b"pump-\xc0\xaf")),
    malformed("UTF-16", GOOD.decode().encode("utf-16")),
    malformed("a surrogate in UTF-8", GOOD.replace(b"pump-7", b"pump-\xed\xa0\x80")),
    malformed("a lone surrogate in a value", GOOD.replace(b"pump-7", rb"pump-\ud800")),
    malformed("a lone surrogate in a key", GOOD.replace(b'"device"', rb'"labels":{"\udc00":"1"},"device"')),
    malformed("a lone surrogate in a metric", GOOD.replace(b"temperature", rb"t\udfff")),
    valued("NaN", "NaN", 422, "invalid"),
    valued("Infinity", "Infinity", 422, "invalid"),
    valued("-Infinity", "-Infinity", 422, "invalid"),
    valued("1e999", "1e999", 422, "invalid"),
    valued("a 400-digit integer", "9" * 400, 422, "invalid"),
    valued("a 5,000-digit integer", "9" * 5_000, 400, "malformed"),
    valued("a value nested 201 deep", nested(201), 400, "malformed"),
    malformed("a body nested 201 deep", nested(201).encode()),
    malformed("objects nested 201 deep", b'{"a":' * 201 + b"1" + b"}" * 201),
    malformed("labels nested 201 deep", GOOD[:-1] + b',"labels":' + nested(201).encode() + b"}"),
    posted("a body nested 150 deep", 422, "invalid", nested(150).encode()),
    malformed("100 KB of [", b"[" * 100_000),
    malformed("100 KB of {", b'{"a":' * 20_000),
    malformed("something behind the end", b"[]x"),
    malformed("two documents", GOOD + GOOD),
    malformed("a comment", b"/* s3cretValue */" + GOOD),
    malformed("a comment at the end", GOOD + b"// s3cretValue"),
    malformed("a trailing comma in a list", b"[" + GOOD + b",]"),
    malformed("a trailing comma in an object", GOOD[:-1] + b",}"),
    malformed("single quotes", GOOD.replace(b'"', b"'")),
    malformed("keys without quotes", b"{device:1}"),
    malformed("a control character in a string", GOOD.replace(b"pump-7", b"pump-\x01")),
    malformed("a bad escape", GOOD.replace(b"pump-7", rb"pump-\x41")),
    malformed("a number that is none", GOOD.replace(b"1.5", b"01.5")),
    malformed("only spaces", b"  \n "),
    malformed("the beginning of a batch", GOOD[:-1]),
    posted("null", 422, "invalid", b"null"),
    posted("a string", 422, "invalid", f'"{SECRET}"'.encode()),
    posted("a number", 422, "invalid", b"1"),
    posted("true", 422, "invalid", b"true"),
    posted("a list of nothing but null", 422, "invalid", b"[null]"),
    posted("an unknown field of a batch", 422, "invalid", batch(**{SECRET: 1})),
    posted("an unknown field of a reading", 422, "invalid", batch(readings=[reading(**{SECRET: 1})])),
    posted("a thousand unknown fields", 422, "invalid", batch(**{f"{SECRET}{number}": 1 for number in range(1_000)})),
    posted("9,000 bad items", 422, "invalid", batch(readings=[{"value": SECRET * 5} for _ in range(9_000)])),
    posted("20,000 bad items", 413, "too_large", batch(readings=[{"value": SECRET} for _ in range(20_000)])),
    posted("20,000 bad items that are no batches", 413, "too_large", [SECRET] * 20_000),
]
