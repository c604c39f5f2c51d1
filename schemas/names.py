"""The rule of naming that devices, metrics and label keys share, and globs over such names."""

import re
import unicodedata
from functools import lru_cache

MAX_NAME_CHARS = 128

NAME_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_NAME_CHARS,
    "pattern": r"^(?! )[^\p{C}*?]+(?<! )$",
    "examples": ["pump-7"],
}


@lru_cache(maxsize=65_536)
def name_fault(name: str) -> str | None:
    """Say what is wrong with a name, or None where nothing is.

    A name has 1–128 characters, none of Unicode category C (control, format, surrogate, private, unassigned),
    no ``*`` or ``?`` (globs need them), and no space at either end.
    """
    if not name:
        return "a name must not be empty"
    if len(name) > MAX_NAME_CHARS:
        return f"a name has at most {MAX_NAME_CHARS} characters, this one has {len(name)}"
    if name != name.strip():
        return "a name must not begin or end with a space"
    for position, char in enumerate(name):
        if char in "*?":
            return f"a name must not contain '{char}', which globs need"
        if unicodedata.category(char)[0] == "C":
            return f"a name must not contain control or invisible characters (U+{ord(char):04X} at {position})"
    return None


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can keep the text: neither NUL nor half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


@lru_cache(maxsize=4_096)
def compile_glob(glob: str) -> re.Pattern[str]:
    """Compile a glob (``*`` any run of characters, ``?`` one) for ``fullmatch``."""
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(char) or re.escape(char) for char in glob), re.DOTALL)


def is_glob(text: str) -> bool:
    """Whether the text names more than itself."""
    return "*" in text or "?" in text


def matches(glob: str, name: str) -> bool:
    """Whether the glob covers the name."""
    return compile_glob(glob).fullmatch(name) is not None if is_glob(glob) else glob == name


def as_like(glob: str | None) -> str | None:
    """The glob, or the plain name, as a pattern of SQL's LIKE; None stays None."""
    if glob is None:
        return None
    escaped = glob.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return escaped.replace("*", "%").replace("?", "_")
