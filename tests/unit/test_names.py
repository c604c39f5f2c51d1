"""The rule of naming, and globs over names, in Python and in SQL's LIKE."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.names import MAX_NAME_CHARS, as_like, is_glob, matches, name_fault


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "pump-7",
        "x" * MAX_NAME_CHARS,
        "Halle 3/Pumpe #7",
        "日本語",
        "🔥",
        "'; DROP TABLE readings; --",
        "${jndi:ldap}",
        "%n%s",
        "<img onerror=alert(1)>",
        "a b",
        "..",
        "a\\b",
    ],
)
def test_good_names(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        "a ",
        "\u00a0a",
        "x" * (MAX_NAME_CHARS + 1),
        "x" * 200_000,
        "a*",
        "?",
        "a\0b",
        "a\nb",
        "a\x1b[31m",
        "\u202eabc",  # bidi override
        "a\u200bb",  # zero width
        "\ufeffa",  # byte order mark
        "\ud800",  # half of a pair
        "\ue000",  # private use
        "\u0378",  # unassigned
        "a\u00adb",  # soft hyphen
    ],
)
def test_bad_names_and_nothing_of_them_in_the_message(name: str) -> None:
    fault = name_fault(name)
    assert fault is not None
    assert len(fault) < 120
    assert fault.isprintable()


@given(st.text(max_size=140))
def test_the_rule_as_the_contract_words_it(name: str) -> None:
    wanted = (
        1 <= len(name) <= 128
        and not any(unicodedata.category(char).startswith("C") or char in "*?" for char in name)
        and name == name.strip()
    )
    assert (name_fault(name) is None) is wanted


alphabet = "ab*?%_\\.[^\n"


def like(pattern: str, text: str) -> bool:
    """PostgreSQL's LIKE with its backslash, said in a regular expression."""
    parts = []
    escaped = False
    for char in pattern:
        if escaped or char not in "%_\\":
            parts.append(re.escape(char))
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            parts.append(".*" if char == "%" else ".")
    assert not escaped, "a pattern must not end with its escape character"
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def fits(glob: str, name: str) -> bool:
    """A glob, character by character."""
    if not glob:
        return not name
    if glob[0] == "*":
        return fits(glob[1:], name) or (bool(name) and fits(glob, name[1:]))
    return bool(name) and glob[0] in ("?", name[0]) and fits(glob[1:], name[1:])


@given(st.text(alphabet, max_size=7), st.text(alphabet, max_size=7))
@example("pump-*", "pump-7")
@example("a_b", "axb")
@example("100%", "1000")
def test_globs_mean_the_same_in_python_and_in_sql(glob: str, name: str) -> None:
    pattern = as_like(glob)
    assert pattern is not None
    wanted = fits(glob, name)
    assert matches(glob, name) is wanted
    assert like(pattern, name) is wanted


def test_no_glob_is_no_pattern() -> None:
    assert as_like(None) is None
    assert is_glob("a*")
    assert is_glob("a?")
    assert not is_glob("a")
