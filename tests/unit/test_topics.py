"""Templates of topics: what they ask for, what they say, and which of them do not go together."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.topics import Named, Template, TemplateError, Topics, covers, meet, read_templates
from server.settings import Settings

LEVELS = st.lists(st.sampled_from("ab+"), min_size=1, max_size=3)
FILTERS = st.tuples(LEVELS, st.booleans()).map(lambda said: tuple(said[0] + ["#"] * said[1]))
ALL = [topic for count in range(1, 6) for topic in itertools.product("abc", repeat=count)]


@pytest.mark.parametrize(
    ("template", "asks", "topic", "says"),
    [
        ("sensors/{device}/{metric}", "sensors/+/+", "sensors/p/t", Named("p", "t")),
        ("sensors/{device}/{metric}", "sensors/+/+", "sensors/p/t/x", None),
        ("sensors/{device}/{metric}", "sensors/+/+", "sensors/p", None),
        ("tele/{device}/SENSOR", "tele/+/SENSOR", "tele/lamp/SENSOR", Named("lamp")),
        ("tele/{device}/SENSOR", "tele/+/SENSOR", "tele/lamp/STATE", None),
        ("+/{site}/{device}/#", "+/+/+/#", "x/A/p/y/z", Named("p", "", (("site", "A"),))),
        ("{device}/#", "+/#", "p", Named("p")),
        ("{device}/{device}/{metric}/{metric}", "+/+/+/+", "a/b/c/d", Named("a/b", "c.d")),
        ("#", "#", "a/b", Named()),
        ("/{device}", "/+", "/p", Named("p")),
    ],
)
def test_a_template_asks_and_reads(template: str, asks: str, topic: str, says: Named | None) -> None:
    topics = Topics(read_templates([template]))
    assert topics.filters() == [asks]
    assert topics.read(topic) == says


def test_the_first_template_that_matches_reads() -> None:
    topics = Topics(read_templates(["a/{device}/SENSOR", "a/{device}/{metric}"]))
    assert (topics.read("a/p/SENSOR"), topics.read("a/p/x")) == (Named("p"), Named("p", "x"))
    assert topics.filters() == ["a/+/+"]  # the other is covered, and would bring each message twice
    assert "a/{device}/SENSOR, then a/{device}/{metric}" in topics.describe()


@pytest.mark.parametrize(
    "text",
    ["", "$SYS/{device}", "a/#/b", "a/x{device}", "a/{}", "a/{device", "a+/b", "a/b#", "{x}/{x}", "a\0", "a" * 65_536,
     "/".join(f"{{l{number}}}" for number in range(33))],
)  # fmt: skip
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        Template.of(text)


@pytest.mark.parametrize("texts", [["a/{device}/b", "a/x/{device}"], ["a/#", "+/b"], ["+/x", "a/+"]])
def test_templates_by_which_a_message_would_come_twice_are_refused(texts: list[str]) -> None:
    with pytest.raises(TemplateError, match="twice"):
        Topics(read_templates(texts)).filters()
    with pytest.raises(ValueError, match="twice"):
        Settings(mqtt_topics=",".join(texts))


@given(FILTERS, FILTERS)
def test_covering_and_meeting_are_what_topics_say(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Held against every topic of up to five levels: a level that neither filter names stands for all such."""
    by_one, by_other = matched(one), matched(other)
    assert meet(one, other) is bool(by_one & by_other)
    assert covers(one, other) is (by_other <= by_one)


def matched(levels: tuple[str, ...]) -> set[tuple[str, ...]]:
    """The topics that a filter matches."""
    return {topic for topic in ALL if Template("", levels, ()).read(topic) is not None}


@pytest.mark.parametrize(
    "said",
    [{"mqtt_url": "http://x"}, {"mqtt_url": "mqtt://user:secret@x"}, {"mqtt_url": "mqtt://x:port"},
     {"mqtt_group": "a/b"}, {"mqtt_time_zone": "Nowhere/At_all"}, {"mqtt_server_url": "ftp://x"},
     {"mqtt_topics": " , "}],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(said: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="mqtt_"):
        Settings(**said)  # type: ignore[arg-type]
