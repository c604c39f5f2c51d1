"""Valid bytes made wrong, by a seeded generator: requests and frames as nobody means to send them. Pure."""

import gzip
import json
import random
from collections.abc import Sequence

import zstandard
from cramjam import snappy

from tests.acceptance.catalogue.case import JSON, batch, head, reading
from tests.acceptance.catalogue.websocket import BINARY, CLOSE, CONTINUED, PING, TEXT, command, frame, subscribe
from tests.unit.otlp import as_json, request
from tests.unit.prometheus import body as remote_write

TYPE = JSON.removesuffix(b"\r\n")
PROTOBUF = b"Content-Type: application/x-protobuf"
TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b'"', b"{", b"}", b"[", b"]", b"%00", b"%ff", b"\xff\xfe"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Host: b\r\n"),
    *(b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Upgrade: websocket\r\n", b"HTTP/1.0"),
    *(b"Content-Encoding: gzip\r\n", b"Content-Encoding: zstd\r\n", b"0\r\n\r\n", b"ffffffff\r\n", b"-1", b"1e999"),
    *(b"NaN", b"null", b"true", b"18446744073709551616", b"9" * 400, b"\\ud800", b"\\u0000", b"[" * 300),
    *(b"?partial=true", b"?on_conflict=replace", b"/..", b"#", b"GET ", b"POST ", b"\x81\x80\0\0\0\0", b"\x89\x00"),
]  # fmt: skip


def requests() -> list[bytes]:
    """Good requests of most kinds; each reading in them is a new one."""
    rows = json.dumps(batch(3, labels={"site": "A"})).encode()
    at = reading()["ts"]
    columns = json.dumps(
        {"device": "pump-7", "ts": [at, at + 1], "values": {"x": [1, None], "y": [2.5, True]}}
    ).encode()
    many = json.dumps([batch(2), batch(1, device="pump-8")]).encode()
    rule = {"condition": {"type": "threshold", "levels": [{"severity": "info", "above": 1}]}}
    preview = {"rule": {"name": "r", "device": "pump-*", "metric": "temperature"} | rule, "from": at, "to": at + 1}
    posts = [(rows, ()), (columns, ()), (many, ()), (gzip.compress(rows), (b"Content-Encoding: gzip",))]
    posts.append((zstandard.ZstdCompressor().compress(rows), (b"Content-Encoding: zstd",)))
    return [
        *[head(TYPE, b"Content-Length: %d" % len(body), *lines) + body for body, lines in posts],
        head(TYPE, b"Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(rows), rows),
        head(TYPE, b"Content-Length: %d" % len(rows), target=b"POST /v1/readings?partial=true") + rows,
        _posted(b"POST /v1/rules/preview", preview),
        head(target=b"GET /v1/devices?prefix=pump&limit=10"),
        head(target=b"GET /v1/devices/pump-7/latest"),
        head(target=b"GET /v1/alerts?state=firing&severity=critical&limit=5"),
        head(target=b"GET /v1/alerts/events?after=0"),
        head(target=b"GET /healthz") + head(target=b"GET /readyz"),
    ]


def _posted(target: bytes, document: object) -> bytes:
    body = json.dumps(document).encode()
    return head(TYPE, b"Content-Length: %d" % len(body), target=target) + body


def foreign_requests() -> list[bytes]:
    """Requests of other protocols: good ones, and many with a body in which something is wrong, all well framed."""
    chance, at = random.Random(0), reading()["ts"]
    lines = [
        f"m,host=pump-7,site=A v=1.5,n=2i,up=t {at}\nm,host=pump-8 v=1e3 {at}\n".encode(),
        f'm\\ x,host=pump-7 s="a, b=c",v=-1,t="\\"q\\"" {at}\nm,host=a s="only" {at}\n# no\n\nm,host=a w=1'.encode(),
    ]
    samples = [
        remote_write(([("__name__", "up"), ("instance", "a:1"), ("job", "x")], [(1.5, at)]), ([], [(0.0, at)])),
        remote_write(([("__name__", "up"), ("instance", "a:1")], [(1.0, at), (2.0, at + 1)])),
    ]
    gauge = request(1.5, 2, time=at * 1_000_000, site="A")
    points = {PROTOBUF: [gauge.SerializeToString()], TYPE: [json.dumps(as_json(gauge)).encode()]}
    found = []
    for turn in range(2_000):
        wrong = turn >= 10
        line = mutated(chance, lines) if wrong else chance.choice(lines)
        v1, v2, query = b"POST /write?db=d&precision=ms", b"POST /api/v2/write?precision=ms", b"POST /query"
        found.append(head(b"Content-Length: %d" % len(line), target=chance.choice((v1, v2, query))) + line)
        packed = bytes(snappy.compress_raw(mutated(chance, samples) if wrong else chance.choice(samples)))
        kind = PROTOBUF, b"Content-Encoding: snappy"
        found.append(head(*kind, b"Content-Length: %d" % len(packed), target=b"POST /api/v1/write") + packed)
        encoding = chance.choice((PROTOBUF, TYPE))
        otlp = mutated(chance, points[encoding]) if wrong else points[encoding][0]
        found.append(head(encoding, b"Content-Length: %d" % len(otlp), target=b"POST /v1/metrics") + otlp)
    return found


def frames() -> list[bytes]:
    """Good frames, and legal ones of the rarer kinds."""
    return [
        subscribe(2, "alerts"),
        subscribe(3, "alerts:pump-7", recover=True, epoch="e", offset=0),
        subscribe(4, "readings:pump-7", data={"max_rate": 5, "metrics": ["temperature"]}),
        command(5, unsubscribe={"channel": "alerts"}),
        command(6, ping={}) + frame(TEXT, b"{}"),
        frame(TEXT, b'{"id":7,', fin=False) + frame(PING, b"x") + frame(CONTINUED, b'"ping":{}}'),
        frame(BINARY, b"\x00\x01"),
        frame(CLOSE, (1000).to_bytes(2) + b"bye"),
        frame(TEXT, b'{"id":8,"ping":{}}\n{"id":9,"rpc":{}}\n{}'),
    ]


def often_whole(chance: random.Random, good: Sequence[bytes]) -> bytes:
    """One of them, as it is more often than not."""
    return chance.choice(good) if chance.random() < 0.6 else mutated(chance, good)


def mutated(chance: random.Random, good: Sequence[bytes]) -> bytes:
    """One of them, or two in a row, with one to six things wrong; sometimes with none."""
    data = bytearray(chance.choice(good))
    if chance.random() < 0.2:
        data += chance.choice(good)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 6))):
        _mutate(chance, data)
    return bytes(data)


def _mutate(chance: random.Random, data: bytearray) -> None:
    place = chance.randrange(len(data) + 1)
    span = min(int(chance.expovariate(0.15)) + 1, 64)
    match chance.randrange(7):
        case 0 if place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        case 1:
            del data[place : place + span]
        case 2:
            data[place:place] = chance.choice(TOKENS)
        case 3:
            data[place:place] = data[place : place + span] * chance.choice((1, 2, 50))
        case 4:
            data[place:place] = chance.randbytes(span)
        case 5:
            del data[place:]
        case _:
            data[place : place + span] = chance.choice(TOKENS)
