"""The quick reader of line protocol against the strict one: alike on whatever is sent, and nothing that was not."""

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import influx
from ingest.formats.influx_points import Points
from ingest.formats.influx_quick import Odd, read_quick
from schemas.columns import Columns
from schemas.errors import TooLarge
from tests.unit.influx import MS, NOW_US, TERMS, line, table

NAMES = st.text('ab,= \\"#é_-.0', min_size=1, max_size=6).filter(
    lambda name: name[0] not in "#\\, " and name[-1] not in "\\ "
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.none() | st.integers(MS - 80_000_000, MS + 500_000)
PIECES = st.sampled_from(
    [
        "m,host=a", "m,host=b,x=y", "m,host=a ", "m", ",", " ", "  ", "\n", "\n\n", "#", "=", "v=1", "w=2.5", "v=-3i",
        "v=3u", "v=t", "v=x", 'v="a"', 'v="', '"', "\\", "\\ ", f" {MS}", f" {MS + 7}", " 17", f" {MS}\n", "\r\n", "1",
        "v=1e3,w=nan", "-", "_", ".", "i", "\t", "\0", "é", f"m,host=a v=1 {MS}\n", f"m,host=a v=2 {MS + 1}\n",
        f"m,host=b v=3i,w=f {MS + 2}\n", "m,host=a v=4\n", f'm,host=a s="x, y=z",v=5 {MS}\n',
        f'm,host=a s="x y" {MS + 3}\n',
        f'm\\ x,host=a\\ b,t=c\\,d f\\=1=6,s="say \\"it\\"" {MS}\n', 's="a, b=c d"', ',s="', '="', '"="', "\\,", "\\=",
        f'm,host="a b" v=1 {MS}\n', f'm,host s="x" {MS}\n', f'm,host=a ="x" {MS}\n',
    ]
)  # fmt: skip


def nothing_quickly(body: bytes, _: int) -> tuple[Points, Odd]:
    """Leave every line to the strict reader."""
    odd: Odd = []
    offset = 0
    for number, each in enumerate(body.split(b"\n"), 1):
        odd.append((number, offset))
        offset += len(each) + 1
    return Points.none(), odd


def strictly(body: bytes) -> Columns:
    """Decode by the strict reader alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(influx, "read_quick", nothing_quickly)
        return influx.decode(body, TERMS, "ms")


def outcome(columns: Columns) -> tuple[Any, ...]:
    """All that a decoder says, values to the bit."""
    rows = [(*row[:4], struct.pack("d", row[4])) for row in table(columns)]
    return rows, sorted(fault.loc[1] for fault in columns.rejected), columns.skipped, sorted(columns.series)


def assert_alike(body: bytes) -> None:
    """Both readers say the same, or refuse the body alike."""
    try:
        wanted = outcome(strictly(body))
    except TooLarge:
        with pytest.raises(TooLarge):
            influx.decode(body, TERMS, "ms")
        return
    assert outcome(influx.decode(body, TERMS, "ms")) == wanted


@given(st.lists(PIECES, max_size=40))
def test_both_readers_agree_on_what_is_put_together_of_pieces(pieces: list[str]) -> None:
    assert_alike("".join(pieces).encode())


@given(st.binary(max_size=200))
def test_both_readers_agree_on_any_bytes(body: bytes) -> None:
    assert_alike(body)


def _lines(draw: Any) -> tuple[list[str], list[tuple[str, str, int, float]]]:
    lines, wanted = [], []
    for number in range(draw(st.integers(0, 8))):
        device, measurement = draw(NAMES), draw(NAMES)
        fields = draw(
            st.dictionaries(NAMES, NUMBERS | st.booleans() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3)
        )
        time = draw(TIMES)
        texts = {name: _text(value) for name, value in fields.items()}
        lines.append(line(measurement, {"host": device, "n": str(number)}, texts, time))
        ts = NOW_US if time is None else time * 1_000
        wanted += [(device, f"{measurement}.{name}", ts, float(value)) for name, value in fields.items()]
    return lines, wanted


def _text(value: float | bool) -> str:
    if isinstance(value, bool):
        return str(value)
    return f"{value}i" if isinstance(value, int) else repr(value)


@given(st.data(), st.binary(max_size=3), st.integers(0, 10**6))
def test_what_was_encoded_is_read_again_and_mutated_bytes_are_read_alike(
    data: st.DataObject, noise: bytes, at: int
) -> None:
    lines, wanted = _lines(data.draw)
    body = "\n".join(lines).encode()
    columns = influx.decode(body, TERMS, "ms")
    found = [(device, metric, ts, value) for device, metric, _, ts, value in table(columns)]
    assert (found, columns.rejected) == (wanted, [])
    assert_alike(body)
    place = at % (len(body) + 1)
    assert_alike(body[:place] + noise + body[place + 1 :])


@given(st.lists(st.integers(0, 30), max_size=4), st.binary(min_size=1, max_size=4))
def test_a_line_that_was_spoilt_takes_no_other_with_it(places: list[int], noise: bytes) -> None:
    lines = [f"m,host=a{number} v={number}.5 {MS + number}".encode() for number in range(30)]
    for place in places:
        lines[place % 30] = noise.replace(b'"', b"'").replace(b"\n", b"") + lines[place % 30][3:]
    columns = influx.decode(b"\n".join(lines), TERMS, "ms")
    untouched = {number for number in range(30) if number not in {place % 30 for place in places}}
    found = {int(row[0][1:]): row[4] for row in table(columns) if row[1] == "m.v" and row[0].startswith("a")}
    assert untouched <= found.keys()
    assert all(value == number + 0.5 for number, value in found.items())


def test_the_common_shapes_are_all_read_quickly() -> None:
    shapes = [
        "".join(f"cpu,cpu=cpu{n},host=a usage_idle={n}.25,usage_user=1.1e-3 {MS + n}\n" for n in range(9)),
        "".join(f"m,host=a v={n}i,up=true,u={n}u\n" for n in range(9)),
        "\n".join(f"m,host=a{n} value=-{n}. {MS}" for n in range(9)),
        "".join(f'system,host=a load1={n}.5,uptime_format="1 day, {n}:0",n=1i {MS + n}\n' for n in range(9)),
        "".join(f'°C,entity_id=s{n},host=a,name=Living\\ Room s="on",v={n},t="a=b\\" c" {MS}\n' for n in range(9)),
        "".join(f'm,host=a s="only text" {MS}\nm,host=a v={n} {MS}\n' for n in range(9)),
    ]
    for shape in shapes:
        points, odd = read_quick(shape.encode(), 50)
        assert isinstance(points, Points)
        assert (len(points.keys) >= 9, odd) == (True, [])
        assert_alike(shape.encode())


@given(st.binary(max_size=300))
def test_no_bytes_break_the_decoder(body: bytes) -> None:
    for precision in ("ns", "h"):
        with contextlib.suppress(TooLarge):
            influx.decode(body, TERMS, precision)
