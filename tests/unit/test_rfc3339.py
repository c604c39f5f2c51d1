"""RFC 3339: the path for few texts and the path for many agree with each other, and with a third reading."""

import re
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.formats import rfc3339

TEXT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
EPOCH = date(1970, 1, 1).toordinal()
GOOD = "2026-11-20T10:00:00.123Z"


def expected(text: str) -> int | None:
    """The same by the calendar of the standard library, digit by digit: microseconds, or None."""
    found = TEXT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(group) for group in found.groups()[:6])
    fraction, sign, off_hour, off_minute = found.groups()[6:]
    if hour > 23 or minute > 59 or second > 59 or int(off_hour or 0) > 23 or int(off_minute or 0) > 59:
        return None
    try:
        days = date(year, month, day).toordinal() - EPOCH
    except ValueError:
        return None
    offset = (int(off_hour or 0) * 60 + int(off_minute or 0)) * (-1 if sign == "-" else 1)
    seconds = days * 86_400 + hour * 3_600 + (minute - offset) * 60 + second
    return seconds * 1_000_000 + int((fraction or "").ljust(6, "0")[:6])


def read_few(texts: list[str]) -> list[int | None]:
    """Through the path of small requests, one at a time."""
    read: list[int | None] = []
    for text in texts:
        micros, good = rfc3339.parse([text])
        read.append(int(micros[0]) if good[0] else None)
    return read


def read_many(texts: list[str]) -> list[int | None]:
    """Through the path of large requests, among many others."""
    padding = [GOOD] * rfc3339.FEW
    micros, good = rfc3339.parse([*texts, *padding])
    assert good[len(texts) :].all()
    return [int(number) if fine else None for number, fine in zip(micros[: len(texts)], good, strict=False)]


def number(low: int, high: int, width: int) -> st.SearchStrategy[str]:
    """Numbers in and just out of their range, as digits."""
    return st.integers(low, high).map(lambda value: f"{value:0{width}}")


fractions = st.one_of(st.just(""), st.text("0123456789", max_size=80).map(lambda digits: "." + digits))
offsets = st.one_of(
    st.sampled_from("Zz"),
    st.builds("{}{}:{}".format, st.sampled_from("+-"), number(0, 25, 2), number(0, 61, 2)),
)
texts_like = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    number(0, 9999, 4),
    number(0, 13, 2),
    number(0, 32, 2),
    st.sampled_from("TtT "),
    number(0, 25, 2),
    number(0, 61, 2),
    number(0, 61, 2),
    fractions,
    offsets,
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good text with one character replaced, taken out, or put in."""
    text = draw(texts_like)
    place = draw(st.integers(0, len(text)))
    piece = draw(st.one_of(st.sampled_from(["", "\0", " ", "٣", "+", "-", ".", "Z", "0", "\n"]), st.characters()))
    return text[:place] + piece + text[place + draw(st.integers(0, 1)) :]


@given(st.lists(st.one_of(texts_like, mutated(), st.text(max_size=70)), max_size=8))
@example(["2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2000-02-29T00:00:00Z"])
@example(["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59", "0000-01-01T00:00:00Z"])
@example(["2026-12-31T23:59:60Z", "2026-12-31T24:00:00Z", "2026-11-20T10:00:00+24:00", "2026-11-20T10:00:00+01:60"])
@example(["2026-11-20T10:00:00." + "1" * 60 + "Z", "2026-11-20T10:00:00." + "1" * 60 + "+01:00"])
@example(["2026-11-20T10:00:00.Z", "2026-11-20T10:00:00.+01:00", "2026-11-20T10:00:0٣Z", GOOD[:-1] + "\0"])
def test_both_paths_and_the_calendar_agree(texts: list[str]) -> None:
    wanted = [expected(text) for text in texts]
    assert read_few(texts) == wanted
    assert read_many(texts) == wanted


clocks = st.builds("{}:{}:{}".format, number(0, 25, 2), number(0, 61, 2), number(0, 61, 2))
dates = st.dates().map(str)


@st.composite
def alike(draw: st.DrawFn) -> list[str]:
    """What a device sends at once: times of one length, nearly all of one date and one offset, a few odd ones."""
    date_, offset, width = draw(dates), draw(offsets), draw(st.integers(0, 9))
    digits = st.text("0123456789", min_size=width, max_size=width).map(lambda text: f".{text}" if text else "")
    texts = draw(st.lists(st.builds("{}T{}{}{}".format, st.just(date_), clocks, digits, st.just(offset)), min_size=1))
    for _ in range(draw(st.integers(0, 3))):
        place, at = draw(st.integers(0, len(texts) - 1)), draw(st.integers(0, len(texts[0]) - 1))
        char = draw(st.sampled_from("0123456789:-+.TtZz \0٣"))
        texts[place] = texts[place][:at] + char + texts[place][at + 1 :]
    if draw(st.booleans()):
        texts.append(draw(dates) + texts[-1][10:])
    return texts


@given(alike())
def test_times_that_are_alike_are_read_as_if_each_stood_alone(texts: list[str]) -> None:
    many = (texts * (rfc3339.FEW // len(texts) + 1))[: max(rfc3339.FEW, len(texts))]
    micros, good = rfc3339.parse(many)
    read = [int(number) if fine else None for number, fine in zip(micros, good, strict=True)]
    assert read == [expected(text) for text in many]


@given(st.datetimes(), st.timedeltas().map(lambda delta: int(delta.total_seconds()) % 1_439), st.sampled_from("+-"))
def test_what_datetime_writes_is_read_back(moment: object, minutes: int, sign: str) -> None:
    text = f"{str(moment).replace(' ', 'T')}{sign}{minutes // 60:02}:{minutes % 60:02}"
    wanted = expected(text)
    assert wanted is not None
    assert read_few([text]) == read_many([text]) == [wanted]


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z",  # not a leap year
        "2026-04-31T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-12-31T23:59:60Z",  # a leap second
        "2026-12-31T24:00:00Z",
        "2026-11-20T10:00:00",  # naive
        "2026-11-20",
        "2026-11-20 10:00:00Z",
        "2026-11-20T10:00Z",
        "2026-11-20T10:00:00.Z",
        "2026-11-20T10:00:00+0100",
        "2026-11-20T10:00:00+24:00",
        "2026-11-20T10:00:00+01:60",
        "2026-W47-5T10:00:00Z",
        "20261120T100000Z",
        "1767225600",
        "٢٠٢٦-11-20T10:00:00Z",
        "2026-11-20T10:00:00Z\0",
        "\0" * 20,
        "",
    ],
)
def test_refused_by_both_paths(text: str) -> None:
    assert read_few([text]) == read_many([text]) == [None]


def test_digits_beyond_the_microsecond_are_cut_off() -> None:
    for digits in range(1, 30):
        text = f"1970-01-01T00:00:00.{'9' * digits}Z"
        assert read_few([text]) == read_many([text]) == [int("9" * min(digits, 6) + "0" * max(0, 6 - digits))]


def test_none_is_none() -> None:
    micros, good = rfc3339.parse([])
    assert (len(micros), len(good)) == (0, 0)
