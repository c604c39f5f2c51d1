"""A file of rules: its faults have a line and say what to do, and what is written reads the same."""

import pytest

from server.rules_file import RulesFileError, parse_rules, write_rules

LEVEL = "condition: {type: threshold, levels: [{severity: warning, above: 70}]}"
ONE = f"- name: Hot\n  metric: temperature\n  {LEVEL}\n"


BAD_FILES = {
    "": "f:1: a list of rules is wanted, each beginning with '- name: …'; for none: []",
    "rules: []\n": "f:1: a list of rules is wanted, each beginning with '- name: …'; for none: []",
    "- name: [\n": "f:2: not YAML: expected the node content, but found '<stream end>'",
    "- name: *x\n": "f:1: not YAML: found undefined alias 'x'",
    "- 3\n": "f:1: keys with values are wanted here, 'key: value'",
    "- !!python/object:os.system {}\n": (
        "f:1: not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"
    ),
    ONE + "\n" + ONE: "f:5: line 1 has a rule 'Hot' already: rename one",
    ONE + "  for_s: 1\n  for_s: 2\n": "f:5: the key 'for_s' is there twice: remove one",
    ONE.replace("above: 70", "above: 70, above: 71"): "f:3: the key 'above' is there twice: remove one",
    ONE.replace("  metric: temperature\n", ""): "f:1: rule 'Hot': 'metric' is missing: add it",
    ONE + "  for: 3\n": "f:4: rule 'Hot': for: no such key; did you mean 'for_s'?",
    ONE + "  x: 3\n": (
        "f:4: rule 'Hot': x: no such key; there are: name, device, metric, labels, enabled, condition, for_s, "
        "keep_firing_for_s, annotations, webhooks"
    ),
    ONE.replace("above: 70", "above: .nan"): (
        "f:3: rule 'Hot': condition.levels[0].above: Input should be a finite number"
    ),
    ONE.replace(
        "above: 70", "above: hot"
    ): "f:3: rule 'Hot': condition.levels[0].above: Input should be a valid number",
    ONE.replace("above: 70", "above: 70, clear: 75"): (
        "f:3: rule 'Hot': condition.levels[0]: 'clear' of a level 'above' must not be greater than its limit"
    ),
    ONE.replace("type: threshold, ", ""): (
        "f:3: rule 'Hot': condition: 'type' is missing: add it, one of threshold, rate, range, absent"
    ),
    ONE.replace("name: Hot", "name: 2026-02-30"): "f: not YAML: day is out of range for month",
    ONE.replace("name: Hot", "name: 7"): "f:1: name: Input should be a valid string",
    "- &a [*a]\n": "f:1: keys with values are wanted here, 'key: value'",
}


@pytest.mark.parametrize("text", BAD_FILES, ids=range(len(BAD_FILES)))
def test_faults_have_a_line_and_say_what_to_do(text: str) -> None:
    with pytest.raises(RulesFileError) as raised:
        parse_rules(text, "f")
    assert str(raised.value) == BAD_FILES[text]


def test_many_faults_are_named_together_up_to_a_bound() -> None:
    with pytest.raises(RulesFileError) as raised:
        parse_rules("- {}\n" * 30, "f")
    lines = str(raised.value).splitlines()
    assert len(lines) == 21
    assert lines[0] == "f:1: 'name' is missing: add it"
    assert lines[-1] == "f: and 70 more"


def test_anchors_and_merges_may_be_used_and_what_is_written_reads_the_same() -> None:
    text = (
        f"- &hot\n  name: Hot\n  metric: a\n  labels: {{site: ü}}\n  {LEVEL}\n- <<: *hot\n  name: Hot b\n  metric: b\n"
    )
    hot, other = parse_rules(text, "f")
    assert (hot.metric, other.name, other.metric) == ("a", "Hot b", "b")
    assert other.condition == hot.condition
    written = write_rules([hot, other])
    assert parse_rules(written, "f") == [hot, other]
    assert "ü" in written
    with pytest.raises(RulesFileError, match=r"^f:8: rule 'Hot b': metric: "):
        parse_rules(text.replace("metric: b", "metric: 7"), "f")
