"""A million mutated bodies of line protocol: both readers agree on each, so nothing is read that was not sent."""

import random

import pytest

from tests.unit.influx import MS
from tests.unit.test_influx_quick import assert_alike

SEED = 8
SHORT, LONG = 2_000, 1_000_000
SEEDS = [
    f"cpu,cpu=cpu0,host=a idle=98.2,user=1.1e-3 {MS}\ncpu,cpu=cpu1,host=a idle=7,n=3i,up=t {MS + 1}\n",
    f'm\\ x,host=a\\ b,t=c\\,d s="a, b=c",v=1,u=2u,e="" {MS}\nm,host=a s="only text" {MS}\nm,host=a v=2 {MS}\n',
    f'm,host=a v=1,s="over\ntwo lines" {MS}\r\n# a comment\n\nm,host=b w=-1.5\nm,host=b w=-2.5,s="\\"q\\" \\\\"\n',
]
PIECES = [
    *(b"", b"\n", b" ", b",", b"=", b'"', b"\\", b'="', b'",', b'" ', b"\\ ", b"\\,", b"\\=", b'\\"', b"."),
    *(b"i", b"u", b"-", b"e5", b"nan", b"_", b"\0", b"\t", b"\r", b"#", b"\xff", b"\xfe", b"\xfd", b"\xfc", b"\xc3"),
    *(b"1", b"9" * 20, b"t"),
]  # fmt: skip


def mutated(chance: random.Random) -> bytes:
    """A body with one to four things wrong."""
    body = bytearray(chance.choice(SEEDS).encode())
    for _ in range(chance.randint(1, 4)):
        place, span = chance.randrange(len(body) + 1), chance.choice((0, 0, 1, 2, 9))
        if chance.random() < 0.2:
            body[place:place] = body[chance.randrange(len(body)) :][: chance.randint(1, 40)]
        else:
            body[place : place + span] = chance.choice(PIECES) or bytes([chance.randrange(256)])
    return bytes(body)


@pytest.mark.parametrize(
    "count", [SHORT, pytest.param(LONG, marks=[pytest.mark.long, pytest.mark.timeout(7_200)])], ids=["short", "long"]
)
def test_both_readers_agree_on_mutated_bodies(count: int) -> None:
    chance = random.Random(SEED)
    for _ in range(count):
        assert_alike(mutated(chance))
