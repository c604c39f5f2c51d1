"""Line protocol by its whole grammar: what each line becomes, or why it is refused, and what becomes of the others."""

import contextlib
import tracemalloc

import pytest

from ingest.formats.mapping import Mapping
from schemas.errors import SluiceError, TooLarge
from tests.unit.influx import MS, NOW_US, faults, read, table

HERE = "m,host=a"  # a head that makes a valid series


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0), ("-1.5", -1.5), ("+2", 2.0), ("1.", 1.0), (".5", 0.5), ("1e3", 1000.0), ("1.5E-3", 0.0015),
        ("5e-324", 5e-324), ("1.7976931348623157e308", 1.7976931348623157e308), ("-0.0", -0.0),
        ("12i", 12.0), ("-12i", -12.0), ("-0i", 0.0), ("12u", 12.0), ("9223372036854775807i", 2.0**63),
        ("-9223372036854775808i", -(2.0**63)), ("18446744073709551615u", 2.0**64), ("9007199254740993i", 2.0**53),
        *((word, 1.0) for word in ("t", "T", "true", "True", "TRUE")),
        *((word, 0.0) for word in ("f", "F", "false", "False", "FALSE")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", ["", ',s="x"'])  # with text beside it, the strict reader reads it
def test_every_spelling_of_a_value(text: str, value: float, beside: str) -> None:
    columns = read(f"{HERE} v={text}{beside} {MS}")
    assert [str(row[4]) for row in table(columns)] == [str(value)]
    assert columns.skipped == len(beside) // 6


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((text, "not_finite") for text in ("nan", "NaN", "inf", "-Inf", "+Infinity", "1e999", "-1e999")),
        *((text, "value_range") for text in ("9223372036854775808i", "-9223372036854775809i", "18446744073709551616u")),
        *((text, "value_type") for text in ("1_0", "0x1", "1.5i", "1e3i", "-1u", "i", "u", "+1i", "tru", "-", ".")),
        *((text, "value_type") for text in ("1e", "1-2", "x", "'a'", "١", 'a"b"')),
        *((text, "field_invalid") for text in ('"open', "")),
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused_by_line(text: str, code: str) -> None:
    good = f"{HERE} v=1 {MS}"
    columns = read(f"{good}\n{HERE} w=1,v={text} {MS}" + ("" if "open" in text else f"\n{good}"))
    assert faults(columns) == [(2, code)]
    assert {row[1] for row in table(columns)} == {"m.v"}, "nothing of a line with a fault is stored"
    assert str(text or "?") not in columns.rejected[0].message or len(text) < 2


def test_escapes_of_names_and_backslashes_that_are_none() -> None:
    columns = read(rf"my\ m\,x=y,host=a\ b\,c\=d,t\ 1=C:\dir\,\ z f\=1\,2\ 3=1,back\slash=2 {MS}")
    assert [row[:3] for row in table(columns)] == [
        ("a b,c=d", "my m,x=y.f=1,2 3", r'{"t 1":"C:\\dir, z"}'),
        ("a b,c=d", r"my m,x=y.back\slash", r'{"t 1":"C:\\dir, z"}'),
    ]


def test_text_may_hold_everything_lines_included_and_is_skipped() -> None:
    tricky = r'"\"quoted\" \\, a=b' + f'\n{HERE} stolen=1 {MS}\n# not a comment\n"'
    columns = read(f'{HERE} s={tricky},v=1,e="" {MS}\n{HERE} w=2 {MS}\n{HERE} bad="x"y\n{HERE} u=3 {MS}')
    assert [row[1] for row in table(columns)] == ["m.v", "m.w", "m.u"]
    assert columns.skipped == 2
    assert faults(columns) == [(6, "line_invalid")], "lines are counted within text as well"


def test_what_a_text_of_a_bad_line_holds_is_no_line_either() -> None:
    columns = read(f'{HERE} v=oops,s="x\n{HERE} stolen=1 {MS}\n",w=1 {MS}\n{HERE} u=3 {MS}')
    assert [row[1] for row in table(columns)] == ["m.u"]
    assert faults(columns) == [(1, "value_type")]
    assert faults(read(f'{HERE} v="open\n{HERE} stolen=1 {MS}')) == [(1, "field_invalid")]


@pytest.mark.parametrize("bad", ['it"s', 'w=1,it"s', "w=1\\", 'x="a" b', 'w=1\\"'])
def test_a_stray_quote_or_backslash_spoils_its_own_line_alone(bad: str) -> None:
    columns = read(f"{HERE} v=1 {MS}\n{HERE} {bad}\n{HERE} u=3 {MS}\n{HERE} w=4 {MS}")
    assert ([row[1] for row in table(columns)], [line for line, _ in faults(columns)]) == (["m.v", "m.u", "m.w"], [2])


def test_lines_that_belong_to_the_text_of_a_bad_one_are_told() -> None:
    columns = read(f'{HERE} v="open\n{HERE} a=1 {MS}\n{HERE} b=1 {MS}')
    assert (len(columns), columns.rejected[0].loc) == (0, ("line", 1))
    assert columns.rejected[0].message.endswith("; the next 2 lines belong to its text")


def test_comments_empty_lines_line_ends_and_spaces() -> None:
    body = f"# {HERE} c=1 {MS}\r\n\r\n\n  {HERE} a=1 {MS}\r\n\t{HERE}  b=2   {MS}  \n   \n{HERE} c=3 {MS}\r"
    for text in (body, body + "\n"):
        columns = read(text)
        assert [(row[1], row[3], row[4]) for row in table(columns)] == [
            ("m.a", MS * 1_000, 1.0),
            ("m.b", MS * 1_000, 2.0),
            ("m.c", MS * 1_000, 3.0),
        ]
        assert not columns.rejected


@pytest.mark.parametrize(
    ("precision", "per_ms"),
    [
        ("ns", 10**6), ("n", 10**6), ("us", 1_000), ("u", 1_000), ("µs", 1_000),
        ("ms", 1), ("s", 1e-3), ("m", 1 / 6e4), ("h", 1 / 36e5),
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", ["", ',s="x"'])
def test_every_precision_and_the_time_of_arrival(precision: str, per_ms: float, beside: str) -> None:
    time = int(MS * per_ms)
    columns = read(f"{HERE} v=1{beside} {time}\n{HERE} w=1{beside}", precision)
    assert [row[3] for row in table(columns)] == [round(time / per_ms) * 1_000, NOW_US]
    for far in (0, -5, 10**18, 10**19, 10**39, -(10**30)):
        assert [line for line, _ in faults(read(f"{HERE} v=1{beside} {far}", precision))] == [1]


def test_a_time_that_is_out_of_bounds_says_in_which_unit_it_was_read() -> None:
    columns = read(f"{HERE} v=1,w=2 {MS}\n{HERE} v=1 {MS + 700_000}", "ns")
    assert faults(columns) == [(1, "ts_too_old"), (2, "ts_too_old")]
    assert "read as ns" in columns.rejected[0].message
    columns = read(f"{HERE} v=1 {MS + 700_000}")
    assert (faults(columns), columns.rejected[0].retryable) == ([(1, "ts_in_future")], True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("m,host=a v=1=2", "value_type"), (",host=a v=1", "measurement_missing"),
        ("m,host=a,host=b v=1", "tag_repeated"),
        ("m,x=1,x=2,host=b v=1", "tag_repeated"), ("m v=1", "device_missing"),
        *((text, "line_invalid") for text in (
            "m", "m,host=a", "m,host= v=1", "m,=a v=1", "m,host v=1", "m,host=a, v=1", "m,host=a=b v=1",
            "m,host=a v=1 w=2", "m,host=a v=1 1 1", "m,host=a v=1 1.5",
        )),
        *((text, "field_invalid") for text in ("m,host=a ", "m,host=a v", "m,host=a =1", "m,host=a v=1,")),
        (f"m,host=a w=1,{'v' * 129}=1", "name_invalid"), (f"m,host={'a' * 129} v=1", "name_invalid"),
        (f"m,host=a,t={'x' * 257} v=1", "label_invalid"),
        ("m,host=a" + "".join(f",t{n}=x" for n in range(33)) + " v=1", "too_many_labels"),
    ],
)  # fmt: skip
def test_every_fault_of_a_line_is_that_lines_alone(text: str, code: str) -> None:
    good = f"{HERE} good=1"
    for before, behind in ((good, good), (f'{good},s="x"', f"{good} {MS}")):
        columns = read(f"{before}\n{text}\n{behind}")
        assert faults(columns) == [(2, code)]
        assert {row[1] for row in table(columns)} == {"m.good"}
        assert [key.metric for key in columns.series] == ["m.good"], "a bad line leaves no series behind"


def test_bytes_that_are_no_utf8_are_refused_by_line() -> None:
    columns = read(f"{HERE} v=1\n".encode() + b"m\xff,host=a v=1\nm,host=\xfe v=1\nm,host=a \xfd=1")
    assert faults(columns) == [(2, "encoding"), (3, "encoding"), (4, "encoding")]
    assert len(columns) == 1


def test_forbidden_characters_become_underscores_and_equal_series_are_one() -> None:
    columns = read("m*?\x01,host=a\u200b,b=1,c=2 v=1\nm___,c=2,host=a_,b=1 v=2")
    assert [(key.device, key.metric, key.labels) for key in columns.series] == [("a_", "m___.v", '{"b":"1","c":"2"}')]
    assert columns.codes.tolist() == [0, 0]


def test_too_many_fields_or_lines_are_413_whatever_they_are() -> None:
    for body in (
        f"{HERE} v=1\n" * 51,
        f'{HERE} v="x"\n' * 51,
        f"{HERE} " + ",".join(["v=1"] * 51),
        f'{HERE} s="x",{",".join(["v=1"] * 51)},bad',
        "\n" * 101,
        "#\n" * 101,
    ):
        with pytest.raises(TooLarge):
            read(body)
    assert len(read(f"{HERE} v=1\n" * 50)) == 50


@pytest.mark.parametrize(
    "body",
    [
        f"{HERE} " + ",".join(["v=1"] * 300_000),
        f"{HERE} " + ",".join(["v=x"] * 300_000),
        "m" + ",a=1" * 300_000 + " v=1",
        "m" + "".join(f",a{n}=1" for n in range(150_000)) + " v=1",
    ],
    ids=["fields", "bad fields", "equal tags", "tags"],
)
def test_what_is_too_many_is_not_read_before_it_is_refused(body: str) -> None:
    raw = body.encode()
    tracemalloc.start()
    try:
        with contextlib.suppress(TooLarge):
            assert len(read(raw)) == 0
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 16 * len(raw), "places of commas and the like, and no object for each of them"


def test_nothing_is_an_empty_answer() -> None:
    for body in ("", "\n", "# x", "\r\n", " "):
        columns = read(body)
        assert (len(columns), columns.series, columns.rejected, columns.skipped) == (0, [], [], 0)


def test_the_mapping_is_the_operators() -> None:
    mapping = Mapping(("entity",), "house", "val", "_")
    columns = read("m,entity=e,host=h val=1,x=2\nm,host=h val=3", mapping=mapping)
    assert [row[:3] for row in table(columns)] == [
        ("e", "m", '{"host":"h"}'),
        ("e", "m_x", '{"host":"h"}'),
        ("house", "m", '{"host":"h"}'),
    ]
    assert table(read("m v=1", own="mine", mapping=mapping))[0][0] == "mine"
    assert table(read("m v=1", own="yours", mapping=mapping))[0][0] == "yours", "what was remembered is another key's"


HOSTILE = [b'm v="' + b"\\" * 70_000, b"," * 70_000, b"m," * 50_000, b'm v="""' * 10_000, b"\\ " * 50_000]


@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_lines_are_read_in_linear_time(body: bytes) -> None:
    with contextlib.suppress(SluiceError):
        assert len(read(body)) == 0  # quadratic, it would last for minutes
